"""Statements parsed quickly say what the emulator's own parser says."""

from __future__ import annotations

from typing import Any

import pytest
from ministack.services._dynamodb_keywords import PartiqlError, parse_statement

from core.local.quick_statements import quick_parser

_PLAIN = "INSERT INTO \"t\" VALUE {'pk': ?, 'it''s': ?}"


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        (_PLAIN, [{"S": "a"}, {"N": "1"}]),
        (_PLAIN, [{"S": "b"}, {"M": {"x": {"L": []}}}]),
        ("INSERT INTO \"t\" VALUE {'pk': ?, 'pk': ?}", [{"S": "a"}, {"S": "b"}]),
        ("INSERT INTO \"t\" VALUE {'pk': 'x', 'n': ?}", [{"N": "1"}]),
        ('INSERT INTO "t" VALUE ?', [{"M": {"pk": {"S": "a"}}}]),
        ('SELECT * FROM "t" WHERE pk = ?', [{"S": "a"}]),
    ],
)
def test_a_statement_is_parsed_as_ever(text: str, parameters: list[Any]) -> None:
    """However often it comes, and whatever came before it."""
    quick = quick_parser(parse_statement)
    quick(_PLAIN, [{"S": "other"}, {"BOOL": True}])
    expected = parse_statement(text, parameters)
    for _ in range(3):
        assert quick(text, parameters) == expected


@pytest.mark.parametrize("parameters", [[], [{"S": "a"}]])
def test_too_few_parameters_are_refused_as_ever(parameters: list[Any]) -> None:
    """A text that is known already does not hide that parameters are missing."""
    quick = quick_parser(parse_statement)
    quick(_PLAIN, [{"S": "a"}, {"S": "b"}])
    with pytest.raises(PartiqlError):
        quick(_PLAIN, parameters)
