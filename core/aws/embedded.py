"""Where the embedded endpoint is: `endpoint.json` says which process serves a folder, on what port.

Programs that import the library find the endpoint that `ialctl start` brought up by it; only
`ialctl` itself starts one.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path

from core.aws.session import AwsSession
from core.clock import SYSTEM_CLOCK, Clock
from core.errors import LocalEndpointError
from core.settings import Settings

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


def endpoint_folder(settings: Settings) -> Path:
    """The folder of a project's embedded endpoint."""
    return settings.project_state_dir / "endpoint"


def open_session(settings: Settings, clock: Clock = SYSTEM_CLOCK) -> AwsSession:
    """Clients of the settings' target; of the embedded endpoint, where that is it.

    Raises:
        LocalEndpointError: no embedded endpoint was started here, or it was stopped.
    """
    if not settings.uses_embedded_endpoint:
        return AwsSession(settings, clock=clock)
    instance = read_instance(endpoint_folder(settings))
    if instance is None or instance.stopped:
        raise LocalEndpointError(
            f"No local endpoint runs in '{settings.project_state_dir}'.",
            "Bring it up: `ialctl start` in the same folder, or set IAL_STATE_DIR.",
        )
    return AwsSession(settings, instance.url, clock)
