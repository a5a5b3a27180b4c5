"""`endpoint.json`: which process serves a folder, and on which port."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path

FILE = "endpoint.json"


@dataclass(frozen=True)
class Instance:
    """One running of the endpoint; `stopped` where the user stopped it."""

    instance: str
    pid: int
    port: int
    started_at: str
    stopped: bool = False

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


def data_folder(folder: Path) -> Path:
    """Where the endpoint of a folder keeps its data."""
    return folder / "data"


def write_instance(folder: Path, instance: Instance) -> None:
    """Writes `endpoint.json`, whole or not at all.

    Raises:
        OSError: the folder can't be written.
    """
    aside = folder / f"{FILE}.{os.getpid()}.tmp"
    aside.write_text(json.dumps(dataclasses.asdict(instance), indent=2) + "\n")
    aside.replace(folder / FILE)


def read_instance(folder: Path) -> Instance | None:
    """What `endpoint.json` says; None where there is none, or it can't be read."""
    try:
        loaded = json.loads((folder / FILE).read_text())
        return Instance(**loaded)
    except (OSError, ValueError, TypeError):
        return None  # absent, torn by a crash, or another version's: as if it had never started
