"""Sizes, times and durations as people read them."""

from __future__ import annotations

_STEP = 1024
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def size_words(size: int) -> str:
    """A size: `130 B`, `2.1 MiB`."""
    if size < _STEP:
        return f"{size} B"
    value = float(size)
    for unit in _UNITS:
        value /= _STEP
        if value < _STEP or unit == _UNITS[-1]:
            break
    return f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}"


def duration_words(seconds: float) -> str:
    """A duration: `0.8 s`, `4 min 12 s`, `3 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def instant_words(text: str) -> str:
    """An instant of a manifest, without milliseconds that are none."""
    return text.replace(".000Z", "Z")


def counted(count: int, noun: str) -> str:
    """So many of a thing: `1 table`, `1,200 items`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
