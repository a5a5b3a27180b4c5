"""Evidence as LoCoMo writes it: ids of turns, some of them malformed. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_BETWEEN = re.compile(r"[\s;,]+")
_TURN = re.compile(r"D:?0*([0-9]{1,9}):0*([0-9]{1,9})", re.IGNORECASE)
_TURNS = re.compile(rf"(?:{_TURN.pattern})+", re.IGNORECASE)
_AROUND = "()[].'\""
_SHOWN_CHARS = 40


@dataclass(frozen=True)
class Evidence:
    """The turns that hold an answer, by position among the conversation's messages.

    `repaired` counts ids that were read otherwise than they are written; `unusable` holds, a
    sentence's part each, those that name no turn, or more than one.
    """

    turns: frozenset[int]
    repaired: int = 0
    unusable: tuple[str, ...] = ()


class Turns:
    """Finds a conversation's turns by their ids."""

    def __init__(self, ids: Iterable[str]) -> None:
        """Turns in the order of `ids`."""
        named = list(ids)
        self._times = Counter(named)
        self._place = {name: place for place, name in enumerate(named)}

    def evidence(self, written: object) -> Evidence:
        """The turns that an evidence list names.

        An id that is no turn's is read again: several ids in one text are taken apart, a colon too
        many and leading zeros are left out. What then still names no turn is unusable.
        """
        found: set[int] = set()
        unusable: list[str] = []
        repaired = 0
        for entry in _entries(written):
            turns, trouble = self._read(entry)
            found |= turns
            unusable += trouble
            repaired += bool(turns) and entry not in self._times
        return Evidence(frozenset(found), repaired, tuple(unusable))

    def _read(self, entry: object) -> tuple[set[int], list[str]]:
        if not isinstance(entry, str):
            return set(), [f"{_shown(entry)} is no turn's id"]
        turns: set[int] = set()
        trouble: list[str] = []
        for name in [entry] if entry in self._times else _names(entry):
            if self._times[name] == 1:
                turns.add(self._place[name])
            elif name in self._times:
                trouble.append(f"'{name:.{_SHOWN_CHARS}}' names {self._times[name]} turns")
            else:
                trouble.append(f"'{name:.{_SHOWN_CHARS}}' is no turn of this conversation")
        return turns, trouble


def _entries(written: object) -> list[object]:
    if written is None:
        return []
    return written if isinstance(written, list) else [written]


def _names(entry: str) -> Iterator[str]:
    for part in _BETWEEN.split(entry.strip()):
        name = part.strip(_AROUND)
        if _TURNS.fullmatch(name):
            yield from (f"D{session}:{turn}" for session, turn in _TURN.findall(name))
        else:
            yield name


def _shown(entry: object) -> str:
    return f"{entry!r:.{_SHOWN_CHARS}}"
