"""What one layout was measured to consume: where measuring ends and arithmetic begins.

`ialctl benchmark` makes profiles, the cost model reads them; as JSON they lie in a benchmark's
result, under `profiles`.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import UsageError

LAYOUTS = ("legacy", "optimized")
Curve = tuple[tuple[int, float], ...]
"""Points (messages that a user's history holds, read units), in order of the first."""

_CURE = "Make it anew: `ialctl benchmark --save FILE`."
_MOST = 1e12
_TEXTS = ("layout", "source")
_CURVES = ("context_rru", "context_cold_rru")


@dataclass(frozen=True)
class Profile:
    """What a layout consumes, measured; units by DynamoDB's rules, all figures are means.

    `append_*` is what the history takes a message: base tables and their indexes. `index_*` is the
    search index and the vectors, a message, with their secondary index. `recent_rru` and
    `search_rru` are for one call each; `context_rru` and `context_cold_rru` for one context, in a
    process that knows the user and in one that doesn't, by the size of the user's history.
    `*_bytes` are billed sizes a message, 100 bytes an item included: `stored_bytes` of the
    history's base tables, `vector_bytes` of the base table of vectors and search index, and
    `gsi_bytes` of all secondary indexes, those of the vectors too: no backup is billed for them.
    Vectors that lie inline in the history count as `stored_bytes`.
    """

    layout: str
    source: str
    append_rru: float
    append_wru: float
    index_rru: float
    index_wru: float
    recent_rru: float
    search_rru: float
    context_rru: Curve
    context_cold_rru: Curve
    stored_bytes: float
    gsi_bytes: float
    vector_bytes: float
    embeddings_per_message: float
    embeddings_per_context: float
    tokens_per_message: float

    def context_units(self, messages: float, cold_share: float) -> float:
        """Read units of a context over `messages`, `cold_share` (0 to 1) of them cold."""
        warm, cold = at(self.context_rru, messages), at(self.context_cold_rru, messages)
        return warm * (1 - cold_share) + cold * cold_share

    @property
    def bytes_per_message(self) -> float:
        """All that is stored for a message, in bytes as storage is billed."""
        return self.stored_bytes + self.gsi_bytes + self.vector_bytes

    def to_json(self) -> dict[str, Any]:
        """As plain data; `from_json` takes it back."""
        held = dataclasses.asdict(self)
        return held | {name: [list(point) for point in held[name]] for name in _CURVES}

    @classmethod
    def from_json(cls, data: object) -> Profile:
        """A profile from plain data.

        Raises:
            UsageError: a field is missing, unknown, negative or of another kind.
        """
        if not isinstance(data, Mapping):
            raise UsageError(f"A cost profile is a {type(data).__name__}, not an object.", _CURE)
        _same_fields(data)
        values = {name: _read(name, data[name]) for name in data}
        return cls(**values)


def at(curve: Curve, size: float) -> float:
    """The curve's value at `size`: linear between two points, constant outside of them."""
    right = bisect.bisect_left(curve, size, key=lambda point: point[0])
    if right == 0:
        return curve[0][1]
    if right == len(curve):
        return curve[-1][1]
    (below, low), (above, high) = curve[right - 1], curve[right]
    return low + (high - low) * (size - below) / (above - below)


def _same_fields(data: Mapping[Any, Any]) -> None:
    known = {field.name for field in dataclasses.fields(Profile)}
    if missing := sorted(known - set(data)):
        raise UsageError(f"A cost profile lacks '{missing[0]}'.", _CURE)
    if unknown := sorted(str(name) for name in set(data) - known):
        raise UsageError(f"A cost profile has the unknown field '{unknown[0]}'.", _CURE)


def _read(name: str, value: object) -> Any:
    if name in _TEXTS:
        return _text(name, value)
    if name in _CURVES:
        return _curve(name, value)
    return _number(name, value)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _bad(name, value, "a text that is not empty")
    if name == "layout" and value not in LAYOUTS:
        raise _bad(name, value, " or ".join(LAYOUTS))
    return value


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad(name, value, "a number of 0 or more")
    if not 0 <= value <= _MOST:
        raise _bad(name, value, f"a number from 0 to {_MOST:g}")
    return float(value)


def _curve(name: str, value: object) -> Curve:
    wanted = "pairs [messages, read units], messages rising"
    if not isinstance(value, list | tuple) or not value:
        raise _bad(name, value, wanted)
    points = tuple(_point(name, point, wanted) for point in value)
    sizes = [size for size, _ in points]
    if sorted(set(sizes)) != sizes:
        raise _bad(name, value, wanted)
    return points


def _point(name: str, point: object, wanted: str) -> tuple[int, float]:
    if not isinstance(point, list | tuple) or len(point) != 2:
        raise _bad(name, point, wanted)
    size = _number(name, point[0])
    if size != int(size):
        raise _bad(name, point, wanted)
    return int(size), _number(name, point[1])


def _bad(name: str, value: object, wanted: str) -> UsageError:
    shown = repr(value)
    if len(shown) > 60:
        shown = shown[:59] + "…"
    return UsageError(f"The cost profile's '{name}' is {shown}; it should be {wanted}.", _CURE)
