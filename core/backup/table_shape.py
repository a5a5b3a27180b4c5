"""What a table needs to be itself again: read from one, kept as JSON, put back on another.

`create` is written as CreateTable takes it. What would get in the way while items are written
(streams, which would carry every one of them; time to live; deletion protection, which would keep
a broken restore from being removed) is put back afterwards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.aws.capacity import IndexSchema, TableSchema
from core.errors import DamagedError
from core.transfer.lines import Keys

_TYPES = frozenset({"S", "N", "B"})
_FIELDS: Mapping[str, tuple[type, ...]] = {
    "name": (str,),
    "arn": (str,),
    "create": (dict,),
    "stream": (str, type(None)),
    "ttl": (str, type(None)),
    "recovery_days": (int, type(None)),
    "deletion_protection": (bool,),
    "tags": (dict,),
    "alarms": (list,),
    "notes": (list,),
}


@dataclass(frozen=True)
class TableSettings:
    """A table without its items.

    `stream` is its view type, `ttl` the attribute, `recovery_days` how far point-in-time recovery
    reaches back; each None where off. `alarms` are written as PutMetricAlarm takes them. `notes`
    say what could not be read.
    """

    name: str
    arn: str
    create: Mapping[str, Any]
    stream: str | None = None
    ttl: str | None = None
    recovery_days: int | None = None
    deletion_protection: bool = False
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    alarms: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def keys(self) -> Keys:
        """The table's key attributes with their types."""
        types = {
            d["AttributeName"]: d["AttributeType"] for d in self.create["AttributeDefinitions"]
        }
        names = _key_names(self.create["KeySchema"])
        return Keys(tuple((name, types[name]) for name in names))

    @property
    def write_units(self) -> float | None:
        """Write units a second that the table is provisioned with; None where on demand."""
        provisioned = self.create.get("ProvisionedThroughput")
        return float(provisioned["WriteCapacityUnits"]) if provisioned else None

    def schema(self, name: str) -> TableSchema:
        """Keys and secondary indexes as the capacity rules take them, for a table of this name."""
        hash_key, *range_keys = _key_names(self.create["KeySchema"])
        range_key = range_keys[0] if range_keys else None
        return TableSchema(name, hash_key, range_key, tuple(_indexes(self.create)))

    def renamed(self, name: str, arn: str) -> TableSettings:
        """The settings of a like table of another name: its alarms watch that one."""
        if name == self.name:
            return dataclasses.replace(self, arn=arn)
        swap = _Swap(self.name, self.arn, name, arn)
        alarms = tuple(swap.alarm(alarm) for alarm in self.alarms)
        return dataclasses.replace(self, name=name, arn=arn, alarms=alarms)

    def differences(self, other: TableSettings) -> tuple[str, ...]:
        """What `other` has otherwise, in words; names, ARNs and notes aside."""
        mine = self.renamed(other.name, other.arn).to_json()
        found = other.to_json()
        return (
            *_differing("", mine, found, ("stream", "ttl", "recovery_days")),
            *_differing("", mine, found, ("deletion_protection", "tags")),
            *_differing("", mine["create"], found["create"], None),
            *_differing("alarm ", _by_name(self, other), _by_name(other, other), None),
        )

    def to_json(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**plain, "alarms": list(self.alarms), "notes": list(self.notes)}

    @classmethod
    def from_json(cls, found: object) -> TableSettings:
        """What `to_json` gave.

        Raises:
            DamagedError: it is something else.
        """
        if not isinstance(found, dict) or found.keys() != _FIELDS.keys():
            raise _damaged("they are not those of a table")
        for name, kinds in _FIELDS.items():
            if type(found[name]) not in kinds:
                raise _damaged(f"'{name}' is {type(found[name]).__name__}")
        _check_create(found["create"])
        if not all(isinstance(value, str) for value in found["tags"].values()):
            raise _damaged("a tag is not text")
        if not all(
            isinstance(a, dict) and isinstance(a.get("AlarmName"), str) for a in found["alarms"]
        ):
            raise _damaged("an alarm is none")
        return cls(**{**found, "alarms": tuple(found["alarms"]), "notes": tuple(found["notes"])})


@dataclass(frozen=True)
class _Swap:
    """One table's name and ARN for another's."""

    name: str
    arn: str
    new_name: str
    new_arn: str

    def alarm(self, alarm: Mapping[str, Any]) -> dict[str, Any]:
        """A like alarm on the other table, under a name of its own."""
        made: dict[str, Any] = self._value(alarm)
        # One name can begin another ("history", "history-v2"); this alarm is known to be ours.
        made["AlarmName"] = str(alarm["AlarmName"]).replace(self.name, self.new_name)
        if made["AlarmName"] == alarm["AlarmName"]:
            made["AlarmName"] += f"-{self.new_name}"
        return made

    def _value(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: self._value(member) for name, member in value.items()}
        if isinstance(value, list | tuple):
            return [self._value(member) for member in value]
        if value == self.name:
            return self.new_name
        if value == self.arn or (isinstance(value, str) and value.startswith(f"{self.arn}/")):
            return self.new_arn + value[len(self.arn) :]
        return value


def _by_name(settings: TableSettings, other: TableSettings) -> dict[str, Any]:
    alarms = settings.renamed(other.name, other.arn).alarms
    return {str(alarm["AlarmName"]): dict(alarm) for alarm in alarms}


def _differing(
    prefix: str, mine: Mapping[str, Any], found: Mapping[str, Any], names: Sequence[str] | None
) -> list[str]:
    chosen = sorted(mine.keys() | found.keys()) if names is None else names
    return [
        f"{prefix}{name}{part}: {_shown(one)} in the backup, {_shown(other)} there"
        for name in chosen
        for part, one, other in _parts(mine.get(name), found.get(name))
        if one != other
    ]


def _parts(one: object, other: object) -> Iterator[tuple[str, object, object]]:
    """Two values; of two that are made of fields, each field."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        yield "", one, other
        return
    for name in sorted(one.keys() | other.keys()):
        yield f".{name}", one.get(name), other.get(name)


def _shown(value: object) -> str:
    return "none" if value is None else f"{value!r:.120}"


def _key_names(schema: Sequence[Mapping[str, str]]) -> list[str]:
    ordered = sorted(schema, key=lambda part: part["KeyType"])  # HASH, then RANGE
    return [part["AttributeName"] for part in ordered]


def _indexes(create: Mapping[str, Any]) -> list[IndexSchema]:
    found = []
    for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        for index in create.get(kind) or ():
            projection = index["Projection"]
            whole = projection.get("ProjectionType", "ALL") == "ALL"
            projected = "ALL" if whole else tuple(projection.get("NonKeyAttributes") or ())
            hash_key, range_key = (*_key_names(index["KeySchema"]), None)[:2]
            found.append(IndexSchema(index["IndexName"], str(hash_key), range_key, projected))
    return found


def _check_create(create: Mapping[str, Any]) -> None:
    try:
        types = {d["AttributeName"]: d["AttributeType"] for d in create["AttributeDefinitions"]}
        kinds = [part["KeyType"] for part in create["KeySchema"]]
        named = all(part["AttributeName"] in types for part in create["KeySchema"])
    except (KeyError, TypeError):
        raise _damaged("they name no keys") from None
    if sorted(kinds) not in (["HASH"], ["HASH", "RANGE"]) or not named:
        raise _damaged("they name no keys")
    if not set(types.values()) <= _TYPES:
        raise _damaged("a key is of no type that keys have")


def _damaged(reason: str) -> DamagedError:
    return DamagedError(f"The settings of a table are damaged: {reason}.")
