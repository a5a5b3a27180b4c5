"""`ialctl import`: conversations from files into the memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ialctl.command import command
from ialctl.context import AppContext

if TYPE_CHECKING:
    from core.memory.importing.importer import ImportPlan, ImportResult, Indexing
    from core.memory.importing.job import ImportJob
    from core.memory.importing.legacy import Destination

EXAMPLES = (
    "ialctl import chat.jsonl --user ada",
    "ialctl import conversations.json --format chatgpt --user ada --expire-days never",
)
_File = Annotated[str, typer.Argument(help="The file; - reads standard input.", metavar="FILE")]
_User = Annotated[str, typer.Option("--user", help="Whose messages these are.", metavar="ID")]
_Format = Annotated[str, typer.Option("--format", help="auto, jsonl, locomo or chatgpt.")]
_Expire = Annotated[
    str | None,
    typer.Option(
        "--expire-days",
        help="Days from now after which the messages expire, or never.",
        metavar="N|never",
        show_default="365",
    ),
]
_OnError = Annotated[
    str, typer.Option("--on-error", help="What a bad record does: skip (it is told) or stop.")
]
_Session = Annotated[
    str | None, typer.Option("--session", help="One session for all messages.", metavar="ID")
]
_Sample = Annotated[
    str | None, typer.Option("--sample", help="LoCoMo: this sample only.", metavar="ID")
]
_Layout = Annotated[
    str,
    typer.Option(
        "--layout", help="Of which tables: optimized, or legacy (a migration brings them over)."
    ),
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Read and check, store nothing.")]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "import", examples=EXAMPLES)
    def import_(
        context: AppContext,
        file: _File,
        user: _User,
        file_format: _Format = "auto",
        expire_days: _Expire = None,
        on_error: _OnError = "skip",
        session: _Session = None,
        sample: _Sample = None,
        layout: _Layout = "optimized",
        dry_run: _DryRun = False,
    ) -> None:
        """Put conversations from a file into the memory; run again, it goes on or changes nothing.

        Old conversations keep their own times; they expire counted from today.
        """
        from core.memory.importing.job import import_job

        job = import_job(
            file=file,
            user_id=user,
            session_id=session,
            file_format=file_format,
            sample=sample,
            on_error=on_error,
            expire_days=expire_days,
            default_days=context.settings.expire_days,
            now_s=context.clock.time(),
            dry_run=dry_run,
            layout=layout,
        )
        _show(context, job, _run(context, job))


def _run(context: AppContext, job: ImportJob) -> ImportResult:
    import sys

    from core.memory.importing.formats import choose_format, read
    from core.memory.importing.source import open_source
    from ialctl.interrupts import stop_wish
    from ialctl.progress import ByteProgress

    with open_source(job.file, sys.stdin.buffer) as source, stop_wish() as wish:
        file_format = choose_format(job.file_format, source)
        with (
            _opened(context, job) as (store, indexing),
            ByteProgress(context, source.total_bytes) as progress,
        ):
            importer = job.importer(
                store,
                job.checkpoint(source, file_format, context.settings, _where(context, job.plan)),
                indexing,
                on_failure=lambda bad: context.output.warn(
                    f"{job.unit(file_format)} {bad.number}: {bad.reason}"
                ),
                on_progress=lambda state: progress.show(source.bytes_read, _counts(state)),
                stopped=wish,
                clock=context.clock,
            )
            return importer.run(read(source, file_format, job.sample), job.plan)


@contextmanager
def _opened(
    context: AppContext, job: ImportJob
) -> Iterator[tuple[Destination | None, Indexing | None]]:
    """Where the messages go, and what indexes them there; neither for a dry run."""
    from core.aws.boto_table import open_table
    from core.memory.importing.legacy import LegacyDestination
    from core.memory.parts import open_parts
    from core.memory.schema import legacy_history_schema

    if job.plan.dry_run:
        yield None, None
    elif job.layout == "legacy":
        schema = legacy_history_schema(context.settings.project)
        with LegacyDestination(open_table(context.session, schema, context.clock)) as legacy:
            yield legacy, None
    else:
        with open_parts(context.settings, context.session, context.clock) as parts:
            yield parts.store, parts.catching


def _where(context: AppContext, plan: ImportPlan) -> str:
    return "" if plan.dry_run else context.session.where


def _counts(state: ImportResult) -> str:
    return f"{state.imported} imported, {state.already} there already, {state.failed} bad"


def _show(context: AppContext, job: ImportJob, result: ImportResult) -> None:
    from ialctl.output import plain

    data = {
        "user": job.plan.defaults.user_id,
        "dry_run": job.plan.dry_run,
        **{k: v for k, v in dataclasses.asdict(result).items() if k not in _RENAMED},
        "failures": [{"line": bad.number, "reason": bad.reason} for bad in result.failures],
        "expires_at": job.plan.defaults.expires_at,
    }
    context.output.result("import", data, lambda: plain(_summary(job, result)))
    for note in result.missing:
        context.output.warn(note)


_RENAMED = frozenset({"failures"})


def _summary(job: ImportJob, result: ImportResult) -> str:
    verb = "would be imported" if job.plan.dry_run else "imported"
    rate = result.records / result.seconds if result.seconds else 0.0
    lines = [
        f"{result.imported} {verb}, {result.already} there already, {result.failed} bad "
        f"({result.seconds:.1f} s, {rate:.0f}/s)"
    ]
    if result.resumed:
        lines.append(f"{result.resumed} of them known from the run before")
    if result.undated:
        lines.append(f"{result.undated} without a time, kept as undated")
    if not job.plan.dry_run:
        units = result.consumed
        lines.append(
            f"{units.write_units:.0f} write units ({units.index_write_units:.0f} of them for "
            f"indexes), {units.requests} requests" + _of_index(job, result)
        )
    return "\n".join(lines)


def _of_index(job: ImportJob, result: ImportResult) -> str:
    if job.layout == "legacy":
        return ""
    return f"; {result.indexing.write_units:.0f} more for the index of the messages"
