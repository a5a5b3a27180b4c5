"""Whose a table is: the tags and notes by which a killed restore is gone on with.

A table that is being restored carries a tag, so that any machine can go on; which data files are
done stands in a note on this machine, so that they are not written twice. The note alone is
enough where an endpoint has no tags. Losing it costs time only: items are put by their keys.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import orjson

from core.aws.lease import is_lease
from core.aws.session import AwsSession
from core.errors import (
    AccessDeniedError,
    AwsError,
    EndpointAnswerError,
    NotFoundError,
    StorageError,
)

_FEW = 10
_LONG_NAME = 200
State = Literal["new", "empty", "begun", "restored", "in use"]
"""Of a target: not there; there and empty; of this very restore, going on or done; another's."""

RESTORING = "ialctl:restoring"
RESTORED = "ialctl:restored"
_MADE = "/made"


@dataclass(frozen=True)
class Note:
    """What this machine knows of a restore into one table.

    `made`: the restore made the table. `import_token` names the import that it asked AWS for.
    """

    mark: str
    begun: bool = False
    table_id: str = ""
    made: bool = False
    done: bool = False
    import_token: str | None = None
    files: frozenset[str] = field(default_factory=frozenset)


class Marks:
    """Reads and writes the marks of one project's restores. For one thread."""

    def __init__(self, session: AwsSession, folder: Path) -> None:
        """`folder` is where notes lie, `<state dir>/<project>/restores`."""
        self._session, self._folder = session, folder

    def state(self, table: str, mark: str) -> State:
        """Whose a table is, asked for the restore of this mark."""
        about = self._described(table)
        if about is None:
            return "new"
        tags = self._tags(about)
        if tags.get(RESTORED) == mark:
            return "restored"
        if tags.get(RESTORING) in (mark, mark + _MADE):
            return "begun"
        if not tags.keys() & {RESTORING, RESTORED}:
            # Only then is what this machine knows the latest: others leave tags, not notes.
            note = self.note(table, mark)
            if note.done or note.begun:
                return "restored" if note.done else "begun"
        # Killed between its last two steps, a finished restore has both tags.
        foreign = RESTORING in tags and RESTORED not in tags
        return "in use" if foreign or self._holds_items(table) else "empty"

    def note(self, table: str, mark: str) -> Note:
        """What is known here of the restore; nothing where it was another's, or another table's."""
        try:
            found = orjson.loads(self._path(table).read_bytes())
            note = Note(**{**found, "files": frozenset(found["files"])})
        except (OSError, orjson.JSONDecodeError, TypeError, KeyError):
            return self._by_tags(table, Note(mark))
        about = self._described(table)
        same_table = about is None or note.table_id in ("", about.get("TableId", ""))
        if note.mark != mark or not same_table:
            return self._by_tags(table, Note(mark))
        return note

    def begin(self, table: str, note: Note) -> Note:
        """Marks a table that stands as being restored."""
        begun = self.seen(table, replace(note, begun=True))
        about = self._described(table) or {}
        self._tag(about, RESTORING, restoring_tag(note))
        self._untag(about, RESTORED)
        return begun

    def seen(self, table: str, note: Note) -> Note:
        """Notes which table it is, of all that may be called so one after the other."""
        about = self._described(table) or {}
        found = replace(note, table_id=str(about.get("TableId", "")))
        self.keep(table, found)
        return found

    def keep(self, table: str, note: Note) -> None:
        """Writes the note, whole or not at all.

        Raises:
            StorageError: the state folder can't be written.
        """
        path = self._path(table)
        plain = {name: getattr(note, name) for name in Note.__dataclass_fields__}
        body = orjson.dumps({**plain, "files": sorted(note.files)})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(f".{os.getpid()}.part")
            aside.write_bytes(body)
            aside.replace(path)
        except OSError as error:
            raise StorageError(
                f"The note '{path}' of a restore can't be written: {error.strerror}.",
                "Make room, or choose another folder: `--state-dir DIR`.",
                path=path,
            ) from error

    def end(self, table: str, note: Note) -> None:
        """Marks a table as restored."""
        about = self._described(table) or {}
        self._tag(about, RESTORED, note.mark)
        self._untag(about, RESTORING)
        self.keep(table, replace(note, done=True, files=frozenset()))

    def _by_tags(self, table: str, note: Note) -> Note:
        """A note begun on another machine: nothing known to be written, but who made the table."""
        about = self._described(table)
        tag = self._tags(about).get(RESTORING) if about else None
        return replace(note, made=tag == note.mark + _MADE)

    def _path(self, table: str) -> Path:
        # A table's name may be as long as a file's, which has an ending besides.
        digest = hashlib.sha256(table.encode()).hexdigest()[:16]
        name = table if len(table) <= _LONG_NAME else f"{table[:_LONG_NAME]}-{digest}"
        return self._folder / f"{name}.json"

    def _described(self, table: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = self._session.client("dynamodb").describe_table(
                TableName=table
            )["Table"]
        except NotFoundError:
            return None
        return found

    def _tags(self, about: Mapping[str, Any]) -> dict[str, str]:
        found: dict[str, str] = {}
        more: dict[str, Any] = {}
        with _without_tags():
            while True:
                page = self._session.client("dynamodb").list_tags_of_resource(
                    ResourceArn=about["TableArn"], **more
                )
                found |= {str(tag["Key"]): str(tag["Value"]) for tag in page.get("Tags") or ()}
                if not page.get("NextToken"):
                    break
                more = {"NextToken": page["NextToken"]}
        return found

    def _tag(self, about: Mapping[str, Any], key: str, value: str) -> None:
        with _without_tags():
            self._session.client("dynamodb").tag_resource(
                ResourceArn=about.get("TableArn", ""), Tags=[{"Key": key, "Value": value}]
            )

    def _untag(self, about: Mapping[str, Any], key: str) -> None:
        with _without_tags():
            self._session.client("dynamodb").untag_resource(
                ResourceArn=about.get("TableArn", ""), TagKeys=[key]
            )

    def _holds_items(self, table: str) -> bool:
        client = self._session.dynamodb()
        more: dict[str, Any] = {}
        while True:
            page = client.scan(TableName=table, Limit=_FEW, ConsistentRead=True, **more)
            if any(not is_lease(table, item) for item in page.get("Items") or ()):
                return True
            if "LastEvaluatedKey" not in page:
                return False
            more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def restoring_tag(note: Note) -> str:
    """The value of the tag of a table that is being restored."""
    return note.mark + (_MADE if note.made else "")


def _without_tags() -> contextlib.suppress:
    # Some endpoints have no tags, some credentials no right to them: the note does as well.
    return contextlib.suppress(AwsError, AccessDeniedError, EndpointAnswerError)
