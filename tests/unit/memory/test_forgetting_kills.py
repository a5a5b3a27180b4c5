"""Forgetting that was killed or failed: begun again, it leaves nothing."""

from __future__ import annotations

import pytest

from core.errors import EndpointUnreachableError, IalError
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.model import Message
from core.memory.parts import Tables
from core.memory.scope import Scope
from core.testing.clock import FakeClock
from tests.engines import FIRST_US, Calls, engine_over
from tests.forgetting import (
    SCOPES,
    SMALLER_TEXT,
    everything,
    fail_after,
    fill,
    keys_of,
    large,
    legacy,
    make_tables,
    parts_of,
    raise_at,
)


@pytest.mark.parametrize("scope", SCOPES, ids=["user", "session", "message"])
@pytest.mark.parametrize(
    "stride",
    [pytest.param(5, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.soak)],
    ids=["every fifth call", "every call"],
)
def test_killed_at_any_call_a_second_run_completes_it(
    scope: Scope, clock: FakeClock, stride: int
) -> None:
    """For each call to a table: ended there, and begun again, nothing is left."""
    at = 0
    done = False
    while not done:
        at += stride
        calls = Calls()
        tables = make_tables(calls)
        with engine_over(tables, clock=clock) as engine:
            fill(engine, "ada", 6)
            parts_of(engine).saver.save("ada", [small_large("session-00000", "m000001")])
            legacy(tables, "ada")
            calls.fail = fail_after(at)
            try:
                parts_of(engine).forgetter.forget(scope)
                done = True
            except EndpointUnreachableError:
                pass
            calls.fail = lambda _: None
        with engine_over(tables, clock=clock) as other:
            receipt = parts_of(other).forgetter.forget(scope)
            assert receipt.verified
            check_gone(scope, tables, other)
        assert at < 400


def small_large(session: str, message_id: str) -> Message:
    """A message in two parts, quick to make."""
    return Message("ada", session, message_id, FIRST_US + 9, "user", SMALLER_TEXT)


def check_gone(scope: Scope, tables: Tables, engine: OptimizedContextEngine) -> None:
    """Nothing of the scope stands."""
    if scope.whole:
        assert keys_of(tables, "ada") == []
        return
    assert not any("#parts" in key for key in keys_of(tables, "ada"))
    stored = "".join(everything(tables))
    assert scope.session_id is None or scope.session_id not in stored
    assert scope.message_id is None or scope.message_id not in stored
    gone = 5 if scope.session_id else 2
    assert engine.memory.get_user_stats("ada").messages == 7 - gone


@pytest.mark.parametrize("scope", [Scope("ada"), Scope("ada", "big"), Scope("ada", None, "large0")])
def test_parts_without_a_head_are_found(scope: Scope, clock: FakeClock) -> None:
    """Whoever was killed between a large message's parts and its head leaves nothing for good."""
    calls = Calls()
    tables = make_tables(calls)
    with engine_over(tables, clock=clock) as engine:
        calls.fail = raise_at("put_new")
        with pytest.raises(EndpointUnreachableError):
            parts_of(engine).store.append(large("ada"))
        calls.fail = lambda _: None
        assert len(keys_of(tables, "ada")) > 1
        assert parts_of(engine).forgetter.forget(scope).removed["message_parts"] > 0
        assert keys_of(tables, "ada") == []


def test_a_table_that_fails_is_an_error_and_a_second_run_goes_on(clock: FakeClock) -> None:
    """No error is swallowed: without a receipt nothing is claimed."""
    calls = Calls()
    tables = make_tables(calls)
    with engine_over(tables, clock=clock) as engine:
        fill(engine, "ada", 3)
        calls.fail = raise_at("delete")
        with pytest.raises(IalError):
            engine.forget_user("ada")
        calls.fail = lambda _: None
        assert engine.forget_user("ada").verified
