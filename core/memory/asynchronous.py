"""Twins for callers with an event loop: the same work, in a thread of the loop's executor.

The quick client is synchronous: what a request costs is mostly the interpreter's time, which an
asynchronous client needs as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Runs `work` without blocking the loop. A cancelled caller leaves at once; the work ends."""
    return await asyncio.to_thread(work)
