"""Which vectors a migration's verification holds against the messages."""

from __future__ import annotations

import pytest

from core.migration.comparison import vector_owner

PLACE = "1780000000000000#user"


@pytest.mark.parametrize(
    ("partition", "generation", "expected"),
    [
        ("a%23b#03", "", ("a#b", PLACE)),
        ("a%23b#03~e5", "", None),
        ("a%23b#03~e5", "e5", ("a#b", PLACE)),
        ("a%23b#03", "e5", None),
        ("ada~e5#03", "", ("ada~e5", PLACE)),
        ("ada#segments~e5", "e5", None),
        ("ada#segments", "", None),
    ],
)
def test_only_the_vectors_of_one_generation_count(
    partition: str, generation: str, expected: tuple[str, str] | None
) -> None:
    """Those of another are no orphans, nor do they stand for one that is missing."""
    item = {"user_chunk": {"S": partition}, "embedding_id": {"S": PLACE}}
    assert vector_owner(item, 0.0, generation) == expected
