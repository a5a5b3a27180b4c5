"""All settings, in one frozen value; the only reader of the environment and of settings files.

Highest first: flag, environment, `./ialctl.yaml`, `~/.config/ialctl/config.yaml`, default.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from core.errors import SettingsError

PROJECT_FILE = "ialctl.yaml"
EMBEDDERS = ("hashing", "ollama", "bedrock", "sentence-transformers")
# The longest user id leaves room for so much in a partition's name.
GENERATION = r"[a-z0-9-]{1,7}"
_PROJECT_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}[a-z0-9]")


@dataclass(frozen=True)
class Setting:
    """What is known of one setting beside its value."""

    help: str
    environment: tuple[str, ...]
    parse: Callable[[Any], Any]
    show: Callable[[Any], Any] = lambda value: value
    """The value as people and logs may see it."""
    takes_empty: bool = False
    """Whether an empty variable of the environment is a value, where others are as if not set."""


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text that is not empty")
    return value


def _any_text(value: object) -> str:
    return "" if value == "" else _text(value)


def _project(value: object) -> str:
    if not isinstance(value, str) or not _PROJECT_NAME.fullmatch(value):
        raise ValueError("2 to 32 lowercase letters, digits and hyphens, a letter first")
    return value


def _generation(value: object) -> str:
    """The name of a generation of the index; "" is the unnamed one, `default` in words."""
    if value in ("", "default"):
        return ""
    if not isinstance(value, str) or not re.fullmatch(GENERATION, value):
        raise ValueError("1 to 7 lowercase letters, digits and hyphens, or `default`")
    return value


def _choice(*allowed: str) -> Callable[[Any], str]:
    def parse(value: object) -> str:
        if value not in allowed:
            raise ValueError(" or ".join(allowed))
        return str(value)

    return parse


def _url(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"https?://[^\s/]+(/\S*)?", value):
        raise ValueError("a URL such as http://127.0.0.1:8000")
    return value.rstrip("/")


def _redis_url(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"(rediss?|unix)://\S+", value):
        raise ValueError("a URL such as redis://127.0.0.1:6379/0, or rediss:// for TLS")
    return value


def without_password(value: Any) -> Any:
    """A URL with what may be a password left out; anything else as it is."""
    if not isinstance(value, str):
        return value
    shown = re.sub(r"^([a-z]+://)?.+@", r"\1…@", value)
    return re.sub(r"(?<=[?&]password=)[^&]*", "…", shown)


def _positive(value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError("a number above 0")
    return number


def _count(value: object) -> int:
    if not re.fullmatch(r"[0-9]+", str(value)) or int(str(value)) < 1:
        raise ValueError("a whole number above 0")
    return int(str(value))


def _path(value: object) -> Path:
    return Path(_text(value)).expanduser()


def _setting(
    default: Any,
    help_text: str,
    parse: Callable[[Any], Any],
    *environment: str,
    show: Callable[[Any], Any] | None = None,
    takes_empty: bool = False,
) -> Any:
    """A setting; what is shown otherwise than it is, is not shown in a `repr` at all."""
    shown = show or (lambda value: value)
    return dataclasses.field(
        default=default,
        repr=show is None,
        metadata={"setting": Setting(help_text, environment, parse, shown, takes_empty)},
    )


@dataclass(frozen=True)
class Settings:
    """Every setting with its value; see `docs/settings.md`."""

    project: str = _setting("ial", "prefix of every table and stack", _project, "IAL_PROJECT")
    target: str = _setting(
        "local",
        "where to: the embedded endpoint (local) or AWS (aws)",
        _choice("local", "aws"),
        "IAL_TARGET",
    )
    endpoint_url: str | None = _setting(
        None,
        "an AWS-compatible endpoint of your own, in place of the embedded one",
        _url,
        "IAL_ENDPOINT_URL",
        "AWS_ENDPOINT_URL",
    )
    region: str | None = _setting(
        None,
        "AWS region (default: the profile's own; us-east-1 locally)",
        _text,
        "IAL_REGION",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
    )
    profile: str | None = _setting(
        None, "named profile of the AWS configuration", _text, "IAL_PROFILE", "AWS_PROFILE"
    )
    state_dir: Path = _setting(
        Path(".ialctl"),
        "folder of the local endpoint's data, of locks and logs",
        _path,
        "IAL_STATE_DIR",
    )
    phases_dir: Path | None = _setting(
        None, "folder of the phases' templates (default: those shipped)", _path, "IAL_PHASES_DIR"
    )
    token_budget: int = _setting(2000, "tokens that a context may hold", _count, "IAL_TOKEN_BUDGET")
    expire_days: int = _setting(
        365, "days after which an imported message expires", _count, "IAL_EXPIRE_DAYS"
    )
    embedder: str = _setting(
        "hashing", "what makes the vectors of texts", _choice(*EMBEDDERS), "IAL_EMBEDDER"
    )
    embedding_model: str | None = _setting(
        None, "the embedder's model (default: its own)", _text, "IAL_EMBEDDING_MODEL"
    )
    embedding_dimensions: int | None = _setting(
        None,
        "how many numbers a vector has (default: the model's own)",
        _count,
        "IAL_EMBEDDING_DIMENSIONS",
    )
    index_generation: str = _setting(
        "",
        "which of several indexes, of different models, is in use (default: the unnamed one)",
        _generation,
        "IAL_INDEX_GENERATION",
        takes_empty=True,
    )
    ollama_url: str = _setting(
        "http://127.0.0.1:11434", "where Ollama answers", _url, "IAL_OLLAMA_URL"
    )
    embed_timeout_s: float = _setting(
        2.0,
        "seconds that a context waits for its query's vector",
        _positive,
        "IAL_EMBED_TIMEOUT_S",
    )
    embedding_cache_mb: int = _setting(
        4, "MiB that the cache of texts' vectors may take", _count, "IAL_EMBEDDING_CACHE_MB"
    )
    index_memory_mb: int = _setting(
        256,
        "MiB that all users' copies of the index may take in a process",
        _count,
        "IAL_INDEX_MEMORY_MB",
    )
    vector_search: str = _setting(
        "segments",
        "what searches by vector alone: packed segments, or the table's own vector index",
        _choice("segments", "native"),
        "IAL_VECTOR_SEARCH",
    )
    redis_url: str | None = _setting(
        None,
        "a Redis that processes share (default: none)",
        _redis_url,
        "IAL_REDIS_URL",
        show=without_password,
    )
    context_cache_s: float = _setting(
        300.0,
        "seconds that a context stays cached, where there is a Redis",
        _positive,
        "IAL_CONTEXT_CACHE_S",
    )
    backup_to: str = _setting(
        "backups",
        "where backups lie: a folder, s3://bucket/prefix, or s3:// for the project's own bucket",
        _text,
        "IAL_BACKUP_TO",
    )
    backup_passphrase: str | None = _setting(
        None,
        "encrypts backups, and opens them; better in a file",
        _any_text,
        "IAL_BACKUP_PASSPHRASE",
        show=lambda value: value and "…",
        # Of a variable that was to hold it, and is not set: no backup may be left open for that.
        takes_empty=True,
    )
    backup_passphrase_file: Path | None = _setting(
        None,
        "file whose first line is the passphrase of backups",
        _path,
        "IAL_BACKUP_PASSPHRASE_FILE",
    )
    connect_timeout_s: float = _setting(
        3.0, "seconds to wait for a connection", _positive, "IAL_CONNECT_TIMEOUT_S"
    )
    read_timeout_s: float = _setting(
        10.0, "seconds to wait for an answer", _positive, "IAL_READ_TIMEOUT_S"
    )
    retry_time_s: float = _setting(
        20.0,
        "seconds after which a request is no longer tried again",
        _positive,
        "IAL_RETRY_TIME_S",
    )

    @property
    def project_state_dir(self) -> Path:
        """Where this project's state lies, apart from any other project's."""
        return self.state_dir / self.project

    @property
    def uses_embedded_endpoint(self) -> bool:
        """True where `ialctl` itself runs the endpoint that it talks to."""
        return self.target == "local" and self.endpoint_url is None


SETTINGS: Mapping[str, Setting] = {
    field.name: field.metadata["setting"] for field in dataclasses.fields(Settings)
}


@dataclass(frozen=True)
class LoadedSettings:
    """The settings and, for each, where its value came from."""

    settings: Settings
    sources: Mapping[str, str]


def load_settings(
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> LoadedSettings:
    """Reads every source.

    Args:
        flags: what the command line says; None values are left out.
        environment: in place of the process's own.
        folder: where `ialctl.yaml` is looked for; the current folder by default.

    Raises:
        SettingsError: an unknown key, a value that can't be used, a file that can't be read.
    """
    env = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    sources = dict.fromkeys(SETTINGS, "default")
    config_home = Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME", "~")) / ".config")
    files = (
        config_home.expanduser() / "ialctl" / "config.yaml",
        (folder or Path.cwd()) / PROJECT_FILE,
    )
    for path in files:
        for key, value in _read_file(path).items():
            values[key] = _parse(key, value, str(path))
            sources[key] = str(path)
    for key, setting in SETTINGS.items():
        given = (n for n in setting.environment if env.get(n) or (setting.takes_empty and n in env))
        name = next(given, None)
        if name is not None:
            values[key] = _parse(key, env[name], f"environment variable {name}")
            sources[key] = f"environment ({name})"
    for key, value in (flags or {}).items():
        if value is not None:
            flag = "--" + key.replace("_", "-")
            values[key] = _parse(key, value, f"option {flag}")
            sources[key] = f"flag ({flag})"
    return LoadedSettings(Settings(**values), sources)


def no_colour(environment: Mapping[str, str] | None = None) -> bool:
    """True where the environment asks for plain text (NO_COLOR, TERM=dumb)."""
    env = os.environ if environment is None else environment
    return bool(env.get("NO_COLOR")) or env.get("TERM") == "dumb"


def child_environment(**extra: str) -> dict[str, str]:
    """This process's environment for a child process, with `extra` laid over it."""
    return {**os.environ, **extra}


