"""A forwarder in front of a Redis, which can be cut: to see what is left without one."""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import AbstractContextManager
from urllib.parse import urlsplit, urlunsplit

from core.errors import UsageError

_HOST = "127.0.0.1"
_BYTES = 65_536
_PORT = 6379


class Forwarder(AbstractContextManager["Forwarder"]):
    """Listens on 127.0.0.1 and hands every connection on to a Redis, until it is cut."""

    def __init__(self, redis_url: str) -> None:
        """In front of the Redis at `redis_url`.

        Raises:
            UsageError: the URL is not plain `redis://`.
        """
        parts = urlsplit(redis_url)
        if parts.scheme != "redis" or not parts.hostname:
            raise UsageError(
                "The fault 'redis' needs a plain redis:// URL.",
                "Set IAL_REDIS_URL=redis://127.0.0.1:6379/0, or leave --fault redis out.",
            )
        self._to = (parts.hostname, parts.port or _PORT)
        self._listener = socket.create_server((_HOST, 0))
        self._port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._is_cut = False
        user, at, _ = parts.netloc.rpartition("@")
        netloc = f"{user}{at}{_HOST}:{self._port}"
        self.url = urlunsplit(parts._replace(netloc=netloc))
        self._listen()

    def __exit__(self, *_: object) -> None:
        self.cut()

    def cut(self) -> None:
        """Ends all connections, and takes no more."""
        with self._lock:
            self._is_cut = True
            ends, self._open = self._open, set()
        _shut(self._listener)  # closed alone, it would still take the connection it waits for
        for end in ends:
            _shut(end)

    def mend(self) -> None:
        """Takes connections again, at the same port."""
        self._listener = socket.create_server((_HOST, self._port))
        with self._lock:
            self._is_cut = False
        self._listen()

    def _listen(self) -> None:
        accept = threading.Thread(
            target=self._accept, args=(self._listener,), name="forwarder", daemon=True
        )
        accept.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return  # it was cut
            try:
                far = socket.create_connection(self._to)
            except OSError:
                _shut(near)  # there is no Redis to hand on to
                continue
            with self._lock:
                if self._is_cut:
                    _shut(near)
                    _shut(far)
                    return
                self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # one end is gone: so is the other, below
        while read := source.recv(_BYTES):
            sink.sendall(read)
    _shut(sink)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it was not connected any more
        end.shutdown(socket.SHUT_RDWR)
    end.close()
