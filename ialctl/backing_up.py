"""What the commands of backups share: where backups lie, which tables, whose keys."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import AwsError, NotFoundError, UsageError
from ialctl.context import AppContext

if TYPE_CHECKING:
    from core.backup.catalog import Located
    from core.backup.manifest import Compression
    from core.backup.place import Place
    from core.backup.plans import Wish
    from core.backup.sealing import KeySource
    from core.backup.taking import About, Taken

_SECRET_BYTES = 64 * 1024


@dataclass(frozen=True)
class KeyOptions:
    """The options that name keys, as they were given."""

    passphrase_file: Path | None = None
    key_file: Path | None = None
    recipients: tuple[str, ...] = ()
    kms_key: str | None = None


def place_of(context: AppContext, url: str | None) -> Place:
    """The place that was named, or that the settings name."""
    from core.backup.place import open_place

    # Given, but empty, is a slip (of a variable that is not set), and not the default.
    named = context.settings.backup_to if url is None else url
    return open_place(named, lambda: context.session, context.settings.project)


def make_wish(
    tables: tuple[str, ...], method: str, compression: str, max_rcu: float | None, *, fresh: bool
) -> Wish:
    """What is wished for, as far as the command line alone tells.

    Raises:
        UsageError: a word or a number that is none.
    """
    from core.backup.plans import METHODS, Wish

    if method not in METHODS:
        raise UsageError(f"There is no method '{method}'.", f"Choose {', '.join(METHODS)}.")
    if compression not in ("gzip", "zstd"):
        raise UsageError(f"There is no compression '{compression}'.", "Choose gzip or zstd.")
    if not all(tables):
        raise UsageError("A table has no name.", "Name it: `--table NAME`.")
    if max_rcu is not None and not 1 <= max_rcu < float("inf"):
        raise UsageError(f"{max_rcu:g} read units a second is no budget.", "Write 1 or more.")
    chosen = next(known for known in METHODS if known == method)
    packed: Compression = "zstd" if compression == "zstd" else "gzip"
    return Wish(tuple(dict.fromkeys(tables)), chosen, packed, max_rcu, fresh=fresh)


def completed(context: AppContext, place: Place, wish: Wish, since: str | None) -> Wish:
    """A wish with the tables that stand, where none is named, and the backup it builds on."""
    tables = wish.tables or project_tables(context)
    base = _base(context, place, since) if since else None
    return dataclasses.replace(wish, tables=tables, base=base)


def taken_backup(context: AppContext, place: Place, wish: Wish, source: KeySource | None) -> Taken:
    """Takes a backup, with its progress shown; raises what `Taker.take` raises."""
    from core.backup.taking import Taker
    from ialctl.interrupts import stop_wish
    from ialctl.table_progress import TableProgress

    with stop_wish() as stop, TableProgress(context) as progress:
        taker = Taker(
            context.session,
            place,
            context.settings.project,
            context.clock,
            context.ids,
            observe=progress,
            stop=stop,
        )
        return taker.take(wish, about_deployment(context), source)


def resolved(context: AppContext, place: str | None, backup: str) -> Located:
    """The backup that is meant: an id, how one begins, `latest`, or a path.

    Raises:
        NotFoundError: there is none.
        UsageError: several begin so.
        DamagedError: it is being written.
    """
    return _found(context, place_of(context, place), backup)


def temporary_folder(context: AppContext) -> Path:
    """Where digests of millions of items lie, while they are compared."""
    folder = context.settings.project_state_dir / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def sealing_source(context: AppContext, options: KeyOptions) -> KeySource | None:
    """Whose keys a backup is sealed for; None: nobody's.

    Raises:
        UsageError: more than one kind is given, or a file can't be read.
    """
    from core.backup.sealing import Kms, Recipients

    found = [*opening_sources(context, options)]
    if options.recipients:
        found.append(Recipients(options.recipients))
    if options.kms_key is not None:
        found.append(Kms(options.kms_key))
    if "" in (options.kms_key, None if found else context.settings.backup_passphrase):
        raise UsageError(
            "The passphrase or key to encrypt with is empty; nothing was backed up in the clear.",
            "Is the variable set that was to hold it? Leave it out where nothing is encrypted.",
        )
    if len(found) > 1:
        raise UsageError(
            "Several kinds of keys are given, and a backup is sealed by one.",
            "Give a passphrase, a key file, recipients, or a key of KMS.",
        )
    return found[0] if found else None


def opening_sources(context: AppContext, options: KeyOptions) -> Iterator[KeySource]:
    """What may open an encrypted backup: the passphrase, the key file."""
    from core.backup.sealing import Identities, Passphrase

    settings = context.settings
    file = options.passphrase_file
    if file is None and options == KeyOptions():
        file = settings.backup_passphrase_file
        if settings.backup_passphrase:
            yield Passphrase(settings.backup_passphrase)
            return
    if file is not None:
        lines = _secret(file, "--passphrase-file").splitlines()
        if not lines or not lines[0].strip():
            raise UsageError(f"The file '{file}' holds no passphrase.", "Its first line is one.")
        yield Passphrase(lines[0])
    if options.key_file is not None:
        yield Identities((_secret(options.key_file, "--key-file"),))


def project_tables(context: AppContext) -> tuple[str, ...]:
    """The project's tables that stand: those of its stacks, and the legacy ones beside them.

    Raises:
        NotFoundError: there is none.
    """
    from core.deploy.stacks import project_stacks, stack_resources
    from core.memory import schema
    from core.memory.active import operations_table

    project, session = context.settings.project, context.session
    legacy = (*schema.legacy_schemas(project), schema.legacy_cache_schema(project))
    own = (schema.history_schema(project), schema.embeddings_schema(project))
    wanted = [*(table.name for table in (*own, *legacy)), operations_table(project)]
    cloudformation = session.client("cloudformation")
    with contextlib.suppress(AwsError):  # an endpoint may be DynamoDB alone
        for stack in project_stacks(cloudformation, project):
            wanted.extend(
                str(resource.get("PhysicalResourceId") or "")
                for resource in stack_resources(cloudformation, stack.id)
                if resource.get("ResourceType") == "AWS::DynamoDB::Table"
            )
    found = tuple(name for name in dict.fromkeys(wanted) if name and _stands(context, name))
    if not found:
        raise NotFoundError(
            f"There is nothing to back up: no table of the project '{project}' stands at "
            f"{session.where}.",
            "Deploy it: `ialctl start`; or name a table: `--table NAME`.",
            code="NoTables",
        )
    return found


def about_deployment(context: AppContext) -> About:
    """The active engine, and which templates and parameters stand."""
    from core.backup.manifest import StackVersion
    from core.backup.taking import About
    from core.deploy.stacks import project_stacks
    from core.memory.active import active_engine

    session, project = context.session, context.settings.project
    engine = active_engine(session.client("dynamodb"), project)
    cloudformation = session.client("cloudformation")
    stacks: list[StackVersion] = []
    with contextlib.suppress(AwsError):  # an endpoint may be DynamoDB alone
        for stack in project_stacks(cloudformation, project):
            template = cloudformation.get_template(StackName=stack.id).get("TemplateBody", "")
            digest = hashlib.sha256(str(template).encode()).hexdigest()
            stacks.append(StackVersion(stack.name, digest, dict(stack.parameters)))
    return About(engine, tuple(stacks))


def own_command(context: AppContext) -> tuple[list[str], list[str]]:
    """How to run this tool again from anywhere, and the options that this run was given."""
    found = shutil.which(sys.argv[0]) or shutil.which("ialctl")
    frozen = getattr(sys, "frozen", False)
    program = [sys.executable] if frozen else [str(Path(found).resolve())] if found else []
    program = program or [sys.executable, "-m", "ialctl"]
    settings = context.settings
    options = ["--quiet", "--project", settings.project, "--target", settings.target]
    for name, value in (
        ("--endpoint-url", settings.endpoint_url),
        ("--region", settings.region),
        ("--profile", settings.profile),
        ("--state-dir", str(settings.state_dir.absolute())),
    ):
        options += [name, value] if value else []
    return program, options


def _base(context: AppContext, place: Place, since: str) -> str:
    # A damaged newest one must not keep the next from being taken.
    found = _found(context, place, since, past_damaged=True)
    if found.folder not in place.folders():
        raise UsageError(
            f"There is no backup '{found.folder}' in {place.url}, and an increment lies beside "
            "what it builds on.",
            "Name one of that place, or that one's place: `--to PLACE`.",
        )
    return found.folder


def _found(
    context: AppContext, place: Place, backup: str, *, past_damaged: bool = False
) -> Located:
    from core.backup.catalog import check_done, resolve

    project = context.settings.project
    found = resolve(
        place,
        backup,
        lambda url: place_of(context, url),
        context.clock,
        project,
        past_damaged=past_damaged,
    )
    check_done(found.place, found.folder, context.clock)
    return found


def _stands(context: AppContext, table: str) -> bool:
    try:
        context.session.client("dynamodb").describe_table(TableName=table)
    except NotFoundError:
        return False
    return True


def _secret(path: Path, option: str) -> str:
    try:
        content = path.read_bytes()[: _SECRET_BYTES + 1]
        if len(content) > _SECRET_BYTES:
            raise UsageError(f"The file '{path}' is too long for a key.", f"Check {option}.")
        # Editors on Windows put a byte order mark first.
        return content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The file '{path}' can't be read: {getattr(error, 'strerror', None) or error}.",
            f"Name one that can: {option} FILE.",
        ) from error
