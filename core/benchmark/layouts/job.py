"""What a user asks of a benchmark: checked before anything runs, run, and written down."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from core.benchmark.evaluation.files import check_writable, write_json
from core.benchmark.evaluation.job import settings_for
from core.benchmark.evaluation.running import State
from core.benchmark.layouts.comparing import load_result
from core.benchmark.layouts.exchanges import NO_FAULTS
from core.benchmark.layouts.load_test import LoadPlan, LoadTest
from core.benchmark.layouts.opening import Target
from core.benchmark.layouts.peers import check_peers
from core.benchmark.layouts.plan import PEER_SIZES, SIZES, Effort, Plan, Scenario
from core.benchmark.layouts.running import Benchmark
from core.benchmark.layouts.scenarios import file_scenario, made_scenarios, many_users
from core.benchmark.report.page import write_page
from core.clock import Clock, Ids
from core.cost.prices import US_EAST_1
from core.errors import UsageError
from core.settings import Settings

FOLDER = "benchmarks"
LATEST, LATEST_PAGE = "latest.json", "latest.html"
"""The newest result, which `ialctl cost` takes its figures from, and its page."""
_LOAD_USERS, _LOAD_MESSAGES = 100, 40
_LOAD_RATE = 10.0
_MIXED_S, _SCENARIO_S, _COMPARED_S = 3.0, 4.0, 12.0
_THROTTLED, _SLOW, _SLOW_MS = 0.05, 0.02, 250.0
_UNITS_A_MESSAGE = 10.0
"""Write units that a message takes in both layouts together, rounded up: for an estimate."""


@dataclass(frozen=True)
class Wanted:
    """The options, as they were typed."""

    sizes: tuple[int, ...] = ()
    dataset: str | None = None
    rounds: int | None = None
    seed: int = 1
    rtt_ms: float = 0.0
    embedding_ms: float = 0.0
    embedder: str | None = None
    report: Path | None = None
    plot: Path | None = None
    save: Path | None = None
    compare: Path | None = None
    tolerance: float = 0.08
    peers: bool = False
    users: int | None = None
    rate: float | None = None
    duration_s: float = 10.0
    ramp: bool = False
    limit_ms: float = 100.0
    faults: tuple[str, ...] = ()

    @property
    def is_load(self) -> bool:
        """Whether load is asked for, in place of a comparison."""
        return self.users is not None or self.rate is not None or self.ramp


@dataclass(frozen=True)
class Job:
    """A benchmark to run. `load` in place of a comparison; `base` is a result to compare with."""

    plan: Plan
    settings: Settings
    load: LoadPlan | None = None
    base: Mapping[str, Any] | None = None
    save: Path | None = None
    report: Path | None = None
    plot: Path | None = None

    @property
    def page(self) -> Path | None:
        """Where the page of plots is; of load there is one only where it was asked for."""
        if self.report is not None or self.load is not None:
            return self.report
        return self.settings.project_state_dir / FOLDER / LATEST_PAGE

    @property
    def estimated_dollars(self) -> float:
        """About what it costs on AWS: the writes, which are most of it."""
        histories = (h for s in self.plan.scenarios for h in s.histories)
        messages = sum(len(h.conversation.messages) for h in histories)
        return US_EAST_1.writes(messages * _UNITS_A_MESSAGE)


def job(wanted: Wanted, settings: Settings, stdin: IO[bytes], clock: Clock) -> Job:
    """Checks what the user asked for.

    Raises:
        StorageError: a file can't be read.
        UsageError: something that is asked for can't be done.
    """
    _check(wanted)
    base = None if wanted.compare is None else load_result(wanted.compare)
    effort = _effort(wanted)
    plan = Plan((), effort, wanted.seed, wanted.rtt_ms, wanted.embedding_ms)
    plan = dataclasses.replace(plan, tolerance=wanted.tolerance, peers=wanted.peers)
    if wanted.dataset is not None:
        given = file_scenario(wanted.dataset, stdin, wanted.seed)
        plan = dataclasses.replace(
            plan, scenarios=(given.scenario,), dataset=given.name, digest=given.digest
        )
    elif wanted.is_load:
        plan = dataclasses.replace(plan, scenarios=(_users(wanted, clock),))
    else:
        sizes = wanted.sizes or (PEER_SIZES if wanted.peers else SIZES)
        made = made_scenarios(sizes, wanted.seed, clock)
        plan = dataclasses.replace(plan, scenarios=made)
    chosen = settings_for(settings, wanted.embedder)
    load = _load(wanted, settings) if wanted.is_load else None
    return Job(plan, chosen, load, base, wanted.save, wanted.report, wanted.plot)


def _effort(wanted: Wanted) -> Effort:
    """As many rounds as were asked for; else so many as there is time for.

    What is compared, or is to be, takes more time: it must tell small differences.
    """
    rounds = wanted.rounds
    if rounds is None:
        kept = wanted.save is not None or wanted.compare is not None
        return Effort(mixed_s=_MIXED_S, scenario_s=_COMPARED_S if kept else _SCENARIO_S)
    return Effort(blocks=rounds, mixed_s=min(_MIXED_S, rounds * _MIXED_S / Effort.blocks))


def run_job(
    job: Job,
    endpoint_url: str | None,
    clock: Clock,
    ids: Ids,
    *,
    on_progress: Callable[[State], None],
    stopped: Callable[[], bool],
) -> dict[str, Any]:
    """Runs a job at a target, and writes its files.

    Args:
        job: what to do.
        endpoint_url: of the endpoint (None: AWS).
        clock: for all times.
        ids: name the tables and the run.
        on_progress: is told how far it is.
        stopped: whether to end at the next safe point.

    Raises:
        InterruptedRunError: `stopped` said so; the tables are removed.
        LockHeldError: another benchmark of this project runs here.
        StorageError: a file can't be written.
        UsageError: the saved result was measured under other conditions.
    """
    folder = job.settings.project_state_dir / FOLDER
    target = Target(job.settings, endpoint_url, folder)
    runner = Benchmark(target, clock, ids, on_progress=on_progress, stopped=stopped)
    if job.load is not None:
        result = LoadTest(runner, clock, stopped).run(job.plan, job.load)
    else:
        result = runner.run(job.plan, job.base)
        write_json(folder / LATEST, result)
        write_page(result, folder / LATEST_PAGE)
    if job.save is not None:
        write_json(job.save, result)
    if job.report is not None:
        write_page(result, job.report)
    if job.plot is not None:
        from core.benchmark.report.picture import write_picture

        write_picture(result, job.plot)
    return result


def _check(wanted: Wanted) -> None:
    _check_files(wanted)
    _check_together(wanted)
    if wanted.peers:
        check_peers()
    delays = (wanted.rtt_ms, wanted.embedding_ms, wanted.tolerance)
    if not all(math.isfinite(one) and one >= 0 for one in delays):
        raise UsageError(
            "A delay or a tolerance is below 0, or no number.", "Give numbers of 0 or more."
        )
    amounts = (wanted.duration_s, wanted.limit_ms, 1.0 if wanted.rate is None else wanted.rate)
    if not all(math.isfinite(one) and one > 0 for one in amounts):
        raise UsageError(
            "A rate, a duration or a limit is not above 0, or no number.", "Give numbers above 0."
        )


def _check_files(wanted: Wanted) -> None:
    for path, option in (
        (wanted.save, "--save"),
        (wanted.report, "--report"),
        (wanted.plot, "--plot"),
    ):
        if path is not None:
            check_writable(path, option)
    if wanted.plot is not None:
        from core.benchmark.report.picture import check_picture

        check_picture(wanted.plot)
    if wanted.save and wanted.compare and wanted.save.resolve() == wanted.compare.resolve():
        raise UsageError(
            f"--save and --compare name the same file '{wanted.save}': a loss would replace what "
            "it is measured by.",
            "Save to another file.",
        )


def _check_together(wanted: Wanted) -> None:
    if wanted.dataset is not None and (wanted.sizes or wanted.is_load):
        raise UsageError(
            "--dataset brings its own histories, other options make some.",
            "Leave --dataset out, or --messages and the options of load.",
        )
    if wanted.is_load and (wanted.compare is not None or wanted.peers):
        raise UsageError(
            "Load is put on both layouts alone, and its results hang on the machine.",
            "Leave --compare and --peers out, or --users, --rate and --ramp.",
        )
    if wanted.faults and not wanted.is_load:
        raise UsageError("--fault needs load to disturb.", "Add --rate 20, or --users 100.")


def _users(wanted: Wanted, clock: Clock) -> Scenario:
    if len(wanted.sizes) > 1:
        raise UsageError(
            "Under load all users have histories of one size.", "Give --messages once."
        )
    users = _LOAD_USERS if wanted.users is None else wanted.users
    messages = wanted.sizes[0] if wanted.sizes else _LOAD_MESSAGES
    return many_users(users, messages, wanted.seed, clock)


def _load(wanted: Wanted, settings: Settings) -> LoadPlan:
    faults, redis_gone = NO_FAULTS, False
    for fault in wanted.faults:
        kind, _, numbers = fault.partition("=")
        if kind == "throttling":
            faults = dataclasses.replace(faults, throttled=_share(fault, numbers, _THROTTLED))
        elif kind == "latency":
            share, _, ms = numbers.partition(":")
            slow_ms = _number(fault, ms, _SLOW_MS)
            faults = dataclasses.replace(faults, slow=_share(fault, share, _SLOW), slow_ms=slow_ms)
        elif kind == "redis" and not numbers:
            redis_gone = True
        else:
            raise _no_fault(fault)
    if redis_gone and settings.redis_url is None:
        raise UsageError(
            "The fault 'redis' takes a Redis away, and none is set.",
            "Set IAL_REDIS_URL, or leave --fault redis out.",
        )
    rate = wanted.rate or (_LOAD_RATE if wanted.ramp else None)
    return LoadPlan(
        rate,
        wanted.duration_s,
        wanted.ramp,
        wanted.limit_ms,
        faults,
        settings.redis_url,
        redis_gone,
        wanted.faults,
    )


def _share(fault: str, text: str, default: float) -> float:
    share = _number(fault, text, default)
    if share > 1:
        raise _no_fault(fault)
    return share


def _number(fault: str, text: str, default: float) -> float:
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        raise _no_fault(fault) from None
    if not 0 <= number < float("inf"):
        raise _no_fault(fault)
    return number


def _no_fault(fault: str) -> UsageError:
    return UsageError(
        f"There is no fault '{fault:.40}'.",
        "Choose throttling[=SHARE], latency[=SHARE:MS] or redis; a share is 0 to 1.",
    )
