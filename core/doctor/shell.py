"""Commands of AWS's own command line, as a person copies them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.aws.session import LOCAL_ACCESS_KEY, AwsSession
from core.settings import Settings

Argument = str | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class AwsCli:
    """Writes commands for one target; `local` says that `ialctl start` repairs there."""

    options: tuple[str, ...]
    variables: tuple[str, ...] = ()
    local: bool = False

    def __call__(self, *arguments: Argument) -> str:
        """One command line; an argument that is not text is written as JSON."""
        words = [*self.variables, "aws"]
        for argument in (*arguments, *self.options):
            text = argument if isinstance(argument, str) else _json(argument)
            words.append(shlex.quote(text))
        return " ".join(words)


def aws_cli(settings: Settings, session: AwsSession) -> AwsCli:
    """Commands for the target of the settings."""
    options = ["--region", session.region]
    if settings.profile:
        options += ["--profile", settings.profile]
    if session.endpoint_url:
        options += ["--endpoint-url", session.endpoint_url]
    if settings.target != "local":
        return AwsCli(tuple(options))
    key = LOCAL_ACCESS_KEY
    variables = (f"AWS_ACCESS_KEY_ID={key}", f"AWS_SECRET_ACCESS_KEY={key}")
    return AwsCli(tuple(options), variables, local=True)


def wrapped(command: str, width: int) -> Iterator[str]:
    r"""A command as lines of at most `width`, if its words let it: what stands within single
    quotes (JSON) is broken as it is, elsewhere a line that goes on ends in ` \`."""
    line, quoted = "", False
    for word in command.split(" "):
        if line and len(line) + 1 + len(word) > width - 2:
            yield line if quoted else f"{line} \\"
            line = word
        else:
            line = f"{line} {word}" if line else word
        quoted ^= word.count("'") % 2 == 1
    yield line


def _json(value: Sequence[Mapping[str, Any]]) -> str:
    # A space after each comma is where a line may be broken.
    return json.dumps(value, separators=(", ", ":"))
