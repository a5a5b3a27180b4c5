"""What a backup or a restore tells while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["scanning", "replaying", "exporting", "checking", "writing", "verifying", "done"]


@dataclass(frozen=True)
class Progress:
    """How far one table is: items and bytes of them, and the capacity units they took.

    `of_items` and `of_bytes` are what there will be, None where nobody knows.
    """

    table: str
    stage: Stage
    items: int
    bytes: int
    units: float
    of_items: int | None = None
    of_bytes: int | None = None
    detail: str = ""


Observer = Callable[[Progress], None]
"""Told of progress, from any thread."""


def no_observer(_progress: Progress) -> None:
    """Tells nobody."""
