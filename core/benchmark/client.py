"""One Query of 20 small items, as a multiple of a bare urllib3 POST of the same bytes.

    python -m core.benchmark.client            (make bench-client)

The server, in a process of its own, answers every request with the same bytes, so what differs is
the client's own time: CPU and waiting. Rounds are interleaved, and the median of the rounds is
shown, because the machine may be busy with something else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection

import urllib3

from core.aws.boto_table import BotoTable
from core.aws.capacity import TableSchema
from core.aws.requests import Query
from core.aws.session import AwsSession
from core.clock import SYSTEM_CLOCK
from core.settings import load_settings

ITEMS = 20
TEXT = "A message of about as many characters as people write to an assistant at a time. " * 3
_REQUEST = {
    "TableName": "history",
    "KeyConditionExpression": "#k = :k",
    "ExpressionAttributeNames": {"#k": "user_date"},
    "ExpressionAttributeValues": {":k": {"S": "user#2026-01-01"}},
    "Limit": ITEMS,
}


def canned_answer() -> bytes:
    """A Query's answer: 20 messages of some 250 bytes."""
    items = [
        {
            "user_date": {"S": "user#2026-01-01"},
            "timestamp_type": {"S": f"{1_767_225_600_000_000 + n:016d}#user"},
            "timestamp": {"N": str(1_767_225_600_000_000 + n)},
            "role": {"S": "user"},
            "content": {"S": TEXT[:250]},
        }
        for n in range(ITEMS)
    ]
    return json.dumps({"Items": items, "Count": ITEMS, "ScannedCount": ITEMS}).encode()


class _Canned(asyncio.Protocol):
    """Answers each request with the same bytes, as soon as it is there."""

    def __init__(self, answer: bytes) -> None:
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\n"
        self._answer = f"{head}Content-Length: {len(answer)}\r\n\r\n".encode() + answer
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        length = next(
            (int(x[15:]) for x in head.split(b"\r\n") if x[:15].lower() == b"content-length:"), 0
        )
        if found and len(body) >= length and self._transport is not None:
            self._buffer = body[length:]
            self._transport.write(self._answer)


def _serve(ready: Connection) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        answer = canned_answer()
        server = await loop.create_server(lambda: _Canned(answer), "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def contenders(port: int) -> Mapping[str, Callable[[], object]]:
    """What is measured: each call is one Query over a kept-alive connection."""
    url = f"http://127.0.0.1:{port}"
    pool = urllib3.HTTPConnectionPool("127.0.0.1", port)
    body, headers = json.dumps(_REQUEST).encode(), {"content-type": "application/x-amz-json-1.0"}
    session = AwsSession(load_settings({"endpoint_url": url}, environment={}).settings)
    boto, wire = session.client("dynamodb"), session.dynamodb()
    table = BotoTable(wire, TableSchema("history", "user_date", "timestamp_type"))
    query = Query("user#2026-01-01", limit=ITEMS)
    return {
        "bare urllib3 POST": lambda: pool.urlopen("POST", "/", body=body, headers=headers),
        "wire client": lambda: wire.query(**_REQUEST),
        "wire client, items decoded": lambda: table.query(query),
        "boto3": lambda: boto.query(**_REQUEST),
    }


def measure(calls: Mapping[str, Callable[[], object]], rounds: int, turns: int) -> dict[str, float]:
    """Milliseconds a call of each, the median over interleaved rounds."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            begin = SYSTEM_CLOCK.monotonic()
            for _ in range(turns):
                call()
            found[name].append((SYSTEM_CLOCK.monotonic() - begin) * 1000 / turns)
    return {name: statistics.median(times) for name, times in found.items()}


def main() -> None:
    """Prints a line a contender: milliseconds, and the ratio to a bare POST."""
    parser = argparse.ArgumentParser(prog="python -m core.benchmark.client")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--turns", type=int, default=100)
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    calls = contenders(ours.recv())
    measure(calls, 2, 20)  # connections, imports and caches are made before it counts
    times = measure(calls, options.rounds, options.turns)
    server.terminate()
    bare = times["bare urllib3 POST"]
    for name, ms in times.items():
        sys.stdout.write(f"{name:28} {ms:7.3f} ms {ms / bare:6.2f} x bare\n")
    share = times["wire client"] / times["boto3"]
    sys.stdout.write(f"wire client / boto3          {share:.2f}\n")


if __name__ == "__main__":
    main()
