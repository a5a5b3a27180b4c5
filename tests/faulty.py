"""A proxy before the endpoint that fails as AWS does: SlowDown, throttling, bodies cut short."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>"
_THROTTLED = (
    b'{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",'
    b'"message":"The level of configured provisioned throughput was exceeded."}'
)
_DENIED = (
    b'{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException",'
    b'"message":"User is not authorized to perform this action."}'
)
_REFUSALS = {
    "slow": (503, "application/xml", _SLOW_DOWN),
    "throttled": (400, "application/x-amz-json-1.0", _THROTTLED),
    "refused": (400, "application/x-amz-json-1.0", _DENIED),
}
_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class Faults:
    """What is to go wrong: each of `next` befalls one request of the method `method`; or what
    `choose` says of a request, told its method and its path, or the operation of DynamoDB's."""

    def __init__(self) -> None:
        self.method = "GET"
        self.next: list[str] = []
        """`slow`: 503 SlowDown. `cut`: the connection ends half-way through the body.
        `lost`: the request is carried out, its answer never comes. `dropped`: it is not carried
        out, nor answered. `throttled`: DynamoDB refuses it. `refused`: nobody may do it."""
        self.choose: Callable[[str, str], str] | None = None
        self.requests = 0
        self._lock = threading.Lock()

    def take(self, method: str, what: str) -> str:
        """What befalls this request."""
        with self._lock:
            if self.choose is not None:
                self.requests += 1
                return self.choose(method, what)
            if method != self.method:
                return ""
            self.requests += 1
            return self.next.pop(0) if self.next else ""


@contextmanager
def faulty(endpoint_url: str) -> Iterator[tuple[str, Faults]]:
    """The proxy's URL, and the faults to fill in."""
    faults = Faults()
    target = urlsplit(endpoint_url)
    assert target.hostname is not None
    host, port = target.hostname, target.port

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two writes: 40 ms between them

        def log_message(self, *_: object) -> None:
            """Says nothing."""

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            fault = faults.take(self.command, operation or self.path)
            if fault in _REFUSALS:
                status, kind, text = _REFUSALS[fault]
                self._send(status, {"Content-Type": kind}, text, len(text))
                return
            if fault == "dropped":
                self.close_connection = True
                return
            connection = http.client.HTTPConnection(host, port, timeout=30)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            found = answer.read()
            headers = {k: v for k, v in answer.getheaders() if k.lower() not in _HOP}
            connection.close()
            if fault == "lost":
                self.close_connection = True
            elif fault == "cut":
                self._send(answer.status, headers, found[: len(found) // 2], len(found))
                self.close_connection = True
            else:
                length = int(answer.headers.get("Content-Length") or len(found))
                self._send(answer.status, headers, found, length)

        def _send(self, status: int, headers: dict[str, str], body: bytes, length: int) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

    for method in ("GET", "PUT", "POST", "HEAD", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._handle)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
