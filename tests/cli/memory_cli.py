"""Running `import` and `context` in this process, against a project of the test's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.aws.session import AwsSession
from core.memory.schema import embeddings_schema, history_schema
from core.settings import Settings
from ialctl.app import run
from tests.tables import create_table


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Its standard output, which must be JSON and nothing else."""
        parsed: dict[str, Any] = json.loads(self.out)
        return parsed


class MemoryCli:
    """`ialctl` for one project at the test's endpoint."""

    def __init__(self, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
        self.settings = settings
        self._capsys = capsys

    @property
    def options(self) -> list[str]:
        """The options that name the project and the endpoint."""
        return [
            *("--endpoint-url", str(self.settings.endpoint_url)),
            *("--project", self.settings.project),
            *("--state-dir", str(self.settings.state_dir)),
        ]

    def deploy(self, aws: AwsSession) -> None:
        """Makes the memory's tables."""
        create_table(aws, history_schema(self.settings.project), numbers=("timestamp",))
        create_table(aws, embeddings_schema(self.settings.project))

    def __call__(self, *arguments: str | Path) -> Answer:
        """Runs one command."""
        self._capsys.readouterr()
        code = run([*map(str, arguments), *self.options])
        captured = self._capsys.readouterr()
        assert "Traceback" not in captured.err
        return Answer(code, captured.out, captured.err)
