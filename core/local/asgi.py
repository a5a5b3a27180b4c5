"""Wraps the emulator's ASGI application: no answer goes out before what it tells of is safe."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from xml.sax.saxutils import escape

import orjson

from core.local.objects import failures
from core.local.store import Effect, Store

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HEALTH_PATH = "/_ialctl/health"
STORAGE_CODE = "LocalEndpointStorage"
# The package's own administration: one request there would wipe every table.
_ADMIN_PREFIXES = ("/_ministack/reset", "/_ministack/config")
# Operations that touch items only; the journal covers them.
_ITEM_READS = (
    "DynamoDBStreams_",
    "DynamoDB_20120810.GetItem",
    "DynamoDB_20120810.Query",
    "DynamoDB_20120810.Scan",
    "DynamoDB_20120810.BatchGet",
    "DynamoDB_20120810.TransactGet",
    "DynamoDB_20120810.SearchVectors",
)
_ITEM_WRITES = (
    "DynamoDB_20120810.PutItem",
    "DynamoDB_20120810.UpdateItem",
    "DynamoDB_20120810.DeleteItem",
    "DynamoDB_20120810.BatchWrite",
    "DynamoDB_20120810.TransactWrite",
    "DynamoDB_20120810.BatchExecute",
    "DynamoDB_20120810.Execute",
)
_READS = ("Describe", "List", "Get", "Head", "Validate", "Estimate", "Detect")
_OBJECT_QUERIES = (b"", b"x-id=PutObject", b"x-id=DeleteObject")
_FORM_ACTION = re.compile(rb"(?:.*&)?Action=(\w+)", re.DOTALL)


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
            await _answer(send, 200, orjson.dumps({**self._about, "notes": self._store.notes}))
        elif scope["path"].startswith(_ADMIN_PREFIXES):
            await _answer(send, 403, b'{"message":"not served here"}')
        else:
            action, failed = _Action(scope, receive), list[OSError]()
            failures.set(failed)
            await self._app(scope, action.receive, _Held(self._store, send, action, failed))


class _Action:
    """Finds out what a request asks for, from its headers or, as it is read, its body."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._name = "Get" if scope["method"] in ("GET", "HEAD") else ""
        self._form = False
        for name, value in scope["headers"]:
            if name == b"x-amz-target":
                self._name = value.decode("latin-1")
        self._writes_object = not self._name and _writes_object(scope)

    async def receive(self) -> Message:
        """The next message; the first of a form's body names its action."""
        message = await self._receive()
        if not self._name:
            found = _FORM_ACTION.match(message.get("body", b"")[:200])
            self._form = found is not None
            self._name = found[1].decode() if found else "unknown"
        return message

    @property
    def effect(self) -> Effect:
        """What the request may change."""
        if self._writes_object:
            return Effect.NOTHING  # but to the object's own files
        if self._name.startswith(_ITEM_READS):
            return Effect.READS_ITEMS
        if self._name.startswith(_ITEM_WRITES):
            return Effect.ITEMS
        operation = self._name.rpartition(".")[2]
        return Effect.NOTHING if operation.startswith(_READS) else Effect.CONTROL

    async def refuse(self, send: Send, error: OSError) -> None:
        """Answers, in the form that the client understands, that nothing can be kept."""
        text = f"the local endpoint can't write its data: {error.strerror or error}"
        if "." in self._name:
            body = orjson.dumps({"__type": STORAGE_CODE, "message": text})
        else:
            inner = f"<Code>{STORAGE_CODE}</Code><Message>{escape(text)}</Message>"
            if self._form:
                inner = f"<Error>{inner}</Error><RequestId/>"
            name = "ErrorResponse" if self._form else "Error"
            body = f"<{name}>{inner}</{name}>".encode()
        await _answer(send, 507, body)


class _Held:
    """A `send` that lets the first message through only once the store has what it tells of."""

    def __init__(self, store: Store, send: Send, action: _Action, failed: list[OSError]) -> None:
        self._store = store
        self._failed = failed
        self._send = send
        self._action = action
        self._refused = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            try:
                for error in self._failed:
                    raise error
                self._store.before_answer(self._action.effect)
            except OSError as error:
                self._refused = True
                await self._action.refuse(self._send, error)
        if not self._refused:
            await self._send(message)


def _writes_object(scope: Scope) -> bool:
    """Whether a request puts or deletes one object: `/bucket/key`, signed for S3."""
    if scope["method"] not in ("PUT", "DELETE") or "/" not in scope["path"].strip("/"):
        return False
    signed = next((v for n, v in scope["headers"] if n == b"authorization"), b"")
    return b"/s3/aws4_request" in signed and scope["query_string"] in _OBJECT_QUERIES


async def _answer(send: Send, status: int, content: bytes) -> None:
    kind = b"text/xml" if content.startswith(b"<") else b"application/x-amz-json-1.0"
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(content)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
