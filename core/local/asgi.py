"""Wraps the emulator's ASGI application: no answer goes out before what it tells of is safe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from core.local.store import Store

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HEALTH_PATH = "/_ialctl/health"
STORAGE_CODE = "LocalEndpointStorage"
# The package's own administration: one request there would wipe every table.
_ADMIN_PREFIXES = ("/_ministack/reset", "/_ministack/config")
# Operations that touch items only; the journal covers them.
_DATA_PLANE = (
    b"DynamoDBStreams_",
    b"DynamoDB_20120810.PutItem",
    b"DynamoDB_20120810.GetItem",
    b"DynamoDB_20120810.UpdateItem",
    b"DynamoDB_20120810.DeleteItem",
    b"DynamoDB_20120810.Query",
    b"DynamoDB_20120810.Scan",
    b"DynamoDB_20120810.Batch",
    b"DynamoDB_20120810.Transact",
    b"DynamoDB_20120810.Execute",
    b"DynamoDB_20120810.SearchVectors",
)


class DurableApp:
    """The emulator with a memory."""

    def __init__(self, app: Callable[..., Any], store: Store, about: dict[str, Any]) -> None:
        self._app = app
        self._store = store
        self._about = about

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, one WebSocket, or the life of the server."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == HEALTH_PATH:
            await _answer(send, 200, {**self._about, "notes": self._store.notes})
        elif scope["path"].startswith(_ADMIN_PREFIXES):
            await _answer(send, 403, {"message": "not served here"})
        else:
            control = not _is_data_plane(scope)
            await self._app(scope, receive, _Held(self._store, send, control=control))


class _Held:
    """A `send` that lets the first message through only once the store has what it tells of."""

    def __init__(self, store: Store, send: Send, *, control: bool) -> None:
        self._store = store
        self._send = send
        self._control = control
        self._refused = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            try:
                self._store.before_answer(control=self._control)
            except OSError as error:
                self._refused = True
                text = f"the local endpoint can't write its data: {error.strerror or error}"
                await _answer(self._send, 507, {"__type": STORAGE_CODE, "message": text})
        if not self._refused:
            await self._send(message)


def _is_data_plane(scope: Scope) -> bool:
    if scope["method"] in ("GET", "HEAD"):
        return True
    for name, value in scope["headers"]:
        if name == b"x-amz-target":
            return bool(value.startswith(_DATA_PLANE))
    return False


async def _answer(send: Send, status: int, body: dict[str, Any]) -> None:
    content = orjson.dumps(body)
    headers = [
        (b"content-type", b"application/x-amz-json-1.0"),
        (b"content-length", str(len(content)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
