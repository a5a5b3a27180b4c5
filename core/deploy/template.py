"""CloudFormation templates as files: read, parsed with their short tags, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from core.errors import TemplateError

INLINE_LIMIT_BYTES = 51_200
S3_LIMIT_BYTES = 1_000_000
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
_FUNCTIONS = frozenset(
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


@dataclass(frozen=True)
class Template:
    """One template: `text` as it is sent, `body` as it is understood (short tags written out)."""

    path: Path
    text: str
    body: Mapping[str, Any]

    @property
    def size_bytes(self) -> int:
        """Its size as CloudFormation counts it."""
        return len(self.text.encode())

    @property
    def resources(self) -> Mapping[str, Mapping[str, Any]]:
        """Resources by logical id."""
        found: Mapping[str, Mapping[str, Any]] = self.body["Resources"]
        return found

    @property
    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        """Parameters by name."""
        return self.body.get("Parameters") or {}

    @property
    def outputs(self) -> Mapping[str, Mapping[str, Any]]:
        """Outputs by name."""
        return self.body.get("Outputs") or {}

    @property
    def notes(self) -> Mapping[str, Any]:
        """What the template says of itself to us: `Metadata: Ialctl:`."""
        return (self.body.get("Metadata") or {}).get("Ialctl") or {}


def read_template(path: Path) -> Template:
    """Reads and checks one template.

    Raises:
        TemplateError: it can't be read, is not YAML, or is not a template; with the line, if any.
    """
    try:
        # utf-8-sig: editors on Windows put a byte order mark first.
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(
            f"The template '{path}' can't be read: {error}.",
            "Make it readable UTF-8 text, or move it away.",
            path=path,
        ) from error
    template = Template(path, text, _parse(path, text))
    _check(template)
    return template


def find_functions(value: Any, name: str) -> Iterator[Any]:
    """The arguments of every use of an intrinsic function, such as "Fn::ImportValue"."""
    for key, argument in _walk(value):
        if key == name:
            yield argument


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key), inner
            yield from _walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner)


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's tags; dates stay texts, keys stand once."""


def _tagged(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if suffix not in _FUNCTIONS | {"Ref", "Condition"}:
        raise yaml.constructor.ConstructorError(
            None, None, f"there is no intrinsic function '!{suffix}'", node.start_mark
        )
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = str(value).split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)  # noqa: S101 - YAML has no fourth kind of node
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool):
            continue
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{key}' stands twice", key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("!", _tagged)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
# An unquoted 2012-10-17 is a text to CloudFormation, not a day.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
    for first, known in _Loader.yaml_implicit_resolvers.items()
}


def _parse(path: Path, text: str) -> Mapping[str, Any]:
    try:
        body = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader with tags that make dicts
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        place = f", line {line}," if line else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise TemplateError(
            f"The template '{path}'{place} is not valid: {problem}.",
            "Correct that line; nothing was changed.",
            path=path,
            line=line,
        ) from error
    if not isinstance(body, dict):
        raise _wrong(path, "it holds no keys and values")
    return body


def _check(template: Template) -> None:
    path, body = template.path, template.body
    resources = body.get("Resources")
    if not isinstance(resources, dict) or not resources:
        raise _wrong(path, "it has no Resources")
    for section in ("Parameters", "Outputs", "Conditions", "Metadata"):
        if not isinstance(body.get(section, {}), dict):
            raise _wrong(path, f"its {section} are not keys and values")
    for name, resource in resources.items():
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            raise _wrong(path, f"the resource '{name}' has no Type")
    if "ProjectName" not in template.parameters:
        raise _wrong(path, "it has no parameter ProjectName, which keeps projects apart")
    if template.size_bytes > S3_LIMIT_BYTES:
        raise _wrong(path, f"its {template.size_bytes:,} bytes are over CloudFormation's 1 MB")
    _check_functions(template)


def _check_functions(template: Template) -> None:
    known = {*template.resources, *template.parameters, *_PSEUDO}
    for section in ("Resources", "Outputs", "Conditions"):
        for key, argument in _walk(template.body.get(section) or {}):
            if key.startswith("Fn::") and key[4:].split("::")[0] not in _FUNCTIONS | {"ForEach"}:
                raise _wrong(template.path, f"there is no intrinsic function '{key}'")
            if key == "Ref" and isinstance(argument, str) and argument not in known:
                raise _wrong(
                    template.path,
                    f"a Ref names '{argument}', which is neither a parameter nor a resource of it",
                )


def _wrong(path: Path, problem: str) -> TemplateError:
    return TemplateError(
        f"The template '{path}' can't be used: {problem}.",
        "Correct it; nothing was changed.",
        path=path,
    )
