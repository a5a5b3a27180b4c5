"""Both tiers against a real redis-server: hits, invalidation, other processes, outages."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from core.cache.interface import Cache
from core.cache.items import Removal
from core.cache.link import LinkOptions
from core.cache.tiers import TieredCache
from core.resilience.breaker import BreakerPolicy
from tests.caches import SPACE, TextCodec, cache, tier, user_key
from tests.redis_server import Proxy, RedisServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A redis-server of this test's own."""
    with RedisServer(tmp_path) as running:
        yield running


def _never() -> str:
    raise AssertionError("this should have been in the cache")


def _eventually(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)


def _redis_hits(one: TieredCache[str]) -> int:
    found = one.stats().redis
    assert found is not None
    return found.hits


def test_a_value_is_loaded_once_for_all_processes(server: RedisServer) -> None:
    """What one process loaded, another reads from Redis, and then from its own memory."""
    with cache(server.url) as one, cache(server.url) as other:
        # The first subscription drops what memory holds.
        assert one.wait_until_listening(5)
        assert other.wait_until_listening(5)
        assert one.get_or_load(user_key("u"), lambda: "text") == "text"
        assert other.get_or_load(user_key("u"), _never) == "text"
        assert other.get_or_load(user_key("u"), _never) == "text"
        assert other.get(user_key("u")) == "text"
        assert other.get(user_key("nobody")) is None
        assert _redis_hits(other) == 1
        assert other.stats().memory.hits == 2


def test_without_redis_memory_serves_alone() -> None:
    """The same interface and guarantee in one process, with nothing to connect to."""

    async def load() -> str:
        return "awaited"

    with cache(None) as one:
        plain: Cache[str] = one
        assert plain.get_or_load(user_key("u"), lambda: "old") == "old"
        assert plain.invalidate("user:u", "user:v")
        assert plain.get(user_key("u")) is None
        assert asyncio.run(plain.get_or_load_async(user_key("u"), load)) == "awaited"
        assert asyncio.run(plain.get_async(user_key("u"))) == "awaited"
        assert asyncio.run(plain.invalidate_async("user:u"))
        plain.put(user_key("v"), "put")
        assert plain.get(user_key("v")) == "put"
        assert one.clear()
        assert plain.stats().memory.items == 0
        assert plain.stats().redis is None
        assert not one.wait_until_listening(0)


def test_invalidation_reaches_redis_and_the_memory_of_others(server: RedisServer) -> None:
    """After an invalidation nobody reads the old value from Redis; others' memory drops it soon."""
    with cache(server.url) as one, cache(server.url) as other:
        assert other.wait_until_listening(5)
        for each in (one, other):
            each.get_or_load(user_key("u"), lambda: "old")
            each.get_or_load(user_key("v"), lambda: "kept")
        one.invalidate("user:u")
        assert one.get_or_load(user_key("u"), lambda: "new") == "new"
        _eventually(lambda: other.get_or_load(user_key("u"), _never) == "new")
        assert other.get_or_load(user_key("v"), _never) == "kept"


def test_a_load_that_an_invalidation_overtook_is_kept_nowhere(server: RedisServer) -> None:
    """A slow load that began before a write is neither in memory nor believed in Redis after it."""
    begun, go = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go.wait(5)
        return "old"

    with cache(server.url) as one, cache(server.url) as other:
        assert one.wait_until_listening(5)
        thread = threading.Thread(target=one.get_or_load, args=(user_key("u"), slow))
        thread.start()
        assert begun.wait(5)
        other.invalidate("user:u")
        go.set()
        thread.join(5)
        assert other.get_or_load(user_key("u"), lambda: "new") == "new"
        _eventually(lambda: one.get_or_load(user_key("u"), lambda: "new") == "new")


