"""Archives: sessions as gzip JSON lines in a bucket, in the form that the import reads.

Keys: `archive/{user}/{session}-{first}-{last}.jsonl.gz`, with the session's id hashed and the
first and last time in microseconds. The same messages give the same key and the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from core.aws.objects import Objects, open_backup_bucket
from core.aws.session import AwsSession
from core.errors import DamagedError
from core.memory.exporting import to_lines
from core.memory.importing.drafts import Defaults, MessageMaker
from core.memory.importing.jsonl import read_lines
from core.memory.importing.records import Bad
from core.memory.model import Message

PREFIX = "archive"
SUFFIX = ".jsonl.gz"
_NAME_BYTES = 600
_LEVEL = 6


@dataclass(frozen=True)
class Archive:
    """An archive of one session: its key, how many messages, and its size in bytes."""

    key: str
    session_id: str
    messages: int
    first_us: int
    last_us: int
    bytes: int


class Archives:
    """The archives of a bucket. Thread-safe; raises what `Objects` raises."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def write(self, messages: Sequence[Message]) -> Archive:
        """Writes messages of one session in order of time, and reads back what was written.

        Where an archive holds them all already, that one is answered.

        Raises:
            DamagedError: what is read back is not what was written, or would not give the same
                messages again.
        """
        for key in self._objects.keys(_session_prefix(messages[0])):
            body = self._objects.get(key)
            if _holds(body, messages):
                return _archive(key, messages, len(body))
        key, body = key_of(messages), packed(messages)
        if not _holds(body, messages):
            raise DamagedError(
                f"The session '{messages[0].session_id:.60}' holds metadata that JSON has no "
                "words for (bytes, sets, numbers of many digits): archived, it would be changed.",
                "It was left where it is.",
            )
        self._objects.put(key, body)
        if self._objects.get(key) != body:
            raise DamagedError(
                f"The archive '{key}' is not what was written.",
                "Nothing was removed; run the same command again.",
            )
        return _archive(key, messages, len(body))

    def read(self, key: str, user_id: str) -> tuple[Message, ...]:
        """The messages of an archive.

        Raises:
            DamagedError: it is cut short, or not what this writes.
        """
        return tuple(unpacked(self._objects.get(key), user_id))

    def keys(self, user_id: str) -> Iterator[str]:
        """The keys of a user's archives."""
        return self._objects.keys(user_prefix(user_id))

    def delete(self, user_id: str) -> int:
        """Deletes a user's archives, older versions too; answers how many there were."""
        return self._objects.delete_all(user_prefix(user_id))


def open_archives(session: AwsSession, project: str) -> Archives:
    """The archives in the project's backup bucket.

    Raises:
        NotFoundError: the bucket is not deployed.
    """
    return Archives(open_backup_bucket(session, project))


def user_prefix(user_id: str) -> str:
    """What the keys of all of a user's archives begin with, and nobody else's."""
    # Dots too: a folder called `..` would lead elsewhere.
    name = quote(user_id, safe="").replace(".", "%2E")
    if len(name) > _NAME_BYTES:
        # `!` stands in no quoted name.
        name = f"!{hashlib.sha256(user_id.encode()).hexdigest()}"
    return f"{PREFIX}/{name}/"


def key_of(messages: Sequence[Message]) -> str:
    """The key of an archive of these messages, which are in order of time."""
    first, last = messages[0].timestamp_us, messages[-1].timestamp_us
    return f"{_session_prefix(messages[0])}{first:016d}-{last:016d}{SUFFIX}"


def packed(messages: Iterable[Message]) -> bytes:
    """Messages as gzip JSON lines; the same ones give the same bytes."""
    return gzip.compress(b"".join(to_lines(messages)), _LEVEL, mtime=0)


def unpacked(body: bytes, user_id: str) -> Iterator[Message]:
    """The messages of an archive, as an import would make them for a user.

    Raises:
        DamagedError: it is cut short, or not what `packed` makes.
    """
    maker = MessageMaker(Defaults(user_id))
    try:
        lines = gzip.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedError(f"An archive can't be unpacked: {error}.") from error
    for draft in read_lines(io.BytesIO(lines)):
        made = draft if isinstance(draft, Bad) else maker.make(draft)
        if isinstance(made, Bad):
            raise DamagedError(f"Line {made.number} of an archive can't be used: {made.reason}")
        yield made


def _session_prefix(message: Message) -> str:
    digest = hashlib.sha256(message.session_id.encode()).hexdigest()[:16]
    return f"{user_prefix(message.user_id)}{digest}-"


def _holds(body: bytes, messages: Sequence[Message]) -> bool:
    """Whether an archive gives all of these messages again, each with all that it is."""
    try:
        found = {_identity(message): message for message in unpacked(body, messages[0].user_id)}
    except DamagedError:
        return False
    return all(
        (other := found.get(_identity(message))) is not None and _same(message, other)
        for message in messages
    )


def _identity(message: Message) -> tuple[str, int, str]:
    return message.message_id, message.timestamp_us, message.role


def _same(one: Message, other: Message) -> bool:
    return (one.session_id, one.content, one.tokens) == (
        other.session_id,
        other.content,
        other.tokens,
    ) and dict(one.metadata) == dict(other.metadata)


def _archive(key: str, messages: Sequence[Message], size: int) -> Archive:
    first, last = messages[0].timestamp_us, messages[-1].timestamp_us
    return Archive(key, messages[0].session_id, len(messages), first, last, size)
