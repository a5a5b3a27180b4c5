"""Commands that are printed can be copied."""

from __future__ import annotations

import json
import shlex

from hypothesis import given
from hypothesis import strategies as st

from core.doctor.shell import AwsCli, wrapped

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)


@given(st.lists(NAMES, max_size=8), st.dictionaries(NAMES, NAMES, max_size=6), st.integers(20, 90))
def test_a_broken_line_is_the_same_command(
    words: list[str], about: dict[str, str], width: int
) -> None:
    """However it is broken, a shell reads the words that were meant, and JSON the same value."""
    command = AwsCli(("--region", "r"))("dynamodb", *words, [about])
    read = shlex.split("\n".join(wrapped(command, width)).replace("\\\n", ""))
    assert read[: 2 + len(words)] == ["aws", "dynamodb", *words]
    assert json.loads(read[2 + len(words)]) == [about]
    assert read[-2:] == ["--region", "r"]


def test_lines_are_as_wide_as_they_may() -> None:
    """None is wider, as long as no word is."""
    lines = list(wrapped(AwsCli(())("dynamodb", *["word"] * 40), 30))
    assert all(len(line) <= 30 for line in lines)
    assert all(line.endswith(" \\") for line in lines[:-1])
