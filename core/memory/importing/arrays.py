"""The objects of a large JSON file, one after the other, with little memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import ijson

from core.memory.importing.records import Bad


def objects(stream: IO[bytes]) -> Iterator[tuple[int, Any | Bad]]:
    """The elements of a JSON array, or the one object that the file is, numbered from 1.

    Where the JSON is broken, a `Bad` says so and ends the row.
    """
    first = _first_byte(stream)
    number = 0
    try:
        for value in ijson.items(stream, "item" if first == b"[" else "", use_float=True):
            number += 1
            yield number, value
    except ijson.IncompleteJSONError:
        yield number + 1, Bad(number + 1, "the file ends in the middle of it, or is broken there")
    except (ijson.JSONError, UnicodeDecodeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        yield number + 1, Bad(number + 1, f"not JSON: {reason}")


def _first_byte(stream: IO[bytes]) -> bytes:
    peek = getattr(stream, "peek", None)
    beginning: bytes = peek(1024) if peek else b""
    return beginning.lstrip()[:1]
