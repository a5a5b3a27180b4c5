"""The objects of a large JSON file, one after the other, with little memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, Any

import ijson

from core.memory.importing.records import Bad

MOST_LEVELS = 4000
"""No conversation nests deeper; the parser takes memory by the square of the levels."""
_TOKENS = re.compile(rb'\\.?|["\[\]{}]', re.DOTALL)


def objects(stream: IO[bytes]) -> Iterator[tuple[int, Any | Bad]]:
    """The elements of a JSON array, or the one object that the file is, numbered from 1.

    Where the JSON is broken, a `Bad` says so and ends the row.
    """
    first = _first_byte(stream)
    number = 0
    try:
        for value in ijson.items(_Shallow(stream), "item" if first == b"[" else "", use_float=True):
            number += 1
            yield number, value
    except ijson.IncompleteJSONError:
        yield number + 1, Bad(number + 1, "the file ends in the middle of it, or is broken there")
    except _TooDeepError:
        reason = f"brackets stand in brackets over {MOST_LEVELS} times"
        yield number + 1, Bad(number + 1, reason)
    except (ijson.JSONError, UnicodeDecodeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        yield number + 1, Bad(number + 1, f"not JSON: {reason}")


def _first_byte(stream: IO[bytes]) -> bytes:
    peek = getattr(stream, "peek", None)
    beginning: bytes = peek(1024) if peek else b""
    return beginning.lstrip()[:1]


class _TooDeepError(ValueError):
    pass


class _Shallow:
    """A stream of JSON that ends with `_TooDeepError` before it nests too deep."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._levels = 0
        self._quoted = False
        self._escaped = False

    def read(self, size: int) -> bytes:
        """The next bytes, as the stream has them."""
        chunk = self._stream.read(size)
        # An escape may be cut in two: what it escapes is no bracket and ends no text.
        for token in _TOKENS.findall(chunk, 1 if self._escaped and chunk else 0):
            self._take(token)
        if chunk:
            self._escaped = self._quoted and _ends_in_escape(chunk, escaped=self._escaped)
        return chunk

    def _take(self, token: bytes) -> None:
        if token == b'"':
            self._quoted = not self._quoted
        elif self._quoted or token.startswith(b"\\"):
            return
        else:
            self._levels += 1 if token in b"[{" else -1
            if self._levels > MOST_LEVELS:
                raise _TooDeepError


def _ends_in_escape(chunk: bytes, *, escaped: bool) -> bool:
    backslashes = len(chunk) - len(chunk.rstrip(b"\\"))
    if backslashes == len(chunk) and escaped:
        backslashes -= 1
    return backslashes % 2 == 1
