"""CloudFormation templates as files: read, parsed with their short tags, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from core.deploy.checks import FUNCTIONS, problems, walk
from core.errors import TemplateError

INLINE_LIMIT_BYTES = 51_200
S3_LIMIT_BYTES = 1_000_000
_TOO_DEEP = "it is nested too deeply"


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
    for key, argument in walk(value):
        if key == name:
            yield argument


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's tags; dates stay texts, keys stand once."""


def _tagged(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if suffix not in FUNCTIONS | {"Ref", "Condition"}:
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
        if key_node.tag == "tag:yaml.org,2002:merge":
            raise yaml.constructor.ConstructorError(
                None, None, "CloudFormation knows no merge keys (<<)", key_node.start_mark
            )
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
    except RecursionError:
        raise _wrong(path, _TOO_DEEP) from None
    if not isinstance(body, dict):
        raise _wrong(path, "it holds no keys and values")
    return body


def _check(template: Template) -> None:
    try:
        problem = next(problems(template.body), None)
    except RecursionError:
        problem = _TOO_DEEP
    if problem:
        raise _wrong(template.path, problem)
    if template.size_bytes > S3_LIMIT_BYTES:
        size = f"its {template.size_bytes:,} bytes are over CloudFormation's 1 MB"
        raise _wrong(template.path, size)


def _wrong(path: Path, problem: str) -> TemplateError:
    return TemplateError(
        f"The template '{path}' can't be used: {problem}.",
        "Correct it; nothing was changed.",
        path=path,
    )