def test_what_is_read_in_the_middle_of_an_invalidation_is_not_old(server: RedisServer) -> None:
    """As soon as memory has let go of a value, Redis does not answer with it any more either."""
    database = ["old"]
    seen: list[str | None] = []

    def look(_name: str, _value: str | None, _why: Removal) -> None:
        seen.append(one.get_or_load(user_key("u"), lambda: database[0]))

    one = TieredCache(TextCodec(), 1_000_000, tier(server.url), on_remove=look)
    assert one.get_or_load(user_key("u"), lambda: database[0]) == "old"
    database[0] = "new"
    assert one.invalidate("user:u")
    assert seen == ["new"]
    assert one.get_or_load(user_key("u"), _never) == "new"
    one.close()


def test_clear_drops_everything_everywhere(server: RedisServer) -> None:
    """After a clear no value of this kind is read, from Redis or from another's memory."""
    with cache(server.url) as one, cache(server.url) as other:
        assert other.wait_until_listening(5)
        other.get_or_load(user_key("u"), lambda: "old")
        one.clear()
        assert one.get(user_key("u")) is None
        _eventually(lambda: other.get(user_key("u")) is None)


def test_none_is_not_cached_unless_asked(server: RedisServer) -> None:
    """A loader that finds nothing is asked again; with keep_none it is not, in either tier."""
    with cache(server.url) as one:
        assert one.get_or_load(user_key("u"), lambda: None) is None
        assert one.get_or_load(user_key("u"), lambda: "there") == "there"
    loads: list[None] = []
    for _ in range(2):
        with cache(server.url, keep_none=True) as keeping:
            assert keeping.wait_until_listening(5)
            assert keeping.get_or_load(user_key("w"), lambda: loads.append(None)) is None
            assert keeping.get_or_load(user_key("w"), _never) is None
    assert len(loads) == 1


def test_rubbish_is_a_miss_and_counted(server: RedisServer) -> None:
    """Damaged, foreign, cut, misplaced and undecodable values are loaded anew, and told."""
    key = user_key("u")
    where = SPACE.value(key.name)
    with cache(server.url, memory_bytes=0) as one, server.client() as outside:
        one.get_or_load(key, lambda: "good")
        good = outside.get(where)
        assert isinstance(good, bytes)
        one.get_or_load(user_key("v"), lambda: "other's")
        foreign = outside.get(SPACE.value(user_key("v").name))
        assert isinstance(foreign, bytes)
        future = good[:4] + b"\x02" + good[5:]
        damaged = good[:-1] + bytes([good[-1] ^ 1])
        for count, raw in enumerate([b"", b"IALc", good[:-1], damaged, future, foreign], start=1):
            outside.set(where, raw, px=60_000)
            assert one.get_or_load(key, lambda: "fresh") == "fresh"
            found = one.stats().redis
            assert found is not None
            assert found.rubbish == count
        outside.delete(where)
        outside.lpush(where, "a list")
        assert one.get_or_load(key, lambda: "fresh") == "fresh"
        one.put(key, "put")
        assert one.get_or_load(key, _never) == "put"


def test_what_no_decoder_understands_is_rubbish(server: RedisServer) -> None:
    """A sound envelope whose payload the codec refuses counts as rubbish and is loaded anew."""
    bytes_tier = tier(server.url)
    reading = bytes_tier.read("u/recent", ["user:u"])
    assert reading.mark is not None
    assert bytes_tier.store("u/recent", reading.mark, b"\xff\xfe", 60)
    with cache(server.url) as one:
        assert one.get_or_load(user_key("u"), lambda: "fresh") == "fresh"
        found = one.stats().redis
        assert found is not None
        assert (found.rubbish, found.hits) == (1, 0)


def test_an_old_snapshot_that_comes_back_is_not_believed(tmp_path: Path) -> None:
    """Redis restarts with a snapshot from before an invalidation: its value is loaded anew."""
    with RedisServer(tmp_path) as server, cache(server.url, memory_bytes=0) as one:
        one.get_or_load(user_key("u"), lambda: "old")
        with server.client() as outside:
            outside.save()
        one.invalidate("user:u")
        assert one.stats().owed == 0
        server.kill()
        server.start()
        with server.client() as outside:
            assert outside.exists(SPACE.value("u/recent"))
        assert one.get_or_load(user_key("u"), lambda: "new") == "new"


