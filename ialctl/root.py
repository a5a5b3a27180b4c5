"""Puts the commands together."""

from __future__ import annotations

import typer

from ialctl.command import add_common_options
from ialctl.commands import (
    archive,
    backup,
    benchmark,
    config,
    context_,
    cost,
    destroy,
    docs,
    doctor,
    drift,
    eval_,
    export,
    forget,
    import_,
    index,
    migrate,
    plan,
    reindex,
    restore,
    scripts_,
    start,
    status,
    stop,
    validate,
)

HELP = "A conversation memory for LLM agents on DynamoDB: deploy it, feed it, ask it."


def build_app() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        name="ialctl",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    add_common_options(app, HELP)
    modules = (
        *(
            archive,
            backup,
            benchmark,
            config,
            context_,
            cost,
            destroy,
            drift,
            eval_,
            export,
            forget,
        ),
        *(import_, index),
        *(migrate, plan, reindex, restore, start, status, stop, validate, docs, doctor, scripts_),
    )
    for module in modules:
        module.register(app)
    return app
