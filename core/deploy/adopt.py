"""Brings retained resources back into a stack: what an earlier deployment left is never made anew.

A table that `destroy` kept must not be created over (an emulator would clobber it, AWS would
fail): it is imported. On AWS and locally an import takes nothing but the resources it imports, so
the stack is first made of these alone, and the full template follows as an update.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from core.deploy.client import Client, Clients
from core.deploy.resolve import Resolver
from core.deploy.template import Template
from core.errors import AwsError, DeployError, NotFoundError


@dataclass(frozen=True)
class Retained:
    """A resource that stands outside of any stack and belongs into this one."""

    logical_id: str
    type: str
    identifier: Mapping[str, str]


def find_retained(
    clients: Clients,
    template: Template,
    resolver: Resolver,
    among: Collection[str] | None = None,
) -> tuple[Retained, ...]:
    """What of a template (of its resources `among`, if given) stands already.

    Raises:
        DeployError: it stands, and the template would not retain it, so it can't be imported.
    """
    found = []
    looking = _Looking(clients, template, resolver)
    for logical_id, resource in template.resources.items():
        look = _LOOKUPS.get(str(resource["Type"]))
        if among is not None and logical_id not in among:
            continue
        if look is None or not resolver.present(resource):
            continue
        identifier = look(looking, resource)
        if identifier is None:
            continue
        _check_retains(logical_id, resource, identifier)
        found.append(Retained(logical_id, str(resource["Type"]), identifier))
    return tuple(found)


def check_not_made_over(retained: tuple[Retained, ...]) -> None:
    """Stops an update that would make what stands already outside of its stack.

    Raises:
        DeployError: an emulator would empty it, and AWS fail.
    """
    if not retained:
        return
    found = retained[0]
    name = next(iter(found.identifier.values()))
    raise DeployError(
        f"The {found.type} '{name}' stands already, outside of any stack: the update can't create "
        f"'{found.logical_id}' over it.",
        "`ialctl destroy` keeps all data, and the `ialctl start` after it takes in what was kept.",
        resource=found.logical_id,
    )


def import_request(template: Template, retained: tuple[Retained, ...]) -> dict[str, Any]:
    """The part of a change set's request that imports `retained`, and nothing else."""
    wanted = {r.logical_id for r in retained}
    resources = {
        name: {key: value for key, value in resource.items() if key != "DependsOn"}
        for name, resource in template.resources.items()
        if name in wanted
    }
    body = {
        "AWSTemplateFormatVersion": "2010-09-09",
        **{
            section: template.body[section]
            for section in ("Parameters", "Mappings", "Conditions")
            if section in template.body
        },
        "Resources": resources,
    }
    return {
        "ChangeSetType": "IMPORT",
        "TemplateBody": json.dumps(body),
        "ResourcesToImport": [
            {
                "ResourceType": r.type,
                "LogicalResourceId": r.logical_id,
                "ResourceIdentifier": dict(r.identifier),
            }
            for r in retained
        ],
    }


@dataclass(frozen=True)
class _Looking:
    clients: Clients
    template: Template
    resolver: Resolver


_Lookup = Callable[[_Looking, Mapping[str, Any]], Mapping[str, str] | None]


def _table(looking: _Looking, resource: Mapping[str, Any]) -> Mapping[str, str] | None:
    name = _name(looking.resolver, resource, "TableName")
    if name and _answers(lambda: looking.clients.client("dynamodb").describe_table(TableName=name)):
        return {"TableName": name}
    return None


def _bucket(looking: _Looking, resource: Mapping[str, Any]) -> Mapping[str, str] | None:
    name = _name(looking.resolver, resource, "BucketName")
    if name and _answers(lambda: looking.clients.client("s3").head_bucket(Bucket=name)):
        return {"BucketName": name}
    return None


def _alias(looking: _Looking, resource: Mapping[str, Any]) -> Mapping[str, str] | None:
    name = _name(looking.resolver, resource, "AliasName")
    return {"AliasName": name} if name and _key_of(looking.clients.client("kms"), name) else None


def _key(looking: _Looking, resource: Mapping[str, Any]) -> Mapping[str, str] | None:
    # A key has no name; the alias that points at it in the same template has.
    for other in looking.template.resources.values():
        target = (other.get("Properties") or {}).get("TargetKeyId")
        if (
            isinstance(target, dict)
            and looking.template.resources.get(target.get("Ref", "")) is resource
        ):
            name = _name(looking.resolver, other, "AliasName")
            key_id = _key_of(looking.clients.client("kms"), name) if name else None
            return {"KeyId": key_id} if key_id else None
    return None


_LOOKUPS: Mapping[str, _Lookup] = {
    "AWS::DynamoDB::Table": _table,
    "AWS::S3::Bucket": _bucket,
    "AWS::KMS::Alias": _alias,
    "AWS::KMS::Key": _key,
}


def _name(resolver: Resolver, resource: Mapping[str, Any], key: str) -> str | None:
    properties = resource.get("Properties") or {}
    return resolver.text(properties[key]) if key in properties else None


def _answers(call: Callable[[], object]) -> bool:
    try:
        call()
    except NotFoundError:
        return False
    return True


def _key_of(kms: Client, alias: str) -> str | None:
    try:
        metadata = kms.describe_key(KeyId=alias)["KeyMetadata"]
    except NotFoundError:
        return None
    except AwsError as error:
        if error.code == "NotFoundException":  # the key service's own word for it
            return None
        raise
    usable = metadata.get("KeyState", "Enabled") != "PendingDeletion"
    return str(metadata["KeyId"]) if usable else None


def _check_retains(
    logical_id: str, resource: Mapping[str, Any], identifier: Mapping[str, str]
) -> None:
    if resource.get("DeletionPolicy") in ("Retain", "RetainExceptOnCreate"):
        return
    name = next(iter(identifier.values()))
    raise DeployError(
        f"The {resource['Type']} '{name}' stands already, outside of any stack, and the template "
        f"would not retain it: '{logical_id}' can't be created over it.",
        "Give it DeletionPolicy: Retain so that it can be imported, or delete it yourself.",
        resource=logical_id,
    )
