"""What a message's metadata may hold: what DynamoDB takes as an attribute's value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.aws.codec import encode
from core.errors import UsageError

MAX_DEPTH = 30
"""DynamoDB takes 32 levels, the item and the attribute itself counted in."""
NAME_BYTES = 65_535


def check_metadata(metadata: Mapping[str, Any]) -> None:
    """Refuses metadata that no item can hold.

    Raises:
        UsageError: a name that is empty or too long, a text that is none, a number that
            DynamoDB has no place for, or too many levels.
    """
    for text, depth, named in _texts(metadata, 1):
        if depth > MAX_DEPTH:
            raise UsageError(
                f"The metadata have more than {MAX_DEPTH} levels.", "Store them as one JSON text."
            )
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise UsageError(
                "The metadata hold half of a surrogate pair, which is not text.",
                "Write it in proper Unicode.",
            ) from error
        if named and not 0 < size <= NAME_BYTES:
            raise UsageError(
                f"A name in the metadata has {size} bytes; 1 to {NAME_BYTES} are allowed.",
                "Choose another name.",
            )
    encode(metadata)


def _texts(value: Any, depth: int) -> Iterator[tuple[str, int, bool]]:
    # One level too many is reported and not gone into: its depth may be anything.
    if isinstance(value, str):
        yield value, depth, False
    elif depth > MAX_DEPTH and isinstance(value, Mapping | list | tuple):
        yield "", depth, False
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name), depth, True
            yield from _texts(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner, depth + 1)
