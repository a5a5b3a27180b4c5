"""What can be seen to be wrong with a template before it is sent anywhere.

CloudFormation would refuse most of it too, but late, and an emulator takes some of it. What needs
knowledge of resource types is left to CloudFormation, but for the parts of a table that are read
here again when it is verified.
"""

from __future__ import annotations

import graphlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

SECTIONS = ("Parameters", "Outputs", "Conditions", "Metadata", "Mappings")
PLACEHOLDER = re.compile(r"\$\{([^!}][^}]*)\}")
FUNCTIONS = frozenset(
    (
        "And",
        "Base64",
        "Cidr",
        "Contains",
        "EachMemberEquals",
        "EachMemberIn",
        "Equals",
        "FindInMap",
        "GetAtt",
        "GetAZs",
        "If",
        "ImportValue",
        "Join",
        "Length",
        "Not",
        "Or",
        "RefAll",
        "Select",
        "Split",
        "Sub",
        "ToJsonString",
        "Transform",
        "ValueOf",
        "ValueOfAll",
    )
)
_PSEUDO = frozenset(
    f"AWS::{name}"
    for name in (
        "AccountId",
        "NoValue",
        "NotificationARNs",
        "Partition",
        "Region",
        "StackId",
        "StackName",
        "URLSuffix",
    )
)
_TABLE = "AWS::DynamoDB::Table"
_TABLE_LISTS = (
    "AttributeDefinitions",
    "GlobalSecondaryIndexes",
    "KeySchema",
    "LocalSecondaryIndexes",
    "VectorIndexes",
)
_TABLE_MAPS = (
    "PointInTimeRecoverySpecification",
    "SSESpecification",
    "StreamSpecification",
    "TimeToLiveSpecification",
)


def problems(body: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a template, in words that go on after "it can't be used:"."""
    shape = list(_shape(body))
    yield from shape
    if shape:
        return
    for section in ("Resources", "Outputs", "Conditions"):
        for key, argument in walk(body.get(section, {})):
            yield from _function(key, argument)
    # A macro may bring names that do not stand in the text.
    if "Transform" not in body and "ForEach" not in str(body):
        yield from _names(body)
    for name, resource in body["Resources"].items():
        if resource["Type"] == _TABLE:
            yield from _table(name, resource.get("Properties") or {})


def walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key of nested keys and values, with what it holds."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key), inner
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def _shape(body: Mapping[str, Any]) -> Iterator[str]:
    resources = body.get("Resources")
    if not isinstance(resources, dict) or not resources:
        yield "it has no Resources"
        return
    for section in SECTIONS:
        if not isinstance(body.get(section, {}), dict):
            yield f"its {section} are not keys and values"
            return
    for name, resource in resources.items():
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            yield f"the resource '{name}' has no Type"
        elif not isinstance(resource.get("Properties", {}), dict):
            yield f"the Properties of '{name}' are not keys and values"
        elif not isinstance(resource.get("Condition", ""), str):
            yield f"the Condition of '{name}' is not a name"
    yield from _entries(body)


def _entries(body: Mapping[str, Any]) -> Iterator[str]:
    for name, parameter in body.get("Parameters", {}).items():
        if not isinstance(parameter, dict) or "Type" not in parameter:
            yield f"the parameter '{name}' has no Type"
    for name, output in body.get("Outputs", {}).items():
        if not isinstance(output, dict) or "Value" not in output:
            yield f"the output '{name}' has no Value"
        elif "Export" in output and "Name" not in (output["Export"] or ()):
            yield f"the Export of the output '{name}' has no Name"
    if not isinstance(body.get("Metadata", {}).get("Ialctl", {}), dict):
        yield "its Metadata: Ialctl are not keys and values"
    if "ProjectName" not in body.get("Parameters", {}):
        yield "it has no parameter ProjectName, which keeps projects apart"


def _is_list(count: int) -> Callable[[Any], bool]:
    return lambda argument: isinstance(argument, list) and len(argument) == count


def _is_sub(argument: Any) -> bool:
    return isinstance(argument, str) or (
        _is_list(2)(argument) and isinstance(argument[0], str) and isinstance(argument[1], dict)
    )


_ARGUMENTS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "Ref": (lambda a: isinstance(a, str), "a name"),
    "Fn::And": (lambda a: isinstance(a, list), "a list of conditions"),
    "Fn::Equals": (_is_list(2), "two values"),
    "Fn::If": (
        lambda a: _is_list(3)(a) and isinstance(a[0], str),
        "a condition's name and two values",
    ),
    "Fn::Join": (lambda a: _is_list(2)(a) and isinstance(a[0], str), "a text and a list"),
    "Fn::Not": (_is_list(1), "a list of one condition"),
    "Fn::Or": (lambda a: isinstance(a, list), "a list of conditions"),
    "Fn::Sub": (_is_sub, "a text, or a list of a text and values"),
}


def _function(key: str, argument: Any) -> Iterator[str]:
    if key.startswith("Fn::") and key[4:].split("::")[0] not in FUNCTIONS | {"ForEach"}:
        yield f"there is no intrinsic function '{key}'"
    fits, takes = _ARGUMENTS.get(key, (None, ""))
    if fits and not fits(argument):
        yield f"{key.removeprefix('Fn::')} takes {takes}, not {str(argument)[:60]!r}"


def _names(body: Mapping[str, Any]) -> Iterator[str]:
    conditions = body.get("Conditions", {})
    known = {*body["Resources"], *body.get("Parameters", {}), *_PSEUDO}
    used = {str(r["Condition"]) for r in body["Resources"].values() if "Condition" in r}
    for section in ("Resources", "Outputs", "Conditions"):
        for key, argument in walk(body.get(section, {})):
            if key == "Ref" and argument not in known:
                yield (
                    f"a Ref names '{argument}', which is neither a parameter nor a resource of it"
                )
            elif key == "Fn::Sub":
                yield from _placeholders(argument, known)
            elif key == "Fn::If":
                used.add(argument[0])
    used |= {a for key, a in walk(conditions) if key == "Condition" and isinstance(a, str)}
    for name in sorted(used - conditions.keys()):
        yield f"there is no condition '{name}' in it"
    yield from _circles(conditions)


def _placeholders(argument: Any, known: set[str]) -> Iterator[str]:
    text, given = (argument, {}) if isinstance(argument, str) else argument
    for name in PLACEHOLDER.findall(text):
        if name not in known and name not in given and name.split(".")[0] not in known:
            yield f"a Sub names '{name}', which is neither a parameter nor a resource of it"


def _circles(conditions: Mapping[str, Any]) -> Iterator[str]:
    needs = {
        name: {a for key, a in walk(value) if key == "Condition" and isinstance(a, str)}
        for name, value in conditions.items()
    }
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        yield f"its conditions need each other in a circle: {' → '.join(error.args[1])}"


def _table(name: str, properties: Mapping[str, Any]) -> Iterator[str]:
    for key in ("AttributeDefinitions", "KeySchema"):
        if key not in properties:
            yield f"the table '{name}' has no {key}"
    for kind, keys in ((list, _TABLE_LISTS), (dict, _TABLE_MAPS)):
        for key in keys:
            found = properties.get(key, kind())
            # A dict may be a function that comes to a list.
            if not isinstance(found, kind | dict):
                yield f"{key} of the table '{name}' is {str(found)[:60]!r}, not a {_KINDS[kind]}"


_KINDS: Mapping[type, str] = {list: "list", dict: "map"}
