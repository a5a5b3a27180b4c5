"""No call for one user ever shows, counts or removes what is another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import UsageError
from core.memory.context_engine_optimized import OptimizedContextEngine
from tests.engines import engine_over, fake_tables

SECRET = "zanzibarite"
QUESTION = f"Who spoke of {SECRET} and of the dog?"
PIECES = ["a", "b", "#", "%", "%23", "%25", "#segments", "#parts#", "#00", "#2026-01-01", "/", "é"]
IDS = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join),
    st.text(min_size=1, max_size=12),
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str, str]:
    """Two ids, often one made of the other: its beginning, its encoding, or with something more."""
    one = draw(IDS)
    makers: list[Callable[[str], str]] = [
        lambda s: s + draw(st.sampled_from(PIECES)),
        lambda s: s.replace("#", "%23"),
        lambda s: s.replace("%", "%25").replace("#", "%23"),
        lambda s: s.replace("%23", "#").replace("%25", "%"),
        lambda s: s[:-1] or "x",
        lambda s: s.upper(),
        lambda _: draw(IDS),
    ]
    other = draw(st.sampled_from(makers))(one)
    return (one, other) if one != other else (one, other + "#")


def _calls(engine: OptimizedContextEngine, user: str, session: str) -> Iterator[Any]:
    yield engine.build_context(QUESTION, user, session)
    yield engine.build_context(QUESTION, user)
    yield engine.build_context_for_query_optimized(QUESTION, user, session)
    yield engine.find(QUESTION, user)
    yield engine.memory.get_recent_context_optimized(user, 50, whole=True)
    yield engine.memory.get_session_context_optimized(user, session)
    yield engine.embeddings.find_similar_conversations_optimized(SECRET, user)


@settings(max_examples=60)
@given(pairs(), st.booleans())
@example(("a", "a#segments"), False)
@example(("a#b%", "a%23b%25"), True)
@example(("a", "a#00"), False)
def test_nothing_of_one_user_reaches_another(ids: tuple[str, str], warm: bool) -> None:
    """Through every call, in the process that wrote it and in a fresh one, sessions shared."""
    mine, other = ids
    tables = fake_tables()
    with engine_over(tables) as engine:
        try:
            engine.save_interaction_optimized(f"My {SECRET} is hidden.", "Well!", mine, "s")
        except UsageError:
            return  # no id that a message can have
        with suppress(UsageError):
            engine.save_interaction_optimized("The dog sleeps.", "Let it lie.", other, "s")
        if warm:
            _no_secret(engine, other)
    with engine_over(tables) as fresh:
        _no_secret(fresh, other)
        assert SECRET in fresh.build_context(QUESTION, mine, "s").text
        assert fresh.memory.get_user_stats(mine).messages == 2


def _no_secret(engine: OptimizedContextEngine, user: str) -> None:
    try:
        answers = list(_calls(engine, user, "s"))
        counted = engine.memory.get_user_stats(user).messages
    except UsageError:
        return
    assert SECRET not in repr(answers)
    assert counted == 2
    places = {match.place for match in answers[3].items}
    assert len(places) <= 2
