"""How far an import has come, kept beside the other state of the project.

A checkpoint only spares work: without one, or with a wrong one, the import is as right, since
every write is idempotent. So a folder that can't be written stops nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson


@dataclass(frozen=True)
class Position:
    """The first `records` records are acknowledged; the last message among them, to prove it."""

    records: int
    message_id: str
    timestamp_us: int
    role: str
    session_id: str


class Checkpoint:
    """The position of one file for one user at one target."""

    def __init__(self, folder: Path, *identity: str) -> None:
        digest = hashlib.sha256("\0".join(identity).encode()).hexdigest()
        self._path = folder / f"{digest[:32]}.json"

    def load(self) -> Position | None:
        """The position that was saved, if there is one that can be read."""
        try:
            return Position(**orjson.loads(self._path.read_bytes()))
        except (OSError, TypeError, orjson.JSONDecodeError):
            return None

    def save(self, position: Position) -> None:
        """Keeps a position, whole or not at all."""
        aside = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            aside.write_bytes(orjson.dumps(asdict(position)))
            aside.replace(self._path)

    def clear(self) -> None:
        """Forgets the position: the import is complete."""
        with contextlib.suppress(OSError):
            self._path.unlink()
