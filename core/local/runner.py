"""The child process: the emulator under uvicorn, on 127.0.0.1, with its state on disk.

Started by `core.local.endpoint` as `ialctl __emulator --folder DIR --instance ID --port N`.
Takes `port` if it is free and any other if not, and says which in `endpoint.json`.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from core.aws.embedded import Instance, data_folder, write_instance
from core.clock import SYSTEM_CLOCK, Clock, iso
from core.settings import set_environment

HOST = "127.0.0.1"
EXIT_TAKEN = 75
"""Exit code where another process already serves this folder."""
_SYNC_EVERY_S = 0.5
_LOCK_TIMEOUT_S = 1.0


def main(arguments: list[str]) -> None:
    """Serves until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="ialctl __emulator")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--instance", required=True)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args(arguments)
    _serve(options.folder, options.instance, options.port)


def _serve(folder: Path, instance_id: str, preferred_port: int) -> None:
    from filelock import FileLock, Timeout

    data = data_folder(folder)
    data.mkdir(parents=True, exist_ok=True)
    # Not at once: who asks whether the lock is held holds it for an instant.
    lock = FileLock(folder / "data.lock", timeout=_LOCK_TIMEOUT_S)
    try:
        lock.acquire()
    except Timeout:
        _say("Another process already serves this folder.")
        sys.exit(EXIT_TAKEN)
    listener = _listen(preferred_port)
    port = listener.getsockname()[1]
    _configure_package(port, folder)
    instance = Instance(
        instance=instance_id, pid=os.getpid(), port=port, started_at=iso(SYSTEM_CLOCK.time())
    )
    _run(listener, folder, instance)


def _run(listener: socket.socket, folder: Path, instance: Instance) -> None:
    import uvicorn

    from core.local.asgi import DurableApp
    from core.local.emulator import Emulator
    from core.local.store import Store

    emulator = Emulator()
    # What is restored lives as long as the process: millions of objects that the garbage
    # collector need never look at (100,000 items come back in half the time).
    gc.disable()
    store = Store(data_folder(folder), emulator, _say)
    gc.freeze()
    gc.enable()
    emulator.speed_up(lambda: store.journal.lock)
    about = {"instance": instance.instance, "pid": instance.pid, "folder": str(folder.resolve())}
    server = uvicorn.Server(
        uvicorn.Config(
            DurableApp(emulator.app, store, about),
            lifespan="on",
            access_log=False,
            log_level="warning",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
            backlog=1024,
        )
    )
    listener.listen(1024)
    # Requests that come before the server runs wait in the listener's queue.
    write_instance(folder, instance)
    ticker = threading.Thread(
        target=_tick, args=(store, folder, server, SYSTEM_CLOCK), name="sync", daemon=True
    )
    ticker.start()
    _say(f"Serving on {HOST}:{instance.port}, pid {instance.pid}.")
    # uvicorn raises the signal that stopped it once more when it is done; by then it is answered.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    server.run(sockets=[listener])
    try:
        store.close()
    except OSError as error:
        _say(f"Stopped without a snapshot ({error}); the journal holds what was acknowledged.")
        return
    _say("Stopped cleanly.")


def _tick(store: Any, folder: Path, server: Any, clock: Clock) -> None:
    while not server.should_exit:
        clock.sleep(_SYNC_EVERY_S)
        if not folder.exists():
            _say("The state folder is gone; nothing left to serve.")
            os._exit(1)
        try:
            store.sync()
        except OSError as error:
            _say(f"The journal could not be brought to the disk: {error}")


def _listen(preferred_port: int) -> socket.socket:
    for port in (preferred_port, 0):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if os.name != "nt":  # there it would let two processes share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            listener.close()
            if port == 0:
                raise
            continue
        return listener
    raise AssertionError("the loop returns or raises")


def _configure_package(port: int, folder: Path) -> None:
    """The package reads these at import."""
    set_environment(
        {
            "GATEWAY_PORT": str(port),
            "BIND_HOST": HOST,
            "LOG_LEVEL": "WARNING",
            "PERSIST_STATE": "0",
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(data_folder(folder) / "s3"),
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            # No container is ever started or looked for.
            "DOCKER_HOST": "unix:///nonexistent/docker.sock",
        }
    )


def _say(text: str) -> None:
    sys.stderr.write(f"{iso(SYSTEM_CLOCK.time())} {text}\n")
    sys.stderr.flush()
