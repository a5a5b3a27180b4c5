"""Every error has an exit code, stands in the docs, and maps from AWS by one table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import core.errors
from core.errors import AWS_CODES, IalError, details, error_classes

DOCS = Path(__file__).parents[2] / "docs" / "exit-codes.md"
MEANINGS = {1, 2, 3, 4, 5, 6, 7, 130, 143}


@pytest.mark.parametrize("kind", error_classes())
def test_each_class_has_a_documented_exit_code(kind: type[IalError]) -> None:
    """The class's code is one of those that `ialctl` promises, and docs/exit-codes.md says so."""
    assert kind.exit_code in MEANINGS
    row = re.search(rf"^\| `{kind.__name__}` \| (\d+) \|", DOCS.read_text(), re.MULTILINE)
    assert row is not None, f"{kind.__name__} is not in {DOCS.name}"
    assert int(row[1]) == kind.exit_code


def test_the_drawing_of_the_hierarchy_is_right() -> None:
    """The module's docstring draws every class with its code, below its base."""
    drawn = re.findall(r"^([ │├└─]*)(\w+) \((\d+)\)", core.errors.__doc__ or "", re.MULTILINE)
    bases: list[tuple[int, str]] = []
    for indent, name, code in drawn:
        kind = getattr(core.errors, name)
        bases = [base for base in bases if base[0] < len(indent)]
        assert kind.exit_code == int(code)
        assert kind.__base__.__name__ == (bases[-1][1] if bases else "Exception")
        bases.append((len(indent), name))
    assert {name for _, name, _ in drawn} == {kind.__name__ for kind in error_classes()}


def test_details_are_plain_data() -> None:
    """An error's JSON form holds its sentence, its cure and its fields."""
    error = AWS_CODES["AccessDenied"]("No.", "Ask.", table="x")
    assert details(error) == {
        "error": "AccessDeniedError",
        "message": "No.",
        "cure": "Ask.",
        "exit_code": 4,
        "fields": {"table": "x"},
    }
