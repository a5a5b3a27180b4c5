"""A server that refuses every request as AWS does, and tells a time of its choice."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from core.clock import SYSTEM_CLOCK

# What STS and DynamoDB answer: code and message of each.
WRONG = (
    ("InvalidClientTokenId", "The security token included in the request is invalid."),
    ("UnrecognizedClientException", "The security token included in the request is invalid."),
)
EXPIRED = (
    ("ExpiredToken", "The security token included in the request is expired"),
    ("ExpiredTokenException", "The security token included in the request is expired"),
)
SKEWED = (
    ("SignatureDoesNotMatch", "Signature expired: 20260101T000000Z is now earlier than ..."),
    ("InvalidSignatureException", "Signature expired: 20260101T000000Z is now earlier than ..."),
)


@contextmanager
def refusing(
    refusals: tuple[tuple[str, str], tuple[str, str]] = WRONG, ahead_s: float = 0.0
) -> Iterator[str]:
    """The server's URL; its clock is `ahead_s` ahead of this machine's."""
    (sts_code, sts_message), (code, message) = refusals

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Says nothing."""

        def date_time_string(self, timestamp: float | None = None) -> str:
            """The time of its choice."""
            return formatdate(SYSTEM_CLOCK.time() + ahead_s, usegmt=True)

        def do_GET(self) -> None:
            """What DynamoDB answers who only looks whether it is there."""
            self._answer(200, "text/plain", b"healthy: 127.0.0.1")

        def do_POST(self) -> None:
            """A refusal, in the form of the service."""
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("X-Amz-Target"):
                kind = f"com.amazon.coral.service#{code}"
                body = json.dumps({"__type": kind, "message": message}).encode()
                self._answer(400, "application/x-amz-json-1.0", body)
            else:
                told = f"<Code>{sts_code}</Code><Message>{sts_message}</Message>"
                error = f"<Error><Type>Sender</Type>{told}</Error><RequestId>1</RequestId>"
                body = f"<ErrorResponse>{error}</ErrorResponse>".encode()
                self._answer(403, "text/xml", body)

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
