"""What a table is made like whose backup does not say: an export of AWS's holds items only.

In this order: as somebody told, as the table of that name that stands, as this tool deploys the
table of that name. What is found goes into the backup as if it had been kept there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from core.aws.capacity import IndexSchema, TableSchema
from core.aws.session import AwsSession
from core.backup import manifest
from core.backup.opening import BackedUpTable, Backup
from core.backup.table_settings import TableSettings, read_settings
from core.errors import NotFoundError, UsageError
from core.memory import schema
from core.transfer.lines import Keys

_TYPES = ("S", "N", "B")
_MOST_KEYS = 2
_NUMBERS = ("timestamp",)
_TTL = "ttl"


def parse_keys(texts: Sequence[str]) -> Keys | None:
    """Key attributes as a person writes them, `NAME:TYPE`, the hash key first; None: no text.

    Raises:
        UsageError: a text is none, or there are more than two.
    """
    found = [text.rpartition(":") for text in texts]
    for (name, _, kind), text in zip(found, texts, strict=True):
        if not name or kind not in _TYPES:
            raise UsageError(
                f"'{text:.80}' is no key attribute.",
                "Write its name and its type, S, N or B: `--key user_id:S --key timestamp:N`.",
            )
    names = [name for name, _, _ in found]
    if len(names) > _MOST_KEYS or len(set(names)) != len(names):
        raise UsageError(
            f"The keys {', '.join(names)} are those of no table.",
            "Name the hash key, then the range key if there is one.",
        )
    return Keys(tuple((name, kind) for name, _, kind in found)) if found else None


def shaped(
    session: AwsSession, backup: Backup, told: Keys | None, chosen: Sequence[str] = ()
) -> Backup:
    """The backup with what each chosen table was like (none chosen: all), as far as it is found.

    Raises:
        UsageError: keys are told of a table that has its own, or of several.
    """
    unknown = [
        table.table
        for table in backup.tables
        if table.settings is None and (not chosen or table.table in chosen)
    ]
    if told is not None and len(unknown) != 1:
        raise UsageError(
            "The backup says itself which keys its tables have."
            if not unknown
            else f"Keys are told, but of which table? The backup holds {', '.join(unknown)}.",
            "Leave `--key` out, or choose the one table that is meant: `--table NAME`.",
        )
    tables = (
        _with(table, _shape(session, table.table, told)) if table.table in unknown else table
        for table in backup.tables
    )
    return replace(backup, tables=tuple(tables))


def _with(table: BackedUpTable, settings: TableSettings | None) -> BackedUpTable:
    if settings is None:
        return table
    content = manifest.dump(settings.to_json())
    return replace(table, keys=settings.keys, settings=content)


def _shape(session: AwsSession, table: str, told: Keys | None) -> TableSettings | None:
    if told is not None:
        return TableSettings(table, "", _creation(told))
    try:
        standing = read_settings(session, table)
    except NotFoundError:
        return _known(table)
    note = f"The export does not say what its table was like: taken from '{table}' as it stands."
    return replace(standing, notes=(*standing.notes, note))


def _known(table: str) -> TableSettings | None:
    """As this tool deploys it: the end of the name tells."""
    for known in _deployed(""):
        if not table.endswith(known.name) or table == known.name:
            continue
        names = {*known.keys, *(n for index in known.indexes for n in _keys_of(index))}
        types = {name: "N" if name in _NUMBERS else "S" for name in sorted(names)}
        creation = _creation(Keys(tuple((name, types[name]) for name in known.keys)))
        creation["AttributeDefinitions"] = _definitions(types)
        if known.indexes:
            creation["GlobalSecondaryIndexes"] = [_index(index) for index in known.indexes]
        note = (
            "The export does not say what its table was like: it is made as ialctl deploys "
            f"'…{known.name}', without streams, recovery and alarms."
        )
        return TableSettings(table, "", creation, ttl=_TTL, notes=(note,))
    return None


def _deployed(project: str) -> Iterator[TableSchema]:
    yield schema.history_schema(project)
    yield schema.embeddings_schema(project)
    yield from schema.legacy_schemas(project)
    yield schema.legacy_cache_schema(project)


def _creation(keys: Keys) -> dict[str, Any]:
    kinds = ("HASH", "RANGE")
    return {
        "AttributeDefinitions": _definitions(dict(keys.attributes)),
        "KeySchema": [
            {"AttributeName": name, "KeyType": kind}
            for (name, _), kind in zip(keys.attributes, kinds, strict=False)
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }


def _definitions(types: dict[str, str]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()]


def _keys_of(index: IndexSchema) -> Iterator[str]:
    yield index.hash_key
    if index.range_key:
        yield index.range_key


def _index(index: IndexSchema) -> dict[str, Any]:
    whole = index.projected == "ALL"
    projection: dict[str, Any] = {"ProjectionType": "ALL" if whole else "INCLUDE"}
    if not whole:
        projection["NonKeyAttributes"] = list(index.projected)
    kinds = zip(_keys_of(index), ("HASH", "RANGE"), strict=False)
    return {
        "IndexName": index.name,
        "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in kinds],
        "Projection": projection,
    }
