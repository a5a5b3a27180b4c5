"""The emulator's package in this process, put back as it was: hooks of ours are laid around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType


@contextmanager
def borrowed_emulator() -> Iterator[None]:
    """What functions of its DynamoDB the block replaces stand again after it."""
    from ministack.services import dynamodb

    before = {n: held for n, held in vars(dynamodb).items() if isinstance(held, FunctionType)}
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(dynamodb, name, function)