def test_what_could_not_be_invalidated_is_when_redis_is_back(server: RedisServer) -> None:
    """A write while Redis is unreachable: its old value is never answered here, then nowhere."""
    with (
        Proxy(server.port) as proxy,
        cache(proxy.url, options=LinkOptions(0.2, 0.2)) as cut_off,
        cache(server.url, memory_bytes=0) as other,
    ):
        assert cut_off.wait_until_listening(5)
        cut_off.get_or_load(user_key("u"), lambda: "old")
        assert other.get(user_key("u")) == "old"
        proxy.swallow = True
        proxy.cut()
        cut_off.invalidate("user:u")
        assert cut_off.stats().owed == 1
        assert cut_off.get_or_load(user_key("u"), lambda: "new") == "new"
        proxy.swallow = False
        proxy.cut()
        assert cut_off.get_or_load(user_key("u"), _never) == "new"
        _eventually(lambda: cut_off.stats().owed == 0)
        assert other.get(user_key("u")) is None
        _eventually(lambda: cut_off.stats().hears)


def test_a_lost_connection_drops_what_is_in_memory(server: RedisServer) -> None:
    """Messages may have been missed while it was lost: then nothing in memory is believed."""
    with Proxy(server.port) as proxy, cache(proxy.url) as one, cache(server.url) as other:
        assert one.wait_until_listening(5)
        one.get_or_load(user_key("u"), lambda: "old")
        proxy.swallow = True  # the network is silent: no error tells of it
        other.invalidate("user:u")
        _eventually(lambda: not one.stats().hears)
        assert "no sign of life" in (one.stats().lost or "")
        proxy.swallow = False
        proxy.cut()
        _eventually(lambda: one.stats().hears)
        assert one.get_or_load(user_key("u"), lambda: "new") == "new"


def test_a_frozen_redis_costs_a_bounded_time_then_nothing(server: RedisServer) -> None:
    """With the shipped time-outs: a few of 50 ms, then microseconds, and hits once it is back."""
    policy = BreakerPolicy(open_s=0.3, max_open_s=0.3)
    patient_reads = LinkOptions()
    with cache(server.url, memory_bytes=0, options=patient_reads, policy=policy) as one:
        one.get_or_load(user_key("u"), lambda: "text")
        server.freeze()
        begin = time.monotonic()
        for _ in range(2000):
            assert one.get_or_load(user_key("u"), lambda: "loaded") == "loaded"
        took = time.monotonic() - begin
        assert took < 2.0  # five time-outs and a probe every 0.3 s; 2000 of them would be 100 s
        server.thaw()
        hits = _redis_hits(one)
        _eventually(
            lambda: (
                one.get_or_load(user_key("u"), lambda: "loaded") is not None
                and _redis_hits(one) > hits
            )
        )


def test_a_slow_redis_is_left_alone(server: RedisServer) -> None:
    """Answers that come, but late, open the breaker as well."""
    with Proxy(server.port) as proxy:
        one = tier(proxy.url, slow_s=0.025, policy=BreakerPolicy(open_s=60))
        proxy.delay_s = 0.03
        for _ in range(5):
            one.read("u", ["user:u"])
        begin = time.monotonic()
        for _ in range(1000):
            one.read("u", ["user:u"])
        assert time.monotonic() - begin < 0.5
        assert one.stats().breaker == "open"
        assert one.stats().skipped == 1000
        assert "took" in (one.stats().last_failure or "")
        one.link.close()


