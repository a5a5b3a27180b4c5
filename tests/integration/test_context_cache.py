"""Contexts kept in a real Redis: quick when nothing was written, never stale, gone with Redis."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.aws.session import AwsSession
from core.memory.context_cache import open_context_cache
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.parts import Options, open_parts
from core.settings import Settings
from core.testing.table import FakeTable
from tests.engines import engine_over, fake_tables
from tests.redis_server import RedisServer

QUESTION = "Which count is the highest?"
USERS = ("ada", "bob#1", "c%")
SECONDS = 6.0


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A redis-server of this test's own."""
    with RedisServer(tmp_path) as server:
        yield server


def _options(server: RedisServer) -> Options:
    return Options(redis_url=server.url, project="t")


def test_a_context_asked_again_reads_nothing(redis_server: RedisServer) -> None:
    """Another process finds it too; whatever is written of the user ends that."""
    tables = fake_tables()
    options = _options(redis_server)
    with (
        engine_over(tables, options=options) as one,
        engine_over(tables, options=options) as other,
    ):
        one.save_interaction_optimized("The count is 1.", "Noted.", "ada", "s")
        first = one.build_context(QUESTION, "ada", "s")
        for engine in (one, other):
            again = engine.build_context(QUESTION, "ada", "s")
            assert again.cached
            assert (again.text, again.lines) == (first.text, first.lines)
            assert again.consumed.requests == 0
        assert not one.build_context(QUESTION, "ada", "another session").cached
        other.save_interaction_optimized("The count is 2.", "Noted.", "ada", "s")
        for engine in (one, other):
            assert "count is 2." in engine.build_context(QUESTION, "ada", "s").text
        metrics = one.get_performance_metrics()
        assert metrics["cache_hit_rate"] > 0
        assert metrics["cache"]["redis"]["hits"] > 0


def test_a_context_that_an_index_made_late_is_not_kept(redis_server: RedisServer) -> None:
    """What one process wrote is in its next context, whoever was asked before the index knew."""
    tables = fake_tables(index_lag=True)
    history = tables.history
    assert isinstance(history, FakeTable)
    options = _options(redis_server)
    with (
        engine_over(tables, options=options) as one,
        engine_over(tables, options=options) as other,
    ):
        one.save_interaction_optimized("The count is 1.", "Noted.", "ada", "s")
        history.catch_up()
        assert other.build_context("Weather?", "ada").missing == ()
        one.save_interaction_optimized("The count is 2.", "Noted.", "ada", "s")
        assert "lags" in other.build_context("Weather?", "ada").missing[0]
        assert "count is 2." in one.build_context("Weather?", "ada").text
        history.catch_up()
        assert "count is 2." in other.build_context("Weather?", "ada").text


def test_rubbish_in_redis_is_no_context(redis_server: RedisServer) -> None:
    """Values that somebody else wrote there are built anew, and counted."""
    with engine_over(fake_tables(), options=_options(redis_server)) as engine:
        engine.save_interaction_optimized("The count is 1.", "Noted.", "ada", "s")
        engine.build_context(QUESTION, "ada", "s")
        with redis_server.client() as client:
            for key in client.scan_iter("*"):
                if b":v:" in key:
                    client.set(key, b"\x00rubbish")
        built = engine.build_context(QUESTION, "ada", "s")
        assert "count is 1." in built.text
        assert not built.cached


def test_of_a_forgotten_user_no_text_lies_in_redis(redis_server: RedisServer) -> None:
    """Whatever model the contexts were built with; others' stay, and are answered."""
    users = (*USERS, "bob#", "bob*")
    with (
        engine_over(fake_tables(), options=_options(redis_server)) as engine,
        open_context_cache(redis_server.url, "t", "another/3", 300.0) as other,
    ):
        built = {}
        for user in users:
            engine.save_interaction_optimized(f"The count of {user} is 1.", "Noted.", user, "s")
            built[user] = engine.build_context(QUESTION, user, "s")
            other.get_or_build((QUESTION, user, "s", 1), functools.partial(built.__getitem__, user))
        engine.forget_user("bob*", wait=False)
        with redis_server.client() as client:
            held = b"".join(client.get(k) or b"" for k in client.scan_iter("*:v:*"))
        told = [user for user in users if f"count of {user} is".encode() in held]
        assert told == [*USERS, "bob#"]
        assert other.get_or_build((QUESTION, "bob#1", "s", 1), lambda: built["ada"]).cached
        assert not other.get_or_build((QUESTION, "bob*", "s", 1), lambda: built["ada"]).cached


