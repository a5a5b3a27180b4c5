"""Processes killed in the middle of appends and seals: what was acknowledged is found, once."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from core.aws.session import AwsSession
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.parts import open_parts
from core.memory.schema import embeddings_schema, history_schema
from core.settings import Settings
from tests.tables import create_table

SAVES = 200
KILLS = 6
USER, SESSION = "ada#%", "s#1"
# Seals every few saves, so that most kills come while one is under way or just was.
WRITER = textwrap.dedent(
    """
    import sys
    from core.aws.session import AwsSession
    from core.memory.context_engine_optimized import OptimizedContextEngine
    from core.memory.index import writer
    from core.memory.parts import open_parts
    from core.settings import load_settings

    url, project, first, last, user, session, rows = sys.argv[1:]
    writer.SEGMENT_ROWS = int(rows)
    flags = {"endpoint_url": url, "project": project}
    settings = load_settings(flags, environment={}).settings
    engine = OptimizedContextEngine(open_parts(settings, AwsSession(settings)))
    engine.build_context("anything", user, session)
    for number in range(int(first), int(last)):
        engine.save_interaction_optimized(
            f"fact{number}x is the number", f"noted{number}x", user, session
        )
        print(number, flush=True)
    """
)


@pytest.fixture
def tables(aws: AwsSession, project: str) -> None:
    """The memory's tables, of this test's own."""
    create_table(aws, history_schema(project), numbers=("timestamp",))
    create_table(aws, embeddings_schema(project))


@pytest.mark.slow
def test_a_process_killed_amid_appends_and_seals_loses_and_doubles_nothing(
    tables: None, settings: Settings, aws: AwsSession, endpoint_url: str, tmp_path: Path
) -> None:
    """Every message that was acknowledged is found by recent, by session and by search, once."""
    acknowledged: list[int] = []
    rng = random.Random(3)
    first = 0
    for kill in range(KILLS + 1):
        last = SAVES if kill == KILLS else min(SAVES, first + 2 * SAVES // KILLS)
        until = None if kill == KILLS else rng.randint(3, SAVES // KILLS)
        acknowledged += _write(endpoint_url, settings.project, first, last, until, tmp_path)
        first = (acknowledged[-1] + 2) if acknowledged else 1
    assert len(acknowledged) > SAVES // 2
    with OptimizedContextEngine(open_parts(settings, aws)) as engine:
        _all_found_once(engine, acknowledged)
        engine._parts.catching.catch_up(USER)
        _all_found_once(engine, acknowledged)
    with OptimizedContextEngine(open_parts(settings, aws)) as fresh:
        _all_found_once(fresh, acknowledged)


def _write(
    url: str, project: str, first: int, last: int, until: int | None, folder: Path
) -> list[int]:
    """Runs a writer, and kills it `until` saves were acknowledged; answers which were."""
    arguments = [url, project, str(first), str(last), USER, SESSION, "12"]
    log = (folder / "writer.log").open("ab")
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, *arguments], stdout=subprocess.PIPE, stderr=log, text=True
    ) as process:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(int(line))
            if until is not None and len(seen) >= until:
                process.kill()
        code = process.wait(timeout=60)
    log.close()
    assert until is not None or code == 0, (folder / "writer.log").read_text()
    return seen


def _all_found_once(engine: OptimizedContextEngine, acknowledged: list[int]) -> None:
    wanted = {text for n in acknowledged for text in (f"fact{n}x is the number", f"noted{n}x")}
    recent = engine.memory.get_recent_context_optimized(USER, 2 * SAVES + 50)
    session = engine.memory.get_session_context_optimized(USER, SESSION, 2 * SAVES + 50)
    for texts in ([m.content for m in recent.items], [m.content for m in session.items]):
        counted = Counter(texts)
        assert wanted <= counted.keys()
        assert set(counted.values()) == {1}
    places = {m.content: m.place for m in recent.items}
    for place, number in enumerate(acknowledged):
        # More than there are messages at every tenth; what stands twice has one rank, side by side.
        most = 20 if place % 10 else 2 * SAVES + 100
        found = [m.place for m in engine.find(f"fact{number}x", USER, most).items]
        assert len(found) == len(set(found))
        assert found[0] == places[f"fact{number}x is the number"]
