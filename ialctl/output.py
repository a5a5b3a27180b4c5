"""The one sink: data to stdout, everything else to stderr.

Commands hand over values; how they look (a table, JSON, JSON lines) is decided here. Whatever
comes from outside is stripped of terminal escapes and of markup.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.errors import IalError, NotConfirmedError, details

Format = Literal["table", "json", "jsonl"]
FORMATS: Mapping[str, Format] = {"table": "table", "json": "json", "jsonl": "jsonl"}
SCHEMA_VERSION = 1
# A pipe has no width: what reads it wants one row a line.
_PIPE_WIDTH = 1000


def printable(text: str) -> str:
    r"""Text that can't steer a terminal: control characters are shown as `\x1b`, newlines kept."""
    return "".join(
        c
        if c == "\n"
        or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        or c in _JOINERS
        else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


# Zero width joiner and variation selectors make up emoji; they steer nothing.
_JOINERS = frozenset("\u200d\ufe0e\ufe0f")


def plain(text: object) -> Text:
    """A text without markup, safe for a terminal."""
    return Text(printable(str(text)))


@dataclass(frozen=True)
class Column:
    """A column of a table: its title and which key of a row it shows."""

    title: str
    key: str
    right: bool = False


class Output:
    """Where a command's results, notes and questions go."""

    def __init__(
        self,
        output_format: Format = "table",
        *,
        quiet: bool = False,
        colour: bool = True,
        assume_yes: bool = False,
    ) -> None:
        self.format = output_format
        self.quiet = quiet
        self.assume_yes = assume_yes
        options: dict[str, Any] = {"highlight": False, "no_color": not colour}
        self.out = Console(
            file=sys.stdout, width=None if sys.stdout.isatty() else _PIPE_WIDTH, **options
        )
        self.err = Console(
            file=sys.stderr, width=None if sys.stderr.isatty() else _PIPE_WIDTH, **options
        )

    @property
    def live(self) -> bool:
        """True where a picture that redraws itself can be shown."""
        return self.err.is_terminal and not self.err.is_dumb_terminal and not self.quiet

    def result(
        self, schema: str, data: Mapping[str, Any], human: Callable[[], RenderableType]
    ) -> None:
        """The command's one answer: `data` in JSON, what `human` makes of it in a table."""
        if self.format == "table":
            shown = human()
            # A text is not broken into lines of a console's width: where lines end is a part of it.
            for part in shown.renderables if isinstance(shown, Group) else (shown,):
                self.out.print(part, soft_wrap=isinstance(part, Text))
        else:
            self._json({"schema": f"ialctl.{schema}/{SCHEMA_VERSION}", **data})

    def rows(
        self,
        schema: str,
        rows: Iterable[Mapping[str, Any]],
        columns: Sequence[Column],
        **about: Any,
    ) -> None:
        """A list: a table, one JSON object that holds `rows`, or one JSON line a row."""
        name = f"ialctl.{schema}/{SCHEMA_VERSION}"
        if self.format == "jsonl":
            for row in rows:
                self._json({"schema": name, **row})
        elif self.format == "json":
            self._json({"schema": name, **about, "rows": list(rows)})
        else:
            self.out.print(table(rows, columns))

    def note(self, text: str | Text) -> None:
        """What happens, for a person (stderr); silent with `--quiet`."""
        if not self.quiet:
            self.err.print(plain(text) if isinstance(text, str) else text)

    def warn(self, text: str) -> None:
        """What a person should know even with `--quiet` (stderr)."""
        self.err.print(Text("! ", style="yellow") + plain(text))

    def error(self, error: IalError) -> None:
        """What happened, and what to do (stderr); in JSON formats as one JSON line."""
        if self.format != "table":
            sys.stderr.write(json.dumps(details(error)) + "\n")
            return
        self.err.print(Text("✗ ", style="red") + plain(error.what))
        if error.cure:
            self.err.print(Text("  → ", style="cyan") + plain(error.cure))

    def confirm(self, question: str, flag: str = "--yes") -> None:
        """Asks a yes-or-no question; returns only on yes.

        Raises:
            NotConfirmedError: the answer was no, or there is no terminal to ask on.
        """
        if self.assume_yes:
            return
        if self.ask(f"{question} [y/N]", flag).strip().lower() not in ("y", "yes"):
            raise NotConfirmedError("Not confirmed; nothing was changed.", f"Or pass {flag}.")

    def ask(self, question: str, flag: str) -> str:
        """Asks for a line of text on the terminal.

        Raises:
            NotConfirmedError: there is no terminal to ask on.
        """
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise NotConfirmedError(
                f"This needs an answer, and there is no terminal to ask on: {question}",
                f"Pass {flag}.",
            )
        self.err.print(plain(question), end=" ")
        return sys.stdin.readline()

    def _json(self, value: Mapping[str, Any]) -> None:
        options = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
        if self.format == "json":
            options |= orjson.OPT_INDENT_2
        sys.stdout.write(orjson.dumps(value, default=str, option=options).decode())
        sys.stdout.flush()


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[Column]) -> Table:
    """A borderless table of plain texts; long cells fold, none is cut."""
    made = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        made.add_column(column.title, justify="right" if column.right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(plain(_cell(row[c.key], c)) for c in columns))
    return made


def _cell(value: Any, column: Column) -> Any:
    """Amounts, which stand to the right, as people write them: `150,000`."""
    if column.right and type(value) is int:
        return f"{value:,}"
    return "" if value is None else value
