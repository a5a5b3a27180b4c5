"""`ialctl destroy`: deletes stacks; what holds data is kept unless it is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ialctl.command import command
from ialctl.commands.start import DryRun
from ialctl.context import AppContext

if TYPE_CHECKING:
    from rich.text import Text

    from core.deploy.destroy import Holding
    from core.deploy.stacks import Stack
    from core.deploy.values import Destroyed

DeleteData = Annotated[
    bool, typer.Option("--delete-data", help="Delete tables, backups and the key as well.")
]
Confirm = Annotated[
    str | None,
    typer.Option("--confirm", help="The project's name, to delete its data.", metavar="PROJECT"),
]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(
        app,
        "destroy",
        examples=("ialctl destroy", "ialctl destroy --yes --delete-data --confirm ial"),
    )
    def destroy(
        context: AppContext,
        delete_data: DeleteData = False,
        confirm: Confirm = None,
        dry_run: DryRun = False,
    ) -> None:
        """Delete this project's stacks; tables, backups and the key are kept."""
        from ialctl.deploy_progress import interruptible, shown_progress
        from ialctl.deploying import deployment

        if not dry_run:
            _ask(context, confirm, delete_data=delete_data)
        with interruptible(context.output):
            removal = deployment(context)
            if dry_run:
                _show(context, removal.removable(), delete_data=delete_data)
                return
            with removal.locked(), shown_progress(context.output, context.clock) as observer:
                removal.observe(observer)
                done = removal.destroy(delete_data=delete_data)
        _report(context, done)


def _ask(context: AppContext, confirm: str | None, *, delete_data: bool) -> None:
    """Asks before anything is looked at: without a terminal this ends at once."""
    from core.errors import NotConfirmedError

    project = context.settings.project
    if not delete_data:
        context.output.confirm(f"Delete all stacks of '{project}' on {context.settings.target}?")
        return
    flag = f"--confirm {project}"
    typed = confirm
    if typed is None:
        question = f"This deletes all data of '{project}'. Type the project's name to go on:"
        typed = context.output.ask(question, flag).strip()
    if typed != project:
        raise NotConfirmedError(
            f"'{typed}' is not the project's name, '{project}'; nothing was deleted.",
            f"To delete its data: `ialctl destroy --delete-data {flag}`.",
        )
    context.output.confirm(f"Delete all stacks and all data of '{project}'?")


def _show(
    context: AppContext,
    removable: tuple[tuple[Stack, ...], tuple[Holding, ...]],
    *,
    delete_data: bool,
) -> None:
    stacks, held = removable
    names = tuple(f"{holding.kind} {holding.name}" for holding in held)
    would = [stack.name for stack in stacks]
    data = {"dry_run": True, "stacks": would}
    data |= {"deleted": names if delete_data else (), "kept": () if delete_data else names}
    context.output.result("destroy", data, lambda: _text("would be deleted", would, data))


def _report(context: AppContext, done: Destroyed) -> None:
    data = {"dry_run": False, "stacks": done.stacks, "deleted": done.deleted, "kept": done.kept}
    context.output.result("destroy", data, lambda: _text("deleted", done.stacks, data))


def _text(word: str, stacks: Sequence[str], data: Mapping[str, Any]) -> Text:
    from ialctl.output import plain

    if not (stacks or data["deleted"] or data["kept"]):
        return plain("Nothing of this project stands; nothing to delete.")
    lines = [f"{word}: stack {name}" for name in stacks]
    lines += [f"{word}: {name}" for name in data["deleted"]]
    lines += [f"kept: {name}" for name in data["kept"]]
    if data["kept"]:
        lines.append("`ialctl start` takes what was kept into its stacks again.")
    return plain("\n".join(lines))
