"""Settings: which source wins, and what a wrong one says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from core.errors import SettingsError
from core.settings import SETTINGS, LoadedSettings, load_settings


def _load(folder: Path, flags: dict[str, Any] | None = None, **env: str) -> LoadedSettings:
    return load_settings(flags, {"HOME": str(folder / "home"), **env}, folder)


def _write_user_file(folder: Path, text: str) -> None:
    path = folder / "home" / ".config" / "ialctl" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_flag_over_environment_over_files_over_default(tmp_path: Path) -> None:
    """Each source overrules the ones below it, and is named."""
    assert _load(tmp_path).settings.project == "ial"
    assert _load(tmp_path).sources["project"] == "default"
    _write_user_file(tmp_path, "project: from-user\nregion: eu-west-1\n")
    assert _load(tmp_path).settings.project == "from-user"
    (tmp_path / "ialctl.yaml").write_text("project: from-folder\n")
    loaded = _load(tmp_path)
    assert loaded.settings.project == "from-folder"
    assert loaded.sources["project"].endswith("ialctl.yaml")
    assert loaded.settings.region == "eu-west-1"
    loaded = _load(tmp_path, IAL_PROJECT="from-env")
    assert (loaded.settings.project, loaded.sources["project"]) == (
        "from-env",
        "environment (IAL_PROJECT)",
    )
    loaded = _load(tmp_path, {"project": "from-flag"}, IAL_PROJECT="from-env")
    assert (loaded.settings.project, loaded.sources["project"]) == (
        "from-flag",
        "flag (--project)",
    )


def test_our_variables_come_before_those_of_aws(tmp_path: Path) -> None:
    """IAL_REGION overrules AWS_REGION, which overrules AWS_DEFAULT_REGION."""
    aws = {"AWS_DEFAULT_REGION": "eu-west-3", "AWS_REGION": "eu-west-2"}
    assert _load(tmp_path, None, **aws).settings.region == "eu-west-2"
    assert _load(tmp_path, None, **aws, IAL_REGION="eu-west-1").settings.region == "eu-west-1"


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    """A slip of the pen is answered with the key that was meant."""
    (tmp_path / "ialctl.yaml").write_text("projekt: x\n")
    with pytest.raises(SettingsError, match="unknown key 'projekt'") as caught:
        _load(tmp_path)
    assert caught.value.cure == "Did you mean 'project'?"


def test_a_file_edited_on_windows_is_read(tmp_path: Path) -> None:
    """A byte order mark and CRLF line ends do no harm."""
    (tmp_path / "ialctl.yaml").write_bytes(b"\xef\xbb\xbfproject: demo\r\ntoken-budget: 99\r\n")
    settings = _load(tmp_path).settings
    assert (settings.project, settings.token_budget) == ("demo", 99)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"project: [", "line 1"),
        (b"a: b\n c: d", "line 2"),
        (b"- one\n", "holds a list"),
        (b"\xff\xfe\x00", "can't be read"),
        (b"project: A_B", "'project' is 'A_B'"),
        (b"token_budget: -1", "'token_budget' is -1"),
        (b"target: moon", "local or aws"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    """What is wrong and where, and no traceback of a parser."""
    (tmp_path / "ialctl.yaml").write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        _load(tmp_path)
    assert says in caught.value.what
    assert caught.value.cure


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IAL_ENDPOINT_URL", "localhost:8000"),
        ("IAL_PROJECT", "a"),
        ("IAL_PROJECT", "Ab"),
        ("IAL_EXPIRE_DAYS", "never"),
        ("IAL_READ_TIMEOUT_S", "nan"),
        ("IAL_READ_TIMEOUT_S", "0"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, name: str, value: str) -> None:
    """The sentence names the variable, its value, and what was expected."""
    with pytest.raises(SettingsError, match=name) as caught:
        _load(tmp_path, None, **{name: value})
    assert repr(value) in caught.value.what


def test_every_setting_can_come_from_the_environment() -> None:
    """Each has a variable of ours, named after it."""
    variables: Mapping[str, tuple[str, ...]] = {k: s.environment for k, s in SETTINGS.items()}
    assert all(names[0] == f"IAL_{key.upper()}" for key, names in variables.items())
