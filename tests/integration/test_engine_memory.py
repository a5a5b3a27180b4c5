"""What a user of ten thousand messages takes of a process's memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from core.aws.session import AwsSession
from core.memory.schema import embeddings_schema, history_schema
from tests.tables import create_table

MIB = 1024
MESSAGES = 10_000
GROWTH_MIB = 15
# In a process of its own: what other tests have left in this one would blur the figure.
PROGRAM = textwrap.dedent(
    """
    import gc, sys
    from core.aws.session import AwsSession
    from core.memory.context_engine_optimized import OptimizedContextEngine
    from core.memory.parts import open_parts
    from core.settings import load_settings
    from tests.engines import conversation

    def resident_kib():
        gc.collect()
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    url, project, count = sys.argv[1:]
    settings = load_settings({"endpoint_url": url, "project": project}, environment={}).settings
    engine = OptimizedContextEngine(open_parts(settings, AwsSession(settings)))
    messages = conversation("ada", int(count))
    engine.import_messages("warm", conversation("warm", 300))
    engine.build_context("What was it?", "warm")
    before = resident_kib()
    for begin in range(0, len(messages), 100):
        engine.import_messages("ada", messages[begin : begin + 100])
    first = engine.build_context("What was it?", "ada", messages[-1].session_id)
    second = engine.build_context("Which one?", "ada", messages[-1].session_id)
    print(resident_kib() - before, first.consumed.rounds, second.consumed.rounds)
    """
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_ten_thousand_messages_take_little_memory_and_one_round(
    aws: AwsSession, project: str, endpoint_url: str
) -> None:
    """The process grows by at most 15 MiB, and the next context is one round away."""
    create_table(aws, history_schema(project), numbers=("timestamp",))
    create_table(aws, embeddings_schema(project))
    command = [sys.executable, "-c", PROGRAM, endpoint_url, project, str(MESSAGES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    grown_kib, first_rounds, second_rounds = map(int, done.stdout.split())
    assert grown_kib <= GROWTH_MIB * MIB
    assert (first_rounds, second_rounds) == (1, 1)