def test_eviction_and_full_memory_are_misses(tmp_path: Path) -> None:
    """Redis that evicts keys, tokens among them, or has no memory left: misses, no errors."""
    full = "x" * 20_000
    for policy in ("allkeys-lru", "noeviction"):
        with (
            RedisServer(tmp_path, "--maxmemory", "3mb", "--maxmemory-policy", policy) as server,
            cache(server.url, memory_bytes=0) as one,
        ):
            versions = dict.fromkeys(range(300), 0)
            for turn in range(1500):
                n = turn * 7 % 300
                key = user_key(str(n))
                if turn % 3 == 0:
                    versions[n] += 1
                    one.invalidate(f"user:{n}")
                text = f"{versions[n]}{full}"
                assert one.get_or_load(key, partial(str, text)) == text
            found = one.stats()
            assert found.owed == 0
            assert found.redis is not None
            assert (found.redis.refused > 0) == (policy == "noeviction")
            assert found.redis.breaker == "closed"


def test_a_readonly_redis_is_survived(server: RedisServer) -> None:
    """A server that became a replica: reads go on, invalidations are owed until it is back."""
    with cache(server.url) as one, server.client() as outside:
        assert one.wait_until_listening(5)
        one.get_or_load(user_key("u"), lambda: "old")
        outside.replicaof("127.0.0.1", "1")
        one.invalidate("user:u")
        assert one.stats().owed == 1
        assert one.get_or_load(user_key("u"), lambda: "new") == "new"
        outside.replicaof("NO", "ONE")
        _eventually(lambda: one.stats().owed == 0)
        found = one.stats().redis
        assert found is not None
        assert "ReadOnly" in (found.last_failure or "")


def test_nothing_listens_at_the_address() -> None:
    """No Redis at all: memory serves, writes count, and the statistics say why."""
    with cache("redis://127.0.0.1:1/0") as one:
        assert one.get_or_load(user_key("u"), lambda: "a") == "a"
        assert one.get_or_load(user_key("u"), _never) == "a"
        one.invalidate("user:u")
        assert one.get_or_load(user_key("u"), lambda: "b") == "b"
        found = one.stats()
        assert found.redis is not None
        assert found.redis.failed >= 1
        assert found.owed == 1
        assert not found.hears


def test_rubbish_on_the_bus_drops_everything(server: RedisServer) -> None:
    """A message that can't be understood may have meant anything: memory is emptied."""
    with cache(server.url) as one, server.client() as outside:
        assert one.wait_until_listening(5)
        for raw in (b"\xff", b"{}", b"[1,2,3]", b'["x",[1],false]', b'["x",[],true]'):
            one.get_or_load(user_key("u"), lambda: "text")
            outside.publish(SPACE.bus, raw)
            _eventually(lambda: one.stats().memory.items == 0)
        assert one.stats().hears


def test_coroutines_share_loads_and_values_with_threads(server: RedisServer) -> None:
    """Fifty coroutines cause one load; a cancelled one harms no other; threads see the value."""
    loads: list[int] = []

    async def load() -> str:
        loads.append(1)
        await asyncio.sleep(0.05)
        return "text"

    async def run(one: TieredCache[str]) -> None:
        tasks = [asyncio.create_task(one.get_or_load_async(user_key("u"), load)) for _ in range(50)]
        await asyncio.sleep(0.01)
        tasks[7].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [x for x in done if x != "text"] == [done[7]]
        assert len(loads) == 1
        # The one that loads is cancelled: another takes over.
        await one.invalidate_async("user:u")
        tasks = [asyncio.create_task(one.get_or_load_async(user_key("u"), load)) for _ in range(5)]
        await asyncio.sleep(0.02)
        tasks[0].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert done[1:] == ["text"] * 4
        assert len(loads) == 3
        await one.put_async(user_key("v"), "put")
        one._memory.clear()
        assert await one.get_async(user_key("v")) == "put"
        assert await one.clear_async()
        assert await one.get_async(user_key("v")) is None
        assert await one.get_or_load_async(user_key("u"), load) == "text"
        await one.close_async()

    with cache(server.url) as one, cache(server.url) as other:
        assert one.wait_until_listening(5)
        asyncio.run(run(one))
        assert one.get_or_load(user_key("u"), _never) == "text"
        assert other.get_or_load(user_key("u"), _never) == "text"
