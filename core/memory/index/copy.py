"""A user's index in this process: columns of rows, what is known of their messages, and no more.

Rows come from runs of the log in any order, some of them twice; the run with the highest key says
what holds of a place. A row never moves; what is gone is marked. Thread-safe.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from core.llm.embedder import FloatArray
from core.memory.index.block import NEVER, Block, Postings, Voice
from core.memory.index.codes import code_bytes, estimates
from core.memory.index.corpus import Corpus
from core.memory.index.dates import DateTerms
from core.memory.index.known import Known, KnownVectors, Text
from core.memory.index.numbered import Numbered
from core.memory.index.position import Position
from core.memory.index.row_views import RowArray, RowView, neighbours
from core.memory.index.rows import Indexed, Rows, postings_of
from core.memory.index.terms_in_memory import TermLists
from core.memory.index.words import voice_terms
from core.memory.keys import MICROSECONDS, decoded, encoded

LAG_US = 300 * MICROSECONDS
"""Longer than an index, or a read that is not consistent, lags behind in any good hour, and than
clocks are apart whose signatures AWS accepts."""
_GROW = 64
_ROLES = 256
_PLAIN_PLACE = re.compile(r"(?P<time>[0-9]{16})#(?P<role>[^#]*)")
# What a row takes beside its columns: its place in the dictionary of places.
_ROW_BYTES = 140
_BASE_BYTES = 16_384
_GONE = -1


class UserIndex:
    """The rows of one user, comparable with vectors of one model. Not safe by itself: hold `lock`.

    `whole` says that all that stood in the table was read, `position` how far.
    """

    def __init__(self, user_id: str, model: str, dimensions: int) -> None:
        self.lock = threading.RLock()
        self.loading = threading.Lock()
        self.user_id = user_id
        self._model = (model, dimensions)
        self.position = Position()
        self.whole = False
        self.complete = True
        self.read_at_s = 0.0
        self.suspected_at_s = -math.inf
        self.damaged: tuple[str, ...] = ()
        self.foreign_model: tuple[str, int] | None = None
        self.unsealed: dict[str, Rows] = {}
        self.leftover: set[str] = set()
        self.terms_missing: dict[str, npt.NDArray[np.int64]] = {}
        self.version = 0
        self._count = 0
        self._pass = 0
        self._columns: dict[str, npt.NDArray[Any]] = {
            "times": np.zeros(_GROW, np.int64),
            "expires": np.zeros(_GROW, np.int64),
            "stamps": np.zeros(_GROW, np.int64),
            "seen": np.zeros(_GROW, np.int32),
            "voice_of": np.zeros(_GROW, np.int32),
            "session_of": np.zeros(_GROW, np.int32),
            "lengths": np.zeros(_GROW, np.float32),
            "coded": np.zeros(_GROW, bool),
            "worded": np.zeros(_GROW, bool),
            "foreign": np.zeros(_GROW, bool),
            "gone": np.zeros(_GROW, bool),
            "codes": np.zeros((_GROW, code_bytes(dimensions)), np.uint8),
        }
        self._places: dict[int | str, int] = {}
        self._roles: dict[str, int] = {}
        self._voices: Numbered[Voice] = Numbered()
        self._sessions: Numbered[str] = Numbered()
        self._suffixes: dict[int, str] = {}
        self._dates = DateTerms()
        self._beside: tuple[int, int, RowArray, RowArray] | None = None
        self.terms = TermLists()
        self.known = Known()
        self.vectors = KnownVectors(dimensions)

    def __len__(self) -> int:
        return self._count

    @property
    def bytes(self) -> int:
        """About what all this takes in memory."""
        columns = sum(column[: self._count].nbytes for column in self._columns.values())
        held = self.terms.bytes + self.known.bytes + self.vectors.bytes
        return _BASE_BYTES + columns + held + self._count * _ROW_BYTES

    def column(self, name: str) -> npt.NDArray[Any]:
        """One of the columns, as long as there are rows; a view that a change makes stale."""
        return self._columns[name][: self._count]

    @property
    def voices(self) -> tuple[Voice, ...]:
        """Who speaks, by the numbers in `voice_of`."""
        return tuple(self._voices.things)

    def alive(self, now_s: float) -> npt.NDArray[np.bool_]:
        """Which rows stand for a message that is there and has not expired."""
        expires = self.column("expires")
        alive: npt.NDArray[np.bool_] = ~self.column("gone")
        alive &= (expires == NEVER) | (expires > now_s)
        return alive

    def foreign_rows(self, now_s: float) -> int:
        """How many messages have a vector of another model only."""
        return int((self.column("foreign") & self.alive(now_s)).sum())

    def session_rows(self, session_id: str) -> npt.NDArray[np.int64]:
        """The rows of a session, in no order."""
        number = self._sessions.known(session_id)
        if number is None:
            return np.zeros(0, np.int64)
        return np.nonzero(self.column("session_of") == number)[0]

    def row_of(self, place: str) -> int | None:
        """The row of a sort key, if there is one that is not gone."""
        row = self._places.get(self._place_key(place))
        return None if row is None or self._columns["gone"][row] else row

    def view(self, row: int) -> RowView:
        """What a row says."""
        return RowView(
            row,
            self.place(row),
            int(self._columns["times"][row]),
            self._sessions.things[self._columns["session_of"][row]],
            self._voices.things[self._columns["voice_of"][row]],
        )

    def place(self, row: int) -> str:
        """The sort key of a row's message."""
        role = self._voices.things[self._columns["voice_of"][row]].role
        key = f"{int(self._columns['times'][row]):016d}#{encoded(role)}"
        suffix = self._suffixes.get(row)
        return f"{key}#{suffix}" if suffix else key

    def knows(self, row: int) -> bool:
        """Whether the row's text is at hand."""
        return row in self.known

    def exact(self, row: int) -> bool:
        """Whether a look at the row's item would bring nothing: text and vector are at hand."""
        return self.knows(row) and (not self._columns["coded"][row] or row in self.vectors)

    def lacks_vector(self, place: str) -> bool:
        """Whether there is a row for the place, and no vector of this model."""
        row = self.row_of(place)
        return row is not None and not self._columns["coded"][row]

    def stamp(self, row: int) -> int:
        """When the row was written into the log, in microseconds."""
        return int(self._columns["stamps"][row])

    def learn(self, place: str, text: Text, vector: FloatArray | None) -> None:
        """Keeps what was read of a message that has a row here."""
        row = self.row_of(place)
        if row is None:
            return
        self.known.put(row, text)
        if text.whole and not self._columns["worded"][row]:
            self._add_terms(np.array([row]), postings_of([text.content]))
        if vector is not None and self._columns["coded"][row]:
            self.vectors.put(row, vector)

    def note(self, indexed: Sequence[Indexed]) -> None:
        """Keeps text and vector of messages that have rows here."""
        for one in indexed:
            self.learn(one.place, Text.of(one.message), one.vector)

    def apply(self, key: str, stamp: int, rows: Rows | Block) -> None:
        """Takes over a run. A block without its terms waits for `apply_terms` under its key."""
        block = rows.block if isinstance(rows, Rows) else rows
        where = self._placed(block, stamp, said_anew=isinstance(rows, Rows))
        if isinstance(rows, Rows):
            self._add_terms(where, rows.terms)
        elif (where >= 0).any():
            self.terms_missing[key] = where

    def apply_terms(self, key: str, postings: Postings) -> None:
        """The terms of a segment whose rows are here."""
        where = self.terms_missing.pop(key, None)
        if where is not None:
            self.version += 1
            # What was learnt from a row's text is not said twice.
            again = (where >= 0) & self._columns["worded"][where]
            self._add_terms(np.where(again, _GONE, where), postings)

    def begin_pass(self) -> None:
        """All that stands in the table is going to be applied."""
        self._pass += 1

    def end_pass(self, now_us: float) -> None:
        """Drops what was not among it; unless it was written a moment ago."""
        old = self.column("stamps") < now_us - LAG_US
        unseen = (self.column("seen") != self._pass) & ~self.column("gone") & old
        for row in np.flatnonzero(unseen):
            self.drop(int(row))

    def lose(self, places: Iterable[str], now_us: float) -> None:
        """Takes note that nothing stands at these places; unless it was written a moment ago."""
        for place in places:
            row = self.row_of(place)
            if row is not None and self.stamp(row) < now_us - LAG_US:
                self.drop(row)

    def drop(self, row: int) -> None:
        """Marks a row as gone: its message was found to be."""
        self._columns["gone"][row] = True
        self.known.drop(row)
        self.version += 1

    def clear(self) -> None:
        """Forgets everything: all that stood in the table was deleted."""
        self._columns["gone"][: self._count] = True
        self._places.clear()
        for row in range(self._count):
            self.known.drop(row)
        self.vectors = KnownVectors(self._model[1])
        for held in (self.unsealed, self.leftover, self.terms_missing):
            held.clear()
        self.position.begin_anew()
        self.version += 1

    def cosines(self, query: FloatArray) -> FloatArray:
        """The cosine of each row's vector with the query: exact where the vector is known here,
        estimated where its signs are, NaN where there is none. float32 of (rows,)."""
        found = np.full(self._count, np.nan, np.float32)
        exact, rows = self.vectors.cosines(query)
        guessed = self.column("coded").astype(bool)
        guessed[rows] = False
        found[guessed] = estimates(query, self.column("codes")[guessed], self._model[0])
        found[rows] = exact
        return found

    def corpus(self, now_s: float) -> Corpus:
        """The rows as they are ranked; its arrays are views that a change makes stale."""
        alive = self.alive(now_s)
        living = int(alive.sum())
        if self._beside is None or self._beside[:2] != (self.version, living):
            before, after = neighbours(self.column("session_of"), self.column("times"), alive)
            self._beside = (self.version, living, before, after)
        return Corpus(
            lengths=self.column("lengths"),
            times=self.column("times"),
            voice_of=self.column("voice_of"),
            voice_terms=voice_terms(self._voices.things),
            previous=self._beside[2],
            following=self._beside[3],
            alive=alive,
            worded=self.column("worded"),
            postings=self.terms.postings,
        )

    def _placed(self, block: Block, stamp: int, *, said_anew: bool) -> npt.NDArray[np.int64]:
        """Rows made for a block; -1 where a newer run, or the same row, stands already."""
        voices = [self._voice(voice) for voice in block.voices]
        sessions = [self._sessions.number(session) for session in block.sessions]
        keys = self._keys(block)
        # Where a block names a place twice, the later row holds.
        last = dict(zip(keys, range(len(keys)), strict=True))
        if self._places.keys().isdisjoint(last):
            fresh = np.fromiter(last.values(), np.int64, len(last))
        else:
            newer = [n for key, n in last.items() if self._newer(key, block, n, stamp, said_anew)]
            fresh = np.array(newer, np.int64)
        where = np.full(len(block), _GONE, np.int64)
        if len(fresh):
            self.version += 1
        where[fresh] = self._append(block, fresh, stamp, np.array(voices), np.array(sessions))
        self._places.update((keys[n], int(where[n])) for n in fresh)
        self._columns["seen"][[self._places[key] for key in keys]] = self._pass
        for n, suffix in block.suffixes.items():
            if where[n] >= 0:
                self._suffixes[int(where[n])] = suffix
        return np.where(block.removed, _GONE, where)

    def _newer(self, key: int | str, block: Block, n: int, stamp: int, said_anew: bool) -> bool:
        row = self._places.get(key)
        if row is None:
            return True
        stood = self._columns["stamps"][row]
        if stood > stamp:
            return False
        # A later save of a place is of another text; a segment holds what was there before.
        edited = said_anew and stamp > stood
        same = not edited and (
            bool(self._columns["gone"][row]) == bool(block.removed[n])
            and bool(self._columns["coded"][row]) == self._comparable(block, n)
            and np.array_equal(self._columns["codes"][row], self._code(block, n))
        )
        self._columns["stamps"][row] = stamp
        if same:
            self._columns["expires"][row] = block.expires[n]
            return False
        self._columns["gone"][row] = True
        self.known.drop(row)
        return True

    def _comparable(self, block: Block, n: int) -> bool:
        return bool(block.coded[n]) and (block.model, block.dimensions) == self._model

    def _code(self, block: Block, n: int) -> npt.NDArray[np.uint8]:
        if self._comparable(block, n):
            code: npt.NDArray[np.uint8] = block.codes[n]
            return code
        return np.zeros(code_bytes(self._model[1]), np.uint8)

    def _append(
        self,
        block: Block,
        fresh: npt.NDArray[np.int64],
        stamp: int,
        voices: npt.NDArray[np.int64],
        sessions: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.int64]:
        begin, end = self._count, self._count + len(fresh)
        self._room(end)
        self._count = end
        at = slice(begin, end)
        columns = self._columns
        columns["times"][at] = block.times[fresh]
        columns["expires"][at] = block.expires[fresh]
        columns["stamps"][at] = stamp
        columns["gone"][at] = block.removed[fresh]
        if len(fresh):
            columns["voice_of"][at] = voices[block.voice_of[fresh]]
            columns["session_of"][at] = sessions[block.session_of[fresh]]
        if (block.model, block.dimensions) == self._model:
            columns["coded"][at] = block.coded[fresh]
            columns["codes"][at] = block.codes[fresh]
        elif block.coded.any():
            columns["foreign"][at] = block.coded[fresh]
            self.foreign_model = (block.model, block.dimensions)
        return np.arange(begin, end)

    def _room(self, rows: int) -> None:
        if rows <= len(self._columns["times"]):
            return
        # Pages of zeros that nobody wrote to take no memory: room to spare costs nothing.
        size = max(rows, len(self._columns["times"]) * 2)
        for name, old in self._columns.items():
            made = np.zeros((size, *old.shape[1:]), old.dtype)
            made[: self._count] = old[: self._count]
            self._columns[name] = made

    def _add_terms(self, where: npt.NDArray[np.int64], postings: Postings) -> None:
        kept = where[postings.rows] >= 0
        rows = where[postings.rows[kept]]
        self.terms.add(postings.terms[kept], rows, postings.counts[kept])
        np.add.at(self._columns["lengths"], rows, postings.counts[kept].astype(np.float32))
        worded = where[where >= 0]
        self._columns["worded"][worded] = True
        self._add_dates(worded)

    def _add_dates(self, rows: npt.NDArray[np.int64]) -> None:
        term, lengths = self._dates.of(self._columns["times"][rows])
        self.terms.add(term, np.repeat(rows, lengths), np.ones(len(term), np.uint8))
        self._columns["lengths"][rows] += lengths

    def _voice(self, voice: Voice) -> int:
        self._roles.setdefault(voice.role, len(self._roles))
        return self._voices.number(voice)

    def _keys(self, block: Block) -> list[int | str]:
        """What each row's place is known by: a number, which is small, or else its sort key."""
        roles = np.array([self._roles[voice.role] for voice in block.voices] or [0])
        role_of = roles[block.voice_of]
        numbers: list[int | str] = (block.times * _ROLES + role_of).tolist()
        for n in (*block.suffixes, *np.flatnonzero(role_of >= _ROLES)):
            numbers[n] = block.place(int(n))
        return numbers

    def _place_key(self, place: str) -> int | str:
        plain = _PLAIN_PLACE.fullmatch(place)
        number = self._roles.get(decoded(plain["role"])) if plain else None
        if plain is None or number is None or number >= _ROLES:
            return place
        return int(plain["time"]) * _ROLES + number
