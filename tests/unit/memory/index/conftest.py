"""LoCoMo's conversations, read once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.memory.index.corpora import Conversation, conversations


@pytest.fixture(scope="session")
def locomo_conversations(locomo: Path) -> list[Conversation]:
    """The conversations with their questions."""
    return conversations(locomo)
