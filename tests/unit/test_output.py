"""The one sink: data to stdout, all else to stderr, nothing that steers a terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import IalError, NotConfirmedError
from ialctl.output import Column, Output, plain, printable

COLUMNS = (Column("NAME", "name"), Column("SIZE", "size", right=True))
ROWS: list[dict[str, object]] = [
    {"name": "[bold]a[/bold]", "size": 1},
    {"name": "b\x1b[31m", "size": None},
]


def test_a_table_shows_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Markup is not interpreted and escapes are shown, not obeyed."""
    Output().rows("things", ROWS, COLUMNS)
    shown = capsys.readouterr()
    assert "[bold]a[/bold]" in shown.out
    assert "b\\x1b[31m" in shown.out
    assert shown.err == ""


def test_amounts_in_a_table_are_written_as_people_do(capsys: pytest.CaptureFixture[str]) -> None:
    """With commas where they stand to the right, and nowhere else."""
    columns = (Column("ITEMS", "items", right=True), Column("PORT", "port"))
    Output(colour=False).rows("test", [{"items": 150_000, "port": 44367}], columns)
    assert "150,000  44367" in capsys.readouterr().out


def test_json_is_one_object_with_a_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON holds all rows and the schema; JSON lines one row a line."""
    Output("json").rows("things", ROWS, COLUMNS, total=2)
    found = json.loads(capsys.readouterr().out)
    assert found == {"schema": "ialctl.things/1", "total": 2, "rows": ROWS}
    Output("jsonl").rows("things", ROWS, COLUMNS)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["size"] for line in lines] == [1, None]


def test_notes_never_reach_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """Notes, warnings and errors go to stderr; `quiet` silences notes only."""
    for quiet in (False, True):
        output = Output(quiet=quiet)
        output.note("note")
        output.warn("warning")
        output.error(IalError("It broke.", "Mend it."))
        shown = capsys.readouterr()
        assert shown.out == ""
        assert ("note" in shown.err) != quiet
        assert "warning" in shown.err
        assert "It broke." in shown.err
        assert "Mend it." in shown.err


def test_an_error_in_json_mode_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A program that reads JSON can read the error as well."""
    Output("json").error(IalError("It broke."))
    assert json.loads(capsys.readouterr().err)["message"] == "It broke."


def test_a_question_without_a_terminal_is_an_error() -> None:
    """Nothing hangs: the error names the flag; with `--yes` nothing is asked."""
    with pytest.raises(NotConfirmedError) as caught:
        Output().confirm("Go on?")
    assert "--yes" in (caught.value.cure or "")
    Output(assume_yes=True).confirm("Go on?")


@given(st.text())
def test_printable_text_holds_no_control_character(text: str) -> None:
    """Whatever comes in, only line ends are left of what a terminal obeys."""
    shown = printable(text)
    assert not any(ord(c) < 32 and c != "\n" for c in shown)
    assert not any(0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E for c in shown)
    shown.encode()


def test_emoji_stay_whole() -> None:
    """Joiners inside an emoji are kept."""
    assert printable("👩‍🚀 ❤️") == "👩‍🚀 ❤️"


def test_a_text_is_not_broken_into_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever pipes a context gets its lines as they are: a stored text begins none of them."""
    text = "word " * 1000 + "end"
    Output().result("text", {}, lambda: plain(text))
    assert capsys.readouterr().out == text + "\n"
