"""Starts, finds and stops the embedded endpoint of a state folder.

Two `ialctl` at once start one endpoint: starting and stopping happen under a lock file. A process
id alone is never trusted: the endpoint must answer with the instance id that stands in
`endpoint.json`, so a stale file and a process id that was given away are found out.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from core.aws.embedded import Instance, data_folder, read_instance, write_instance
from core.clock import SYSTEM_CLOCK, Clock, Ids, new_id
from core.errors import LocalEndpointError, LockHeldError, StorageError
from core.local.runner import EXIT_TAKEN
from core.settings import child_environment

LOG_FILE = "endpoint.log"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0
BUSY_TIMEOUT_S = 10.0
_POLL_S = 0.02
_LOG_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True)
class EndpointState:
    """What is known of an endpoint; `url`, `pid` and `port` only where it runs."""

    running: bool
    folder: Path
    url: str | None = None
    pid: int | None = None
    port: int | None = None
    started: bool = False
    died: bool = False
    stopped: bool = False
    notes: tuple[str, ...] = ()

    @property
    def log_path(self) -> Path:
        """Where its log lies."""
        return self.folder / LOG_FILE

    @property
    def data_dir(self) -> Path:
        """Where its data lies."""
        return data_folder(self.folder)


class LocalEndpoint:
    """The embedded endpoint whose state lies in `folder`."""

    def __init__(self, folder: Path, clock: Clock = SYSTEM_CLOCK, ids: Ids = new_id) -> None:
        self._folder = folder
        self._clock = clock
        self._ids = ids

    def state(self) -> EndpointState:
        """Whether it runs, and where."""
        instance = read_instance(self._folder)
        health = None if instance is None or self._has_ended() else self._health(instance)
        if instance is None or health is None:
            return EndpointState(
                running=False,
                folder=self._folder,
                died=instance is not None and not instance.stopped,
                stopped=instance is not None and instance.stopped,
            )
        return EndpointState(
            running=True,
            folder=self._folder,
            url=instance.url,
            pid=instance.pid,
            port=instance.port,
            notes=tuple(health.get("notes", ())),
        )

    def ensure(self) -> EndpointState:
        """Starts it unless it runs; waits until it answers.

        Raises:
            LocalEndpointError: it does not come up; fields: log.
            LockHeldError: another `ialctl` has been starting or stopping it for too long.
            StorageError: the state folder can't be written.
        """
        found = self.state()
        if found.running:
            return found
        with self._locked():
            found = self.state()
            if found.running:
                return found
            made = self._start()
        return dataclasses.replace(made, started=True, died=found.died)

    def stop(self) -> bool:
        """Stops it cleanly; its state is kept. False where it did not run.

        Raises:
            LocalEndpointError: it does not end.
        """
        if read_instance(self._folder) is None:
            return False
        with self._locked():
            state, instance = self.state(), read_instance(self._folder)
            if instance is None:
                return False
            if state.running:
                self._terminate(instance)
            write_instance(self._folder, dataclasses.replace(instance, stopped=True))
            return state.running

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            data_folder(self._folder).mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._folder / "start.lock", timeout=START_TIMEOUT_S)
            lock.acquire()
        except Timeout as error:
            raise LockHeldError(
                "Another ialctl is starting or stopping the local endpoint and does not finish.",
                f"Look for it; its log is '{self._folder / LOG_FILE}'.",
            ) from error
        except OSError as error:
            raise StorageError(
                f"The state folder '{self._folder}' can't be written: {error.strerror or error}.",
                "Choose another with --state-dir DIR or IAL_STATE_DIR.",
                path=self._folder,
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _start(self) -> EndpointState:
        before = read_instance(self._folder)
        instance_id = self._ids()
        process = self._spawn(instance_id, before.port if before else 0)
        # Whoever outlives the endpoint (a library user, a test) must not keep a zombie of it.
        threading.Thread(target=process.wait, name="reap", daemon=True).start()
        deadline = self._clock.monotonic() + START_TIMEOUT_S
        while self._clock.monotonic() < deadline:
            instance = read_instance(self._folder)
            if instance is not None and instance.instance == instance_id:
                state = self.state()
                if state.running:
                    return state
            if process.poll() is not None:
                raise self._did_not_start(process.returncode)
            self._clock.sleep(_POLL_S)
        process.kill()
        raise LocalEndpointError(
            f"The local endpoint did not answer within {START_TIMEOUT_S:.0f} s.",
            f"Its log may tell why: '{self._folder / LOG_FILE}'.",
        )

    def _spawn(self, instance_id: str, port: int) -> subprocess.Popen[bytes]:
        program = [sys.executable]
        if not getattr(sys, "frozen", False):
            program += ["-m", "ialctl"]
        arguments = ["__emulator", "--folder", str(self._folder.resolve())]
        arguments += ["--instance", instance_id, "--port", str(port)]
        log_path = self._folder / LOG_FILE
        try:
            if log_path.exists() and log_path.stat().st_size > _LOG_BYTES:
                log_path.replace(log_path.with_suffix(".log.1"))
            with log_path.open("ab") as log:
                return subprocess.Popen(  # noqa: S603 - our own program, no text of a user's
                    [*program, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    # A frozen child must unpack itself anew: ours is removed when we end.
                    env=child_environment(PYINSTALLER_RESET_ENVIRONMENT="1"),
                )
        except OSError as error:
            raise StorageError(
                f"The local endpoint can't be started in '{self._folder}': "
                f"{error.strerror or error}.",
                "Choose another folder with --state-dir DIR or IAL_STATE_DIR.",
                path=self._folder,
            ) from error

    def _did_not_start(self, code: int) -> LocalEndpointError:
        log_path = self._folder / LOG_FILE
        if code == EXIT_TAKEN:
            return LocalEndpointError(
                f"Another process serves '{self._folder}' already, but does not answer.",
                f"End it and try again; its log is '{log_path}'.",
            )
        reason = next((x for x in reversed(_tail(log_path)) if x and x[0] not in " ^"), "no reason")
        return LocalEndpointError(
            f"The local endpoint ended while it started: {reason}",
            f"Its log has more: '{log_path}'.",
            log=log_path,
        )

    def _terminate(self, instance: Instance) -> None:
        with suppress(ProcessLookupError):  # it may have died since it was asked
            os.kill(instance.pid, signal.SIGTERM)
        deadline = self._clock.monotonic() + STOP_TIMEOUT_S
        while not self._has_ended():
            if self._clock.monotonic() > deadline:
                raise LocalEndpointError(
                    f"The local endpoint (pid {instance.pid}) does not end.",
                    f"`kill -9 {instance.pid}` loses nothing that it acknowledged.",
                )
            self._clock.sleep(_POLL_S)

    def _health(self, instance: Instance) -> dict[str, list[str]] | None:
        """What a live process says of itself; it may be busy with a large scan."""
        deadline = self._clock.monotonic() + BUSY_TIMEOUT_S
        while True:
            health = _ask_health(instance)
            if health is not None or self._clock.monotonic() > deadline or self._has_ended():
                return health
            self._clock.sleep(_POLL_S)

    def _has_ended(self) -> bool:
        """True where no process serves the folder: it would hold the lock on the data."""
        if not self._folder.is_dir():
            return True
        lock = FileLock(self._folder / "data.lock", blocking=False)
        try:
            with lock:
                return True
        except Timeout:
            return False


def _ask_health(instance: Instance) -> dict[str, list[str]] | None:
    """What the endpoint says of itself; None unless it is the very instance."""
    connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=2.0)
    try:
        connection.request("GET", "/_ialctl/health")
        answer = json.loads(connection.getresponse().read(65536))
    except (OSError, http.client.HTTPException, ValueError):
        return None  # nothing there, or something else on that port
    finally:
        connection.close()
    if not isinstance(answer, dict) or answer.get("instance") != instance.instance:
        return None
    return answer


def _tail(path: Path, lines: int = 20) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        return []
