"""Works out what the intrinsic functions of a template come to, as far as it can be known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from core.deploy.checks import PLACEHOLDER
from core.deploy.template import Template


class Unknown:
    """Stands for a value that only CloudFormation knows, such as a GetAtt."""

    def __repr__(self) -> str:
        return "(unknown)"


UNKNOWN: Final = Unknown()
_NO_VALUE: Final = object()


@dataclass(frozen=True)
class Scope:
    """What references may come to: parameters, pseudo parameters, exports of other stacks."""

    parameters: Mapping[str, str]
    region: str = ""
    account: str = ""
    exports: Mapping[str, str] = field(default_factory=dict)


class Resolver:
    """Resolves values of one template."""

    def __init__(self, template: Template, scope: Scope) -> None:
        self._scope = scope
        self._conditions = template.body.get("Conditions") or {}
        defaults = {
            name: str(p["Default"]) for name, p in template.parameters.items() if "Default" in p
        }
        self._values: dict[str, Any] = {
            **defaults,
            **scope.parameters,
            "AWS::Region": scope.region or UNKNOWN,
            "AWS::AccountId": scope.account or UNKNOWN,
            "AWS::Partition": _partition(scope.region),
            "AWS::NoValue": _NO_VALUE,
        }

    def value(self, value: Any) -> Any:
        """`value` with its functions worked out; what can't be known is `UNKNOWN`."""
        if isinstance(value, list):
            return [made for made in map(self.value, value) if made is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((key, argument),) = value.items()
            if key in ("Ref", "Condition") or str(key).startswith("Fn::"):
                return self._function(str(key), argument)
        made = {key: self.value(inner) for key, inner in value.items()}
        return {key: inner for key, inner in made.items() if inner is not _NO_VALUE}

    def text(self, value: Any) -> str | None:
        """`value` as a text, or None where that can't be known."""
        made = self.value(value)
        return None if isinstance(made, Unknown | dict | list) else str(made)

    def present(self, resource: Mapping[str, Any]) -> bool:
        """Whether the resource's condition, if it has one, holds."""
        name = resource.get("Condition")
        return name is None or bool(self._condition(name))

    def _function(self, key: str, argument: Any) -> Any:
        known: Mapping[str, Callable[[Any], Any]] = {
            "Ref": lambda name: self._values.get(str(name), UNKNOWN),
            "Condition": self._condition,
            "Fn::Sub": self._sub,
            "Fn::If": self._if,
            "Fn::Join": self._join,
            "Fn::ImportValue": self._import,
            "Fn::Equals": lambda pair: self.value(pair[0]) == self.value(pair[1]),
            "Fn::Not": lambda inner: not self.value(inner[0]),
            "Fn::And": lambda inner: all(map(self.value, inner)),
            "Fn::Or": lambda inner: any(map(self.value, inner)),
        }
        return known[key](argument) if key in known else UNKNOWN

    def _condition(self, name: str) -> Any:
        return self.value(self._conditions.get(name, False))

    def _if(self, argument: Any) -> Any:
        return self.value(argument[1] if self._condition(argument[0]) else argument[2])

    def _join(self, argument: Any) -> Any:
        parts = self.value(argument[1])
        if not isinstance(parts, list) or any(isinstance(part, Unknown) for part in parts):
            return UNKNOWN
        return str(argument[0]).join(map(str, parts))

    def _import(self, argument: Any) -> Any:
        name = self.text(argument)
        return self._scope.exports.get(name, UNKNOWN) if name else UNKNOWN

    def _sub(self, argument: Any) -> Any:
        text, given = (argument, {}) if isinstance(argument, str) else argument
        values = {**self._values, **self.value(given)}
        names = PLACEHOLDER.findall(text)
        if any(isinstance(values.get(name, UNKNOWN), Unknown) for name in names):
            return UNKNOWN
        made = PLACEHOLDER.sub(lambda match: str(values[match.group(1)]), text)
        return made.replace("${!", "${")


def _partition(region: str) -> str:
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"