def test_tables_elsewhere_have_contexts_of_their_own(
    redis_server: RedisServer, settings: Settings, aws: AwsSession
) -> None:
    """One Redis and one project at two targets: neither answers with what the other holds."""
    shared = dataclasses.replace(settings, redis_url=redis_server.url)
    elsewhere = dataclasses.replace(
        shared, target="aws", region="us-east-1", endpoint_url="http://127.0.0.1:9"
    )
    with (
        open_parts(shared, aws) as one,
        open_parts(elsewhere, AwsSession(elsewhere)) as other,
        engine_over(fake_tables(), options=_options(redis_server)) as engine,
    ):
        assert one.contexts is not None
        assert other.contexts is not None
        built = engine.build_context(QUESTION, "ada", "s")
        for contexts in (one.contexts, other.contexts):
            assert not contexts.get_or_build((QUESTION, "ada", "s", 1), lambda: built).cached
            assert contexts.get_or_build((QUESTION, "ada", "s", 1), lambda: built).cached


def test_a_redis_that_does_not_answer_is_in_the_receipt(redis_server: RedisServer) -> None:
    """Other processes may still reach it, and show what it keeps."""
    with engine_over(fake_tables(), options=_options(redis_server)) as engine:
        engine.save_interaction_optimized("The count is 1.", "Noted.", "ada", "s")
        assert not any("Redis" in s for s in engine.forget_session("ada", "s", wait=False).left)
        engine.save_interaction_optimized("The count is 2.", "Noted.", "ada", "s")
        redis_server.kill()
        assert any("Redis" in s for s in engine.forget_user("ada", wait=False).left)


def test_without_redis_nothing_is_kept(redis_server: RedisServer) -> None:
    """A Redis that is down costs no context; the engine says that it is."""
    redis_server.kill()
    with engine_over(fake_tables(), options=_options(redis_server)) as engine:
        engine.save_interaction_optimized("The count is 1.", "Noted.", "ada", "s")
        for _ in range(3):
            assert "count is 1." in engine.build_context(QUESTION, "ada", "s").text
        assert engine.get_performance_metrics()["cache"]["redis"]["last_failure"]


@pytest.mark.parametrize("question", ["Half \ud800 a pair, whole count?", "\x00 count?"])
def test_no_question_is_too_odd_for_the_cache(redis_server: RedisServer, question: str) -> None:
    """What no JSON can hold is asked, and kept, as any other."""
    with engine_over(fake_tables(), options=_options(redis_server)) as engine:
        engine.save_interaction_optimized("The count is 1.", "Noted.", "ada", "s")
        assert "count is 1." in engine.build_context(question, "ada", "s").text
        assert engine.build_context(question, "ada", "s").cached


class _Traffic:
    """Writers that count up for each user, and readers that look for what was acknowledged."""

    def __init__(self, engine: OptimizedContextEngine, seconds: float) -> None:
        self._engine = engine
        self._end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._next = dict.fromkeys(USERS, 0)
        self.acknowledged = dict.fromkeys(USERS, 0)
        self.cached = 0
        self.troubles: list[str] = []

    def run(self, meanwhile: Callable[[], None]) -> None:
        """Two writers and six readers; `meanwhile` is done over and over until the end.

        Raises whatever a writer or a reader raised.
        """
        acts = (self._write, self._write, *(self._read,) * 6)
        with ThreadPoolExecutor(len(acts)) as pool:
            ends = [pool.submit(self._repeat, act) for act in acts]
            while time.monotonic() < self._end - 1:
                meanwhile()
        for end in ends:
            end.result()

    def _repeat(self, act: Callable[[str], None]) -> None:
        for user in itertools.cycle(USERS):
            if time.monotonic() > self._end:
                return
            act(user)

    def _write(self, user: str) -> None:
        with self._lock:
            self._next[user] += 1
            mine = self._next[user]
        self._engine.save_interaction_optimized(f"The count is {mine}.", "Noted.", user, "s")
        with self._lock:
            self.acknowledged[user] = max(self.acknowledged[user], mine)
        time.sleep(0.03)  # so that some contexts live long enough to be asked for again

    def _read(self, user: str) -> None:
        least = self.acknowledged[user]
        context = self._engine.build_context(QUESTION, user, "s")
        self.cached += context.cached
        seen = max((int(n) for n in re.findall(r"count is (\d+)\.", context.text)), default=0)
        if seen < least:
            self.troubles.append(f"{user}: saw {seen} after {least} was acknowledged")


@pytest.mark.slow
def test_redis_killed_and_restarted_under_eight_threads_shows_nothing_stale(
    redis_server: RedisServer,
) -> None:
    """No error, and no context older than the last write that was acknowledged before it began."""

    def kill_and_restart() -> None:
        time.sleep(0.7)  # up for a while, so that contexts come out of it
        redis_server.kill()
        time.sleep(0.3)  # down for a while, so that reads and writes meet that too
        redis_server.start()

    with engine_over(fake_tables(), options=_options(redis_server)) as engine:
        traffic = _Traffic(engine, SECONDS)
        traffic.run(kill_and_restart)
    assert traffic.troubles == []
    assert min(traffic.acknowledged.values()) > 5
    assert traffic.cached, "no context ever came out of Redis"
