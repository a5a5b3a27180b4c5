"""The first tier: a model for any order of calls, one load a key, time, bytes, callbacks."""

from __future__ import annotations

import asyncio
import threading
import time
import tracemalloc

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from core.cache.flights import Loaded
from core.cache.items import ENTRY_BYTES, Removal
from core.cache.memory import MemoryCache
from core.errors import IalError, UsageError
from core.testing.clock import FakeClock

KEYS = st.sampled_from(["a", "b", "c", "d", "e"])
TAGS = st.frozensets(st.sampled_from(["x", "y"]))


def _cache(max_bytes: int = 1_000_000, ttl_s: float = 300) -> MemoryCache[str]:
    return MemoryCache(max_bytes, len, ttl_s=ttl_s)


class MemoryMachine(RuleBasedStateMachine):
    """Against a plain dict with deadlines: never a wrong, expired or invalidated value."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.told: list[tuple[str, str, Removal]] = []
        # Room for three and a half of these small entries.
        self.cache: MemoryCache[str] = MemoryCache(
            int(3.5 * (ENTRY_BYTES + 160)),
            len,
            ttl_s=10,
            clock=self.clock,
            on_remove=lambda *what: self.told.append(what),
        )
        self.model: dict[str, tuple[str, frozenset[str], float]] = {}
        self.version = 0

    @rule(key=KEYS, tags=TAGS, ttl_s=st.sampled_from([None, 1.0, 100.0, 0.0]))
    def put(self, key: str, tags: frozenset[str], ttl_s: float | None) -> None:
        """Stores under an own or the cache's time to live."""
        self.version += 1
        value = str(self.version)
        deadline = self.clock.monotonic() + (10 if ttl_s is None else ttl_s)
        self.cache.put(key, value, tags=tags, ttl_s=ttl_s)
        self.model[key] = (value, tags, deadline)

    @rule(key=KEYS)
    def put_too_large(self, key: str) -> None:
        """What can't be held is refused, and what was there before is gone."""
        assert not self.cache.put(key, "x" * 10_000)
        self.model.pop(key, None)

    @rule(key=KEYS)
    def read(self, key: str) -> None:
        """An answer is the latest value, in its time."""
        entry = self.cache.get(key)
        known = self.model.get(key)
        if entry is not None:
            assert known is not None
            assert entry.value == known[0]
            assert self.clock.monotonic() < known[2]

    @rule(key=KEYS)
    def read_what_was_put_last(self, key: str) -> None:
        """The latest entry is never the one that is evicted."""
        self.put(key, frozenset(), 5.0)
        entry = self.cache.get(key)
        assert entry is not None
        assert entry.value == self.model[key][0]

    @rule(key=KEYS)
    def remove(self, key: str) -> None:
        """Gone by key."""
        self.cache.remove(key)
        self.model.pop(key, None)
        assert self.cache.get(key) is None

    @rule(tag=st.sampled_from(["x", "y"]))
    def remove_tag(self, tag: str) -> None:
        """Gone by tag."""
        self.cache.remove_tag(tag)
        self.model = {k: v for k, v in self.model.items() if tag not in v[1]}

    @rule()
    def clear(self) -> None:
        """All gone."""
        self.cache.clear()
        self.model.clear()

    @rule(seconds=st.sampled_from([0.5, 3.0, 20.0]))
    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.clock.advance(seconds)

    @rule(key=KEYS, tags=TAGS)
    def load_overtaken(self, key: str, tags: frozenset[str]) -> None:
        """A load in the middle of which its key goes is handed on, and not kept."""
        if self.cache.get(key) is not None:
            return

        def loader() -> str:
            self.remove(key)
            return "old"

        assert self.cache.get_or_load(key, loader, tags=tags) == "old"
        assert self.cache.get(key) is None

    @invariant()
    def bounded_and_told(self) -> None:
        """Bytes stay within the bound, and every removal was told once."""
        stats = self.cache.stats()
        assert stats.bytes <= stats.max_bytes
        assert stats.items <= 4
        assert (stats.bytes == 0) == (stats.items == 0)
        counted = stats.evictions + stats.expirations + stats.invalidations
        assert counted == len(self.told)


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.__doc__ = MemoryMachine.__doc__


def test_the_least_recently_read_goes_first() -> None:
    """When there is no more room, what was read longest ago is evicted, and its owner told."""
    told: list[tuple[str, str, Removal]] = []
    cache: MemoryCache[str] = MemoryCache(
        3 * (ENTRY_BYTES + 100), len, on_remove=lambda *what: told.append(what)
    )
    for key in "abc":
        cache.put(key, key)
    cache.get("a")
    cache.put("d", "d")
    assert told == [("b", "b", Removal.EVICTED)]


def test_a_callback_may_use_the_cache() -> None:
    """Callbacks run outside of the lock: one that writes to the cache does not hang."""

    def note(key: str, _value: str, _why: Removal) -> None:
        cache.put(f"{key}-gone", "")

    cache: MemoryCache[str] = MemoryCache(1_000_000, len, on_remove=note)
    cache.put("a", "1")
    cache.remove("a")
    assert cache.get("a-gone") is not None


