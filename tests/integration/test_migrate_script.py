"""The migration without its guide: deploys, copies, validates; only told to it changes anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.aws.session import AwsSession
from core.settings import Settings
from scripts.migrate_dynamodb_optimization import main
from tests.legacy_tables import create_legacy_table, fill_legacy


def test_it_deploys_copies_and_validates(
    settings: Settings,
    aws: AwsSession,
    cloudformation: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Without `--execute` it tells what it would do; what can't be mapped ends it with 3."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IAL_ENDPOINT_URL", str(settings.endpoint_url))
    asked = ["--project", settings.project, "--json"]
    assert main(asked) == 1
    assert "no table" in capsys.readouterr().err
    create_legacy_table(aws, settings.project)
    fill_legacy(aws, settings.project, items=130, users=5, unmappable=1)
    assert main(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["executed"], told["not_mapped"]) == (False, 1)
    assert (
        f"{settings.project}-operations" not in aws.client("dynamodb").list_tables()["TableNames"]
    )
    assert main([*asked, "--execute"]) == 3
    capsys.readouterr()
    assert main([*asked, "--execute", "--max-failed", "1", "--sample", "2"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["equal"], done["failed"], done["copied"]) == (True, 1, told["messages"])
