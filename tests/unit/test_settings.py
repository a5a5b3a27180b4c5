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
        ("IAL_EMBEDDER", "word2vec"),
        ("IAL_EMBEDDING_DIMENSIONS", "0"),
        ("IAL_EMBED_TIMEOUT_S", "-1"),
        ("IAL_EMBEDDING_CACHE_MB", "0.5"),
        ("IAL_INDEX_MEMORY_MB", "much"),
        ("IAL_CONTEXT_CACHE_S", "inf"),
        ("IAL_OLLAMA_URL", "127.0.0.1:11434"),
        ("IAL_REDIS_URL", "http://127.0.0.1:6379"),
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


def test_every_setting_stands_in_the_docs() -> None:
    """`docs/settings.md` has a row for each, with its variables."""
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    for key, setting in SETTINGS.items():
        variables = ", ".join(f"`{name}`" for name in setting.environment)
        assert f"| `{key}` | {variables} |" in page


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:geheim@host:6379/0", "redis://…@host:6379/0"),
        ("rediss://user:ge@heim@host", "rediss://…@host"),
        ("redis://host/0?password=geheim&db=1", "redis://host/0?password=…&db=1"),
        ("redis://host:6379", "redis://host:6379"),
        ("redis://user:ge://heim@host", "redis://…@host"),
    ],
)
def test_a_password_is_used_and_never_shown(tmp_path: Path, url: str, shown: str) -> None:
    """The setting holds the URL whole; what people see of it has no password."""
    settings = _load(tmp_path, None, IAL_REDIS_URL=url).settings
    assert settings.redis_url == url
    assert SETTINGS["redis_url"].show(settings.redis_url) == shown
    with pytest.raises(SettingsError) as caught:
        _load(tmp_path, None, IAL_REDIS_URL=url.replace("redis", "http", 1))
    assert "heim" not in caught.value.what
