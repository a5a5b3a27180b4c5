"""What tests of the memory share."""

from __future__ import annotations

import pytest

from core.testing.clock import FakeClock
from tests.engines import FIRST_US


@pytest.fixture
def clock() -> FakeClock:
    """A clock long after the messages."""
    return FakeClock(FIRST_US / 1e6 + 40 * 86_400)
