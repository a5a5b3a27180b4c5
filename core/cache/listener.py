"""One thread that hears what other processes invalidate, and notices when it may have missed some.

It reconnects by itself, with growing delays. A connection that says nothing is asked for a sign
of life; without one it counts as lost, so a silent network does not make a deaf process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.cache.link import FAILURES
from core.cache.plans import Message, decode_message
from core.clock import SYSTEM_CLOCK, Clock, Random, system_random


@dataclass(frozen=True)
class ListenerPolicy:
    """Seconds between looks at what else there is to do, signs of life, and reconnections."""

    tick_s: float = 0.1
    ping_s: float = 1.0
    deaf_s: float = 2.0
    base_delay_s: float = 0.05
    max_delay_s: float = 1.0


class Listener:
    """Hears one channel. `on_gap` is called once messages are heard again after some may be lost.

    `connect` makes a connection that is not connected yet. `on_tick` is called often, connected or
    not. All are called in the listener's own thread.
    """

    def __init__(
        self,
        channel: str,
        connect: Callable[[], Any],
        *,
        on_message: Callable[[Message], None],
        on_gap: Callable[[], None],
        on_tick: Callable[[], None],
        policy: ListenerPolicy | None = None,
        clock: Clock = SYSTEM_CLOCK,
        rng: Random | None = None,
    ) -> None:
        self._channel = channel
        self._connect = connect
        self._on_message = on_message
        self._on_gap = on_gap
        self._on_tick = on_tick
        self._policy = policy or ListenerPolicy()
        self._clock = clock
        self._rng = rng or system_random()
        self._stop = threading.Event()
        self._hears = threading.Event()
        self._thread: threading.Thread | None = None
        self._delay_s = self._policy.base_delay_s
        self.gaps = 0
        self.last_failure: str | None = None

    @property
    def hears(self) -> bool:
        """True while subscribed."""
        return self._hears.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Waits until it hears; False if that took too long."""
        return self._hears.wait(timeout_s)

    def start(self) -> None:
        """Starts the thread, once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="cache-bus", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends the thread; returns when it has ended."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            connection = self._connect()
            try:
                self._listen(connection)
            except FAILURES as error:
                # The gap is made good as soon as it hears again.
                self.last_failure = f"{type(error).__name__}: {error}"
            finally:
                self._hears.clear()
                connection.disconnect()
            self._back_off()

    def _back_off(self) -> None:
        """Waits before the next try, and does not forget what else is to be done."""
        self._delay_s = min(self._delay_s * 2, self._policy.max_delay_s)
        until = self._clock.monotonic() + self._rng.uniform(0, self._delay_s)
        while not self._stop.is_set() and self._clock.monotonic() < until:
            self._stop.wait(min(self._policy.tick_s, self._delay_s))
            self._on_tick()

    def _listen(self, connection: Any) -> None:
        connection.connect()
        connection.send_command("SUBSCRIBE", self._channel, check_health=False)
        connection.read_response()
        # From here on every message is heard; what was said before may have been missed.
        self.gaps += 1
        self._on_gap()
        self._hears.set()
        self._delay_s = self._policy.base_delay_s
        heard = asked = self._clock.monotonic()
        while not self._stop.is_set():
            if connection.can_read(timeout=self._policy.tick_s):
                self._take(connection.read_response())
                heard = self._clock.monotonic()
            now = self._clock.monotonic()
            if now - heard > self._policy.deaf_s:
                raise TimeoutError("no sign of life")
            if now - max(heard, asked) >= self._policy.ping_s:
                connection.send_command("PING", check_health=False)
                asked = now
            self._on_tick()

    def _take(self, reply: Any) -> None:
        if isinstance(reply, list) and reply[0] == b"message":
            self._on_message(decode_message(reply[2]))