def set_environment(values: Mapping[str, str]) -> None:
    """Sets variables that a package reads at import (the emulator is configured that way)."""
    os.environ.update(values)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        # utf-8-sig: editors on Windows put a byte order mark first.
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The settings file '{path}' can't be read: {error}.",
            "Make it readable UTF-8 text, or move it away.",
        ) from error
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise SettingsError(
            f"The settings file '{path}'{place} is not valid YAML: {problem}.",
            "Write one `key: value` a line; `ialctl config` lists the keys.",
        ) from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise SettingsError(
            f"The settings file '{path}' holds a {type(loaded).__name__}, not keys and values.",
            "Write one `key: value` a line; `ialctl config` lists the keys.",
        )
    return {_known_key(str(key), path): value for key, value in loaded.items()}


def _known_key(key: str, path: Path) -> str:
    name = key.replace("-", "_")
    if name in SETTINGS:
        return name
    near = difflib.get_close_matches(name, SETTINGS, n=1, cutoff=0.5)
    raise SettingsError(
        f"The settings file '{path}' has the unknown key '{key}'.",
        f"Did you mean '{near[0]}'?" if near else "`ialctl config` lists the known keys.",
        key=key,
    )


def _parse(key: str, value: object, source: str) -> Any:
    setting = SETTINGS[key]
    try:
        return setting.parse(value)
    except ValueError as error:
        raise SettingsError(
            f"The setting '{key}' is {setting.show(value)!r} ({source}); it should be {error}.",
            f"Correct it there; `ialctl config` shows every setting ({setting.help}).",
            key=key,
        ) from error
