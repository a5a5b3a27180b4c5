"""Backups to be damaged: copies of whole ones, and how the tool takes each of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyrage
import pytest
import typer

from core.aws.session import AwsSession
from core.backup.folder import FolderPlace
from core.backup.sealing import Identities, KeySource
from core.clock import new_id
from core.errors import NotFoundError
from core.settings import load_settings
from ialctl.root import build_app
from tests.backups import plain_item
from tests.cli.memory_cli import Answer, MemoryCli
from tests.damaging import SetFolder
from tests.restoring import Bench

ITEMS = [plain_item(number, 30) for number in range(60)]
KEY = str(pyrage.x25519.Identity.generate())


@contextmanager
def one_app() -> Iterator[None]:
    """The command line, put together once: that takes longer than most commands here."""
    made = typer.main.get_command(build_app())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ialctl.app._typer_app", lambda: made)
        yield


@dataclass
class Originals:
    """Whole backups of one table, of each variant; made when they are asked for."""

    endpoint_url: str
    folder: Path
    table: str = field(default_factory=lambda: f"damage-{new_id()}")
    _made: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        flags = {
            "endpoint_url": self.endpoint_url,
            "project": "damage",
            "state_dir": str(self.folder),
        }
        settings = load_settings(flags, environment={}, folder=self.folder).settings
        self.session = AwsSession(settings)
        self._bench = Bench(self.session, self.table, FolderPlace(self.folder), self.folder)

    def __call__(self, variant: str) -> Path:
        """The folder of the whole backup of a variant: "gzip", "zstd" or "sealed"."""
        if not self._made:
            self._bench.make()
            self._bench.put(ITEMS)
        if variant not in self._made:
            source: KeySource | None = Identities((KEY,)) if variant == "sealed" else None
            compression = "zstd" if variant == "zstd" else "gzip"
            self._made[variant] = self.folder / self._bench.take(source, compression=compression)
        return self._made[variant]

    def patient(self, variant: str, cli: MemoryCli, folder: Path) -> Patient:
        """A copy in a folder of its own."""
        original = self(variant)
        copy = folder / "b" / original.name
        shutil.copytree(original, copy)
        (folder / "key.txt").write_text(KEY)
        keys = ("--key-file", str(folder / "key.txt")) if variant == "sealed" else ()
        suffix = f"-{cli.settings.project}"
        return Patient(cli, self.session, self.table, copy.parent, SetFolder(copy), suffix, keys)


@dataclass
class Patient:
    """A copy of a backup, to be damaged."""

    cli: MemoryCli
    session: AwsSession
    table: str
    place: Path
    set: SetFolder
    suffix: str
    keys: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The table that a restore would make."""
        return self.table + self.suffix

    def verify(self, *options: str) -> Answer:
        """`ialctl backup verify` of it."""
        return self.cli("backup", "verify", self.set.id, *self._where, *options)

    def restore(self, *options: str) -> Answer:
        """`ialctl restore` of it, to a name that no table has."""
        return self.cli("restore", self.set.id, *self._where, "--suffix", self.suffix, *options)

    def is_refused(self, *said: str, restored: bool = True) -> None:
        """Verify, and restore where wished, exit 6 and say so; no table is made."""
        for run in (self.verify, self.restore)[: 1 + restored]:
            answer = run()
            assert answer.code == 6, (answer.code, answer.err)
            assert answer.err.startswith("✗ ")
            told = " ".join(answer.err.split())
            assert all(word in told for word in said), (said, told)
        with pytest.raises(NotFoundError):
            self.session.client("dynamodb").describe_table(TableName=self.target)

    @property
    def _where(self) -> tuple[str, ...]:
        return ("--from", str(self.place), "-q", *self.keys)
