"""Servers on 127.0.0.1 that speak the APIs of Bedrock and Ollama, and misbehave on cue."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import unquote

Body = dict[str, Any]


class Answer(NamedTuple):
    """What a server says: a status, a body, and the error's name where AWS would send one."""

    status: int
    body: object
    error: str = ""
    claimed_length: int | None = None


Reply = Callable[[str, Body], Answer]


class Provider:
    """Answers each POST with what `reply` makes of its path and JSON body."""

    def __init__(self, reply: Reply) -> None:
        self.bodies: list[Body] = []
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with provider._counted(body):
                    answer = reply(unquote(self.path), body)
                self._send(answer)

            def _send(self, answer: Answer) -> None:
                raw = answer.body if isinstance(answer.body, bytes) else _json(answer.body)
                self.send_response(answer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(answer.claimed_length or len(raw)))
                if answer.error:
                    self.send_header("x-amzn-ErrorType", answer.error)
                self.end_headers()
                self.wfile.write(raw)
                self.close_connection = answer.claimed_length is not None

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator[Provider]:
        """Serves inside the block."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    @contextmanager
    def _counted(self, body: Body) -> Iterator[None]:
        with self._lock:
            self.bodies.append(body)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield
        finally:
            with self._lock:
                self.at_once -= 1


def _json(body: object) -> bytes:
    return json.dumps(body).encode()


def made_up_vector(text: str, dimensions: int) -> list[float]:
    """A vector of a text's own, neither of unit length nor the same for another text."""
    seed = hashlib.sha256(text.encode()).digest()
    raw = b"".join(hashlib.sha256(seed + bytes([n])).digest() for n in range(-(-dimensions // 32)))
    return [octet / 17 - 7 for octet in raw[:dimensions]]


def titan(path: str, body: Body) -> Answer:
    """Titan V2 as Bedrock serves it, with its limits; a token is four characters."""
    assert path == "/model/amazon.titan-embed-text-v2:0/invoke"
    assert body["normalize"] is True
    text = body["inputText"]
    if not text or len(text) > 50_000:
        told = f"Malformed input: expected maxLength: 50000, actual: {len(text)}"
        return Answer(400, {"message": told}, "ValidationException")
    tokens = -(-len(text) // 4)
    if tokens > 8192:
        told = f"Too many input tokens. Max input tokens: 8192, request input token count: {tokens}"
        return Answer(400, {"message": told}, "ValidationException")
    vector = made_up_vector(text, body["dimensions"])
    return Answer(200, {"embedding": vector, "inputTextTokenCount": tokens})


def ollama(path: str, body: Body) -> Answer:
    """Ollama's /api/embed with one model of 384 dimensions and 512 tokens of four characters."""
    if path != "/api/embed":
        return Answer(404, b"404 page not found")
    if not re.fullmatch(r"all-minilm(:\w+)?", body["model"]):
        told = f'model "{body["model"]}" not found, try pulling it first'
        return Answer(404, {"error": told})
    texts = body["input"]
    if any(len(text) > 2048 for text in texts) and not body["truncate"]:
        return Answer(400, {"error": "the input length exceeds the context length"})
    seen = [text[:2048] for text in texts]
    vectors = [made_up_vector(text, 384) for text in seen]
    count = sum(-(-len(text) // 4) for text in seen)
    return Answer(200, {"embeddings": vectors, "prompt_eval_count": count})
