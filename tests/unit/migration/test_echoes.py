"""The migration's own writes, told from others' in a stream."""

from __future__ import annotations

from typing import cast

from core.migration.crossing import Key
from core.migration.echoes import Echoes, Expected
from core.migration.journal import Journal
from core.migration.touches import Record

_AT_S = 1_000_000.0
_KEY = ("ada", "k")


class Noted:
    """As much of a journal as this needs."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}

    def announced(self) -> tuple[()]:
        """Nothing was announced before."""
        return ()

    def announce(self, name: str, at_s: float, rows: list[list[str]]) -> None:
        """Notes how many there are."""
        self.rows[name] = len(rows)


def _echoes() -> Echoes:
    return Echoes(cast(Journal, Noted()), _AT_S - 60, _AT_S)


def _record(
    old: bytes | None, new: bytes | None, at_s: float = _AT_S, *, marked: bool = False
) -> Record:
    return Record("legacy", _KEY, "", old, new, int(at_s * 1_000_000), (), marked)


def test_a_clock_may_be_three_seconds_off() -> None:
    """A write of our own is told by its record, stamped by a clock ahead of ours or behind it; it
    is waited for until that clock has passed."""
    for off_s in (-3.0, 3.0):
        echoes = _echoes()
        echoes.expect([Expected("legacy", _KEY, b"new")], _AT_S)
        echoes.done(_AT_S)
        stamp_s = int(_AT_S + off_s + 0.9)
        assert echoes.shown(stamp_s) == {}
        assert echoes.is_echo(_record(b"old", b"new", stamp_s))
        assert not echoes.is_echo(_record(b"old", b"new", stamp_s))


def test_what_somebody_overwrote_is_not_awaited_as_deleted() -> None:
    """A marked item that somebody wrote over is gone as a dispute: the next marked one that goes
    is deleted by us. One that somebody deleted is told once."""
    echoes = _echoes()
    echoes.dispute("legacy", _KEY)
    assert not echoes.is_echo(_record(b"old", b"old"))  # the mark itself
    assert not echoes.is_echo(_record(b"old", None, marked=True))
    echoes.dispute("legacy", _KEY)
    assert not echoes.is_echo(_record(b"old", b"theirs"))
    assert echoes.is_echo(_record(b"theirs", None, marked=True))


def test_what_is_noted_at_once_fits_a_transaction() -> None:
    """With keys as long as they may be, announcements are noted in several goes, each once."""
    echoes, went = _echoes(), 0
    keys: list[list[Key]] = [
        [(f"{batch}-{n}-" + "u" * 2000, "k" * 1000) for n in range(50)] for batch in range(40)
    ]
    for some in keys:
        echoes.expect([Expected("legacy", key, b"d") for key in some], _AT_S)
        at_us = int(_AT_S * 1_000_000)
        assert echoes.is_echo(Record("legacy", some[0], "", None, b"d", at_us, (), marked=False))
    while noted := echoes.shown(_AT_S - 60):
        assert sum(len(str(rows)) for _, rows in noted.values()) < 3_500_000
        went += len(noted)
    assert went == len(keys)
