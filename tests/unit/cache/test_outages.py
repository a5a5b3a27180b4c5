"""The heart of it: Redis killed and restarted under load, and no answer is ever stale."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.cache.link import LinkOptions
from core.cache.tiers import TieredCache
from core.resilience.breaker import BreakerPolicy
from tests.caches import cache, user_key
from tests.redis_server import Proxy, RedisServer

KEYS = 12
THREADS = 8


class Model:
    """A database of versions, and what of it was acknowledged to its writers."""

    def __init__(self) -> None:
        self.stored = [0] * KEYS
        self.acknowledged = [0] * KEYS
        self.write_locks = [threading.Lock() for _ in range(KEYS)]
        self.problems: list[str] = []
        self.reads = self.writes = 0

    def write(self, one: TieredCache[str], n: int) -> None:
        """A write, its invalidation, and only then the acknowledgement."""
        with self.write_locks[n]:
            version = self.stored[n] + 1
            self.stored[n] = version
            one.invalidate(f"user:{n}")
            self.acknowledged[n] = version
            self.writes += 1

    def read(self, one: TieredCache[str], n: int, chance: random.Random) -> None:
        """A read must see at least what was acknowledged before it began."""
        floor = self.acknowledged[n]

        def load() -> str:
            version = self.stored[n]
            if chance.random() < 0.2:
                time.sleep(chance.random() * 0.01)  # writes overtake loads
            return str(version)

        seen = one.get_or_load(user_key(str(n)), load)
        self.reads += 1
        if seen is None or int(seen) < floor:
            self.problems.append(f"key {n}: {seen} after {floor} was acknowledged")


class SharedModel(Model):
    """The same for several processes: only Redis knows of the other's writes in time."""

    def write(self, one: TieredCache[str], n: int) -> None:
        """Acknowledged only when Redis has confirmed the invalidation."""
        with self.write_locks[n]:
            version = self.stored[n] + 1
            self.stored[n] = version
            paid = one.invalidate(f"user:{n}")
            while not paid:
                time.sleep(0.005)
                paid = one.settle()
            self.acknowledged[n] = version
            self.writes += 1

    def read(self, one: TieredCache[str], n: int, chance: random.Random) -> None:
        """What Redis answers is as new as what was acknowledged; a miss is filled."""
        floor = self.acknowledged[n]
        seen = one.get(user_key(str(n)))
        self.reads += 1
        if seen is None:
            one.get_or_load(user_key(str(n)), lambda: str(self.stored[n]))
        elif int(seen) < floor:
            self.problems.append(f"key {n}: {seen} after {floor} was acknowledged")


def _work(model: Model, caches: list[TieredCache[str]], seed: int, stop: threading.Event) -> None:
    chance = random.Random(seed)
    one = caches[seed % len(caches)]
    try:
        while not stop.is_set():
            n = chance.randrange(KEYS)
            if chance.random() < 0.1:
                model.write(one, n)
            else:
                model.read(one, n, chance)
    except BaseException as error:
        model.problems.append(repr(error))
        raise


def _under_load(model: Model, caches: list[TieredCache[str]], trouble: Callable[[], None]) -> None:
    stop = threading.Event()
    workers = [
        threading.Thread(target=_work, args=(model, caches, seed, stop)) for seed in range(THREADS)
    ]
    for worker in workers:
        worker.start()
    try:
        trouble()
    finally:
        stop.set()
        for worker in workers:
            worker.join(20)
    assert model.problems == []
    assert model.reads > 500
    assert model.writes > 50


def _hits(one: TieredCache[str]) -> int:
    found = one.stats().redis
    assert found is not None
    return found.hits


@pytest.mark.parametrize("memory_bytes", [10_000_000, 0])
def test_redis_killed_and_restarted_under_eight_threads(tmp_path: Path, memory_bytes: int) -> None:
    """kill -9 and restart, again and again: no error, and nothing older than acknowledged."""
    with (
        RedisServer(tmp_path) as server,
        cache(
            server.url,
            memory_bytes=memory_bytes,
            options=LinkOptions(0.2, 0.2),
            policy=BreakerPolicy(open_s=0.05, max_open_s=0.1),
        ) as one,
    ):
        assert one.wait_until_listening(5)

        def trouble() -> None:
            for _ in range(4):
                time.sleep(0.35)
                server.kill()
                time.sleep(0.25)
                server.start()
            time.sleep(0.3)

        _under_load(Model(), [one], trouble)
        hits = _hits(one)
        deadline = time.monotonic() + 5
        while _hits(one) == hits and time.monotonic() < deadline:
            one.get(user_key("fresh"))
            one.put(user_key("fresh"), "value")
            one._memory.clear()
        assert _hits(one) > hits  # it is back by itself
        assert one.settle()


def test_connections_cut_frozen_and_late_under_eight_threads(tmp_path: Path) -> None:
    """Cut connections, a silent network, late answers: no error and nothing stale either."""
    with (
        RedisServer(tmp_path) as server,
        Proxy(server.port) as proxy,
        cache(
            proxy.url,
            options=LinkOptions(0.05, 0.05),
            policy=BreakerPolicy(open_s=0.05, max_open_s=0.1),
        ) as one,
    ):

        def trouble() -> None:
            for _ in range(3):
                time.sleep(0.2)
                proxy.cut()
                time.sleep(0.2)
                proxy.delay_s = 0.03
                time.sleep(0.2)
                proxy.delay_s, proxy.swallow = 0.0, True
                time.sleep(0.2)
                proxy.swallow = False
                proxy.cut()

        _under_load(Model(), [one], trouble)


def test_two_processes_worth_of_caches_agree_through_redis(tmp_path: Path) -> None:
    """Caches without memory, as of two processes: what one acknowledged, the other reads.

    Redis is restarted empty meanwhile; who can't invalidate acknowledges when it can.
    """
    with (
        RedisServer(tmp_path) as server,
        cache(server.url, memory_bytes=0) as one,
        cache(server.url, memory_bytes=0) as other,
    ):

        def trouble() -> None:
            for _ in range(3):
                time.sleep(0.4)
                server.kill()
                server.start()

        _under_load(SharedModel(), [one, other], trouble)


WRITER = """
import sys
from tests.caches import cache, user_key
with cache(sys.argv[1]) as one:
    assert one.wait_until_listening(10)
    for line in sys.stdin:
        one.invalidate("user:u")
        one.get_or_load(user_key("u"), lambda: line.strip())
        print(line.strip(), flush=True)
"""


def test_another_process_is_heard_within_milliseconds(tmp_path: Path) -> None:
    """A real second process invalidates: this one's memory drops the value without being asked."""
    root = Path(__file__).parents[3]
    with RedisServer(tmp_path) as server, cache(server.url) as one:
        assert one.wait_until_listening(5)
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, server.url],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdin is not None
            assert writer.stdout is not None
            for version in range(20):
                writer.stdin.write(f"{version}\n")
                writer.stdin.flush()
                assert writer.stdout.readline() == f"{version}\n"
                deadline = time.monotonic() + 2
                while one.get_or_load(user_key("u"), lambda: "none") != str(version):
                    assert time.monotonic() < deadline, (
                        version,
                        one.get(user_key("u")),
                        one.stats(),
                    )
                    time.sleep(0.001)
            writer.stdin.close()
            assert writer.wait(10) == 0
