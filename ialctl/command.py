"""The options that every command takes, added to a command's own by one decorator.

    @command(app, "status", examples=("ialctl status", "ialctl status --json"))
    def status(context: AppContext, ...own typer parameters...) -> None:
        One line that says what it does.

They may also stand before the command's name (`ialctl --json status`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from core.settings import load_settings, no_colour
from ialctl.context import AppContext
from ialctl.output import FORMATS, Output

_PANEL = "Options of every command"


def _option(*names: str, help_text: str, metavar: str | None = None) -> Any:
    return typer.Option(
        *names, help=help_text, rich_help_panel=_PANEL, show_default=False, metavar=metavar
    )


COMMON: dict[str, Any] = {
    "output": Annotated[
        str | None, _option("--output", help_text="table, json or jsonl.", metavar="FORMAT")
    ],
    "json": Annotated[bool, _option("--json", help_text="The same as --output json.")],
    "quiet": Annotated[bool, _option("--quiet", "-q", help_text="Data and errors only.")],
    "yes": Annotated[
        bool, _option("--yes", "-y", help_text="Answer questions with yes; lifts no protection.")
    ],
    "debug": Annotated[bool, _option("--debug", help_text="Tracebacks, and logs to stderr.")],
    "project": Annotated[
        str | None, _option("--project", help_text="Prefix of tables and stacks.", metavar="NAME")
    ],
    "target": Annotated[
        str | None, _option("--target", help_text="local (default) or aws.", metavar="TARGET")
    ],
    "endpoint_url": Annotated[
        str | None,
        _option("--endpoint-url", help_text="An AWS endpoint of your own.", metavar="URL"),
    ],
    "region": Annotated[str | None, _option("--region", help_text="AWS region.", metavar="NAME")],
    "profile": Annotated[
        str | None, _option("--profile", help_text="AWS profile.", metavar="NAME")
    ],
    "state_dir": Annotated[
        str | None,
        _option("--state-dir", help_text="Folder of local data, locks, logs.", metavar="DIR"),
    ],
}
_FLAGS = ("json", "quiet", "yes", "debug")
_SETTINGS = ("project", "target", "endpoint_url", "region", "profile", "state_dir")


def command(
    app: typer.Typer, name: str, *, examples: tuple[str, ...], **options: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a command that gets an `AppContext` and its own parameters."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function, eval_str=True)
        own = list(signature.parameters.values())[1:]

        @functools.wraps(function)
        def run(ctx: typer.Context, **arguments: Any) -> None:
            given = {key: arguments.pop(key) for key in COMMON}
            function(build_context(_merged(ctx, given)), **arguments)

        parameters = [_parameter("ctx", typer.Context), *own, *map(_common_parameter, COMMON)]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # how functools.wraps is overruled
        run.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
        epilog = "Examples:  " + "  ·  ".join(f"`{e}`" for e in examples)
        app.command(name, epilog=epilog, **options)(run)
        return function

    return register


def add_common_options(app: typer.Typer, help_text: str) -> None:
    """Lets the common options stand before the command's name."""

    def root(ctx: typer.Context, **arguments: Any) -> None:
        ctx.obj = arguments

    parameters = [_parameter("ctx", typer.Context), *map(_common_parameter, COMMON)]
    root.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # as above
    root.__annotations__ = {p.name: p.annotation for p in parameters}
    app.callback(help=help_text)(root)


def build_context(given: dict[str, Any]) -> AppContext:
    """The context that the common options describe.

    Raises:
        SettingsError: a setting, from wherever it came, can't be used.
        UsageError: an output format that does not exist.
    """
    from core.errors import UsageError
    from core.observability.logs import configure_logs

    wanted = FORMATS.get(given["output"] or ("json" if given["json"] else "table"))
    if wanted is None:
        raise UsageError(
            f"There is no output format '{given['output']}'.", "Choose table, json or jsonl."
        )
    loaded = load_settings({key: given[key] for key in _SETTINGS})
    configure_logs(loaded.settings.project_state_dir, to_stderr=given["debug"])
    output = Output(wanted, quiet=given["quiet"], colour=not no_colour(), assume_yes=given["yes"])
    return AppContext(loaded, output, debug=given["debug"])


def _merged(ctx: typer.Context, given: dict[str, Any]) -> dict[str, Any]:
    before = ctx.find_root().obj or {}
    return {key: value or before.get(key) or value for key, value in given.items()}


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation)


def _common_parameter(name: str) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=False if name in _FLAGS else None,
        annotation=COMMON[name],
    )