def test_many_threads_cause_one_load() -> None:
    """Thirty threads ask for the same key at once: one load, thirty answers."""
    cache, loads, answers = _cache(), [0], []
    barrier = threading.Barrier(30)

    def load() -> str:
        loads[0] += 1
        time.sleep(0.05)  # long enough for all the others to ask meanwhile
        return "text"

    def ask() -> None:
        barrier.wait(5)
        answers.append(cache.get_or_load("k", load))

    threads = [threading.Thread(target=ask) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert answers == ["text"] * 30
    assert loads == [1]


def test_who_asks_after_an_invalidation_does_not_join_an_older_load() -> None:
    """A load that began before the invalidation goes on for its own; the next one loads anew."""
    cache = _cache()
    begun, go = threading.Event(), threading.Event()
    old: list[str] = []

    def slow() -> str:
        begun.set()
        assert go.wait(5)
        return "old"

    thread = threading.Thread(target=lambda: old.append(cache.get_or_load("k", slow, tags={"t"})))
    thread.start()
    assert begun.wait(5)
    cache.remove_tag("t")
    assert cache.get_or_load("k", lambda: "new", tags={"t"}) == "new"
    go.set()
    thread.join(5)
    assert old == ["old"]
    assert cache.get_or_load("k", lambda: "never", tags={"t"}) == "new"


def test_a_failed_load_fails_all_who_wait_and_is_not_kept() -> None:
    """An error of ours reaches every waiter; the next to ask loads again."""
    cache = _cache()
    waiting = threading.Event()
    errors: list[str] = []

    def fail() -> str:
        assert waiting.wait(5)
        time.sleep(0.05)  # long enough for the others to wait for this load
        raise IalError("no table")

    def ask() -> None:
        try:
            cache.get_or_load("k", fail)
        except IalError as error:
            errors.append(error.what)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    waiting.set()
    for thread in threads:
        thread.join(5)
    assert errors == ["no table"] * 5
    assert cache.get_or_load("k", lambda: "there") == "there"


def test_an_interrupted_load_is_taken_over() -> None:
    """Ctrl-C in the thread that loads is that thread's own; who waits loads instead."""
    cache = _cache()
    begun, go = threading.Event(), threading.Event()

    def interrupted() -> str:
        begun.set()
        assert go.wait(5)
        raise KeyboardInterrupt

    def lead() -> None:
        with pytest.raises(KeyboardInterrupt):
            cache.get_or_load("k", interrupted)

    answers: list[str] = []
    leader = threading.Thread(target=lead)
    leader.start()
    assert begun.wait(5)
    joiner = threading.Thread(target=lambda: answers.append(cache.get_or_load("k", lambda: "mine")))
    joiner.start()
    time.sleep(0.05)  # long enough for it to find the load under way; nothing shows that it did
    go.set()
    leader.join(5)
    joiner.join(5)
    assert answers == ["mine"]


def test_a_loader_that_asks_for_its_own_key_does_not_hang() -> None:
    """Neither from its own thread, nor when a coroutine of the same loop is loading it."""
    cache = _cache()
    assert cache.get_or_load("k", lambda: cache.get_or_load("k", lambda: "inner")) == "inner"

    async def loaded() -> Loaded[str]:
        await asyncio.sleep(0.05)
        return Loaded("slow")

    async def run() -> None:
        task = asyncio.create_task(cache.fly_async("j", frozenset(), loaded))
        await asyncio.sleep(0.01)
        assert cache.get_or_load("j", lambda: "inner") == "inner"
        assert await task == "slow"

    asyncio.run(run())


def test_time_is_monotonic_and_an_items_own() -> None:
    """Each entry lives for its own time; None is kept only where asked."""
    clock = FakeClock()
    cache: MemoryCache[str | None] = MemoryCache(
        100_000, lambda text: len(text or ""), ttl_s=10, clock=clock
    )
    cache.put("short", "1", ttl_s=1)
    cache.put("long", "2")
    clock.advance(1)
    assert cache.get("short") is None
    assert cache.get("long") is not None
    assert cache.get_or_load("none", lambda: None) is None
    assert cache.get("none") is None
    assert cache.get_or_load("none", lambda: None, keep_none=True) is None
    assert cache.get("none") is not None


def test_impossible_bounds_are_refused() -> None:
    """A cache that could hold nothing for no time is a mistake, told as one."""
    with pytest.raises(UsageError, match="-1 bytes"):
        _cache(-1)
    with pytest.raises(UsageError, match="0 s"):
        _cache(ttl_s=0)


def test_the_bound_is_near_what_memory_is_taken() -> None:
    """What is counted is what the interpreter allocates, within a third."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        cache = _cache(100_000_000)
        for n in range(20_000):
            text = f"{n:0200d}"
            cache.put(f"user-{n}/recent", text, tags=(f"user:{n}",))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.75 < cache.stats().bytes / taken < 1.33
