"""The heart of it: Redis killed and restarted under load, and no answer is ever stale."""

from __future__ import annotations

import asyncio
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from core.cache.link import Link, LinkOptions
from core.cache.owed import MOST_TAGS
from core.cache.tiers import TieredCache
from core.errors import SettingsError
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


async def _work_async(model: Model, one: TieredCache[str], seed: int, until: float) -> None:
    chance = random.Random(seed)

    async def load(n: int) -> str:
        version = model.stored[n]
        await asyncio.sleep(chance.random() * 0.005)
        return str(version)

    while time.monotonic() < until:
        n = chance.randrange(KEYS)
        if chance.random() < 0.1 and model.write_locks[n].acquire(blocking=False):
            try:
                version = model.stored[n] + 1
                model.stored[n] = version
                await one.invalidate_async(f"user:{n}")
                model.acknowledged[n] = version
                model.writes += 1
            finally:
                model.write_locks[n].release()
            continue
        floor = model.acknowledged[n]
        reading = one.get_or_load_async(user_key(str(n)), partial(load, n))
        try:
            seen = await asyncio.wait_for(reading, 0.004 if chance.random() < 0.1 else 5)
        except TimeoutError:
            continue  # cancelled in the middle of anything
        model.reads += 1
        if seen is None or int(seen) < floor:
            model.problems.append(f"key {n}: {seen} after {floor} was acknowledged")


def test_coroutines_that_are_cancelled_while_redis_is_killed(tmp_path: Path) -> None:
    """Forty coroutines, some cancelled at any point, through kills and restarts: never stale."""
    model = Model()
    with (
        RedisServer(tmp_path) as server,
        cache(
            server.url,
            options=LinkOptions(0.2, 0.2),
            policy=BreakerPolicy(open_s=0.05, max_open_s=0.1),
        ) as one,
    ):

        async def run() -> None:
            until = time.monotonic() + 2
            work = [_work_async(model, one, seed, until) for seed in range(40)]
            await asyncio.gather(*work)
            await one.close_async()

        def trouble() -> None:
            for _ in range(2):
                time.sleep(0.4)
                server.kill()
                time.sleep(0.2)
                server.start()

        with ThreadPoolExecutor(1) as pool:
            troubled = pool.submit(trouble)
            asyncio.run(run())
            troubled.result()
        assert model.problems == []
        assert model.reads > 500
        assert model.writes > 50
        assert _hits(one) > 0
        assert one.stats().owed == 0 or one.settle()


def test_something_else_answers_at_the_address() -> None:
    """A port where no Redis lives, but a web server: misses, and a word on why."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                with suppress(OSError):
                    near, _ = listening.accept()
                    with near:
                        near.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with cache(f"redis://127.0.0.1:{listening.getsockname()[1]}/0") as one:
            for n in range(20):
                assert one.get_or_load(user_key(str(n)), partial(str, n)) == str(n)
                one.invalidate(f"user:{n}")
            found = one.stats().redis
            assert found is not None
            assert found.failed >= 1
            assert found.last_failure
        stop.set()
        thread.join(5)


def test_a_url_that_is_none_of_a_redis_is_refused() -> None:
    """A typo in the address is told at once, with how it is written, and without the password."""
    with pytest.raises(SettingsError, match="'ftp://…@somewhere'") as raised:
        Link("ftp://me:secret@somewhere")
    assert "secret" not in str(raised.value)


def test_more_owed_than_can_be_remembered_is_everything(tmp_path: Path) -> None:
    """Past the bound, all values of the kind are distrusted, and made worthless when it is back."""
    with RedisServer(tmp_path) as server, cache(server.url, memory_bytes=0) as one:
        assert one.get_or_load(user_key("kept"), lambda: "old") == "old"
        server.kill()
        for n in range(0, MOST_TAGS + 500, 500):
            one.invalidate(*(f"user:{m}" for m in range(n, n + 500)))
        server.start()
        deadline = time.monotonic() + 5
        while not one.settle():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert one.get(user_key("kept")) is None
        assert one.get_or_load(user_key("kept"), lambda: "new") == "new"
        assert one.get(user_key("kept")) == "new"
