"""`ialctl docs`: the documentation that is shipped with the program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ialctl.command import command
from ialctl.context import AppContext
from ialctl.output import Column

if TYPE_CHECKING:
    from rich.console import RenderableType

EXAMPLES = ("ialctl docs", "ialctl docs backup")
COLUMNS = (Column("TOPIC", "topic"), Column("ABOUT", "title"))
_PAGES = ("README.md", "CHANGELOG.md", "LICENSE")
_Topic = Annotated[str | None, typer.Argument(help="A topic; none: all are listed.")]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "docs", examples=EXAMPLES)
    def docs(context: AppContext, topic: _Topic = None) -> None:
        """Show the documentation: its topics, or one of them; plain Markdown in a pipe."""
        pages = topics()
        if topic is None:
            rows = [{"topic": name, "title": title(page)} for name, page in pages.items()]
            context.output.rows("docs", rows, COLUMNS)
            return
        page = find(pages, topic)
        text = page.read_text(encoding="utf-8")
        data = {"topic": page.stem.lower(), "title": title(page), "markdown": text}
        context.output.result("docs.topic", data, lambda: _shown(context, text))


def topics() -> dict[str, Path]:
    """The pages by their names.

    Raises:
        StorageError: they are not there.
    """
    from core.errors import StorageError
    from core.shipped import shipped

    pages = [shipped(name) for name in _PAGES] + sorted(shipped("docs").glob("*.md"))
    found = {page.stem.lower(): page for page in pages if page.is_file()}
    if not found:
        raise StorageError(
            f"There is no documentation at '{shipped('docs')}'.",
            "Use the binary, or a checkout of the sources: both carry it.",
            path=shipped("docs"),
        )
    return found


def find(pages: dict[str, Path], topic: str) -> Path:
    """The page of a topic, in capitals or not, with its ending or without.

    Raises:
        UsageError: there is none of that name.
    """
    import difflib

    from core.errors import UsageError

    name = topic.lower().removesuffix(".md")
    if name in pages:
        return pages[name]
    near = difflib.get_close_matches(name, pages, n=1)
    raise UsageError(
        f"There is no topic '{topic}'.",
        f"Did you mean `ialctl docs {near[0]}`?" if near else "`ialctl docs` lists all topics.",
    )


def title(page: Path) -> str:
    """The first line that says something, without what marks it as a title."""
    with page.open(encoding="utf-8") as lines:
        return next((line.strip("# \n") for line in lines if line.strip("# \n")), "")


def _shown(context: AppContext, text: str) -> RenderableType:
    from ialctl.output import plain, printable

    if not context.output.out.is_terminal:
        return plain(text)
    from rich.markdown import Markdown

    return Markdown(printable(text))
