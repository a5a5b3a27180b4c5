"""INSERT statements that the emulator has seen before, not parsed again.

Whoever inserts many items sends the same text with other parameters, 25 in a request; the emulator
takes each apart twice, which is most of what such a request costs. The text of a plain INSERT of
parameters says everything but the values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Parse = Callable[[str, Sequence[Any]], dict[str, Any]]

_MOST = 256
_NAME = r"'(?:[^']|'')+': \?"
_PLAIN = re.compile(rf'INSERT INTO "[^"]+" VALUE \{{{_NAME}(?:, {_NAME})*\}}')


def quick_parser(parse: Parse) -> Parse:
    """A parser that does what `parse` does, and quickly so for a plain INSERT known already."""
    known: dict[str, Mapping[str, Any]] = {}

    def quick(text: str, parameters: Sequence[Any]) -> dict[str, Any]:
        seen = known.get(text)
        if seen is not None and parameters and len(parameters) == len(seen["item"]):
            return {**seen, "item": dict(zip(seen["item"], parameters, strict=True))}
        parsed = parse(text, parameters)
        if _says_all(text, parameters, parsed):
            if len(known) >= _MOST:
                known.clear()
            known[text] = {**parsed, "item": dict.fromkeys(parsed["item"])}
        return parsed

    return quick


def _says_all(text: str, parameters: Sequence[Any], parsed: Mapping[str, Any]) -> bool:
    """Whether the statement is an INSERT of exactly these parameters, in this order."""
    if parsed.get("op") != "INSERT" or not _PLAIN.fullmatch(text):
        return False
    values = list(parsed["item"].values())
    same = len(values) == len(parameters)
    return same and all(a is b for a, b in zip(values, parameters, strict=True))
