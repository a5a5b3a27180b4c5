"""What a backup holds in memory does not grow with the table, nor with what its items are."""

from __future__ import annotations

import sys

import pytest

from scripts.bench_backup import memory

MOST_MIB = 200.0


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc")
@pytest.mark.parametrize(
    ("items", "size", "numbers"), [(60_000, 100, 0), (3_000, 100, 384)], ids=["tiny", "vectors"]
)
def test_a_backup_takes_little_memory(items: int, size: int, numbers: int) -> None:
    """A child that backs up tiny items, or vectors, stays under 200 MiB."""
    assert memory(items, size, numbers) < MOST_MIB
