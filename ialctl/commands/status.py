"""`ialctl status`: what stands now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from ialctl.command import command
from ialctl.context import AppContext
from ialctl.output import Column, plain, table

if TYPE_CHECKING:
    from rich.console import Group

_STACKS = (Column("STACK", "stack"), Column("STATUS", "status"))
_TABLES = (
    Column("TABLE", "name"),
    Column("STATUS", "status"),
    Column("ITEMS", "items", right=True),
    Column("BYTES", "size_bytes", right=True),
)


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "status", examples=("ialctl status", "ialctl status --json"))
    def status(context: AppContext) -> None:
        """Show what stands: endpoint, stacks, tables, the active engine, the last backup."""
        endpoint = _endpoint(context)
        data: dict[str, Any] = {
            "project": context.settings.project,
            "target": context.settings.target,
            "endpoint": endpoint,
            "stacks": [],
            "tables": [],
            "engine": None,
            "backup": None,
            "migration": None,
        }
        if endpoint["running"]:
            data |= _standing(context) | {"backup": _last_backup(context)}
            data["migration"] = _migration(context)
        context.output.result("status", data, lambda: _shown(data))


def _endpoint(context: AppContext) -> dict[str, Any]:
    if not context.settings.uses_embedded_endpoint:
        return {"running": True, "embedded": False, "where": context.session.where}
    from ialctl.endpoint import endpoint_state, ensure_endpoint

    state = endpoint_state(context)
    if state.died:
        state = ensure_endpoint(context)
    elif context.output.format == "table":
        for note in state.notes:
            context.output.warn(note)
    where = state.url or ("stopped" if state.stopped else "not started here")
    return {
        "running": state.running,
        "embedded": True,
        "where": where,
        "pid": state.pid,
        "port": state.port,
        "data_dir": str(state.data_dir),
        "notes": list(state.notes),
    }


def _standing(context: AppContext) -> dict[str, Any]:
    import dataclasses

    from ialctl.deploying import deployment

    found = deployment(context).status()
    rows = [dataclasses.asdict(stack) for stack in found.stacks]
    tables = [t for row in rows for t in row.pop("tables")]
    return {"stacks": rows, "tables": tables, "engine": found.engine, "others": list(found.others)}


def _last_backup(context: AppContext) -> dict[str, Any] | None:
    """The newest whole backup at the place that the settings name."""
    from core.backup.catalog import list_sets, newest
    from core.errors import IalError
    from ialctl.backing_up import place_of

    try:
        place = place_of(context, None)
        found = newest(list_sets(place, context.clock), context.settings.project)
    except IalError as error:
        context.output.warn(f"Backups can't be looked at: {error.what}")
        return None
    if found is None or found.manifest is None:
        return None
    about = found.manifest
    return {"id": found.id, "place": place.url, "at": about.finished_at, "items": about.items}


def _migration(context: AppContext) -> str | None:
    """Where a migration stands, in a few words; None where there is none."""
    from ialctl.migrating import current_state
    from ialctl.migration_words import short_words

    state = current_state(context)
    return None if state is None else short_words(state, context.clock.time())


def _backup_words(backup: dict[str, Any] | None) -> str:
    if backup is None:
        return "none yet: `ialctl backup`"
    return f"{backup['id']} in {backup['place']}, {backup['items']:,} items"


def _shown(data: dict[str, Any]) -> Group:
    from rich.console import Group

    endpoint = data["endpoint"]
    where = endpoint["where"] + (f" (process {endpoint['pid']})" if endpoint.get("pid") else "")
    parts: list[Any] = [plain(f"project   {data['project']}\nendpoint  {where}")]
    if not endpoint["running"]:
        return Group(*parts, plain("Nothing runs here. Bring it up: `ialctl start`."))
    about = [f"engine    {data['engine']}", f"backup    {_backup_words(data['backup'])}"]
    if data["migration"]:
        about.append(f"migration {data['migration']}: `ialctl migrate status`")
    parts.append(plain("\n".join(about) + "\n"))
    optional = [
        s
        | {"status": s["status"] or ("optional, not deployed" if s["optional"] else "not deployed")}
        for s in data["stacks"]
    ]
    parts += [table(optional, _STACKS), plain("")]
    if data["tables"]:
        parts.append(table(data["tables"], _TABLES))
    parts += [plain(f"also this project's: {name}") for name in data["others"]]
    return Group(*parts)
