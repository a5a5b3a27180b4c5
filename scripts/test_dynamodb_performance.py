"""Measures the optimized layout against the legacy one: the engine of `ialctl benchmark`.

    python -m scripts.test_dynamodb_performance --messages 1000 --report report.html

It is no test: pytest looks for tests in `tests` only.
"""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from core.clock import SYSTEM_CLOCK, new_id
from core.errors import DifferenceError, IalError, NotConfirmedError, details

if TYPE_CHECKING:
    from core.benchmark.evaluation.running import State

_FIGURES = ("read_units", "write_units", "requests", "rounds", "embeddings", "recall")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs it; returns the exit code, as `ialctl` has them."""
    given = _parser().parse_args(arguments)
    try:
        return _run(given)
    except IalError as error:
        _say(
            orjson.dumps(details(error)).decode()
            if given.json
            else f"✗ {error.what}\n  → {error.cure}"
        )
        return error.exit_code


def _run(given: argparse.Namespace) -> int:
    from core.aws.embedded import open_session
    from core.benchmark.layouts.job import Wanted, job, run_job
    from core.settings import load_settings

    flags = ("project", "target", "endpoint_url", "state_dir")
    settings = load_settings({name: getattr(given, name) for name in flags}).settings
    named = {field.name for field in dataclasses.fields(Wanted)} & set(vars(given))
    options: dict[str, Any] = {name: getattr(given, name) for name in named}
    wanted = Wanted(sizes=tuple(given.messages or ()), **options)
    made = job(wanted, settings, sys.stdin.buffer, SYSTEM_CLOCK)
    session = open_session(settings)
    if session.endpoint_url is None and not given.yes:
        raise NotConfirmedError(
            f"This makes tables at {session.where}: about ${made.estimated_dollars:.2f}.",
            "Add --yes to go on.",
        )
    wish = _Wish()
    with wish:
        result = run_job(
            made,
            session.endpoint_url,
            SYSTEM_CLOCK,
            new_id,
            on_progress=_Told(),
            stopped=lambda: wish.came,
        )
    if given.json:
        sys.stdout.write(orjson.dumps(result).decode() + "\n")
    else:
        _report(result)
    if result["losses"]:
        raise DifferenceError(
            f"This is worse than the saved result in {len(result['losses'])} figures.",
            "Find out why; save the new result if it is meant to be so.",
        )
    return 0


class _Wish:
    """The first Ctrl-C or SIGTERM ends the run at its next safe point; its tables are removed."""

    def __init__(self) -> None:
        self.came = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Wish:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, *_: object) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True


class _Told:
    """A line for each thing that is begun."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, state: State) -> None:
        if state.words != self._last:
            self._last = state.words
            _say(f"{state.words} ...")


def _report(result: Mapping[str, Any]) -> None:
    for sentence in result["answer"]:
        sys.stdout.write(sentence + "\n")
    for row in result["measurements"]:
        counts = " ".join(f"{name}={row[name]}" for name in _FIGURES if row[name] is not None)
        median = row["latency_ms"].get("p50", float("nan"))
        about = f"{row['scenario']:>8} {row['operation']:13} {row['layout']:22}"
        sys.stdout.write(f"{about} p50={median:.2f}ms {counts}\n")
    for loss in result["losses"] or ():
        sys.stdout.write(f"worse: {loss['words']}\n")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="test_dynamodb_performance",
        description="Measures the optimized layout against the legacy one, in one run.",
    )
    parser.add_argument("--messages", type=int, action="append", help="size of a history")
    parser.add_argument("--dataset", help="conversations of a file in their place")
    parser.add_argument("--rounds", type=int, help="rounds of calls")
    parser.add_argument("--seed", type=int, default=1, help="makes the conversations")
    parser.add_argument("--rtt-ms", type=float, default=0.0, help="waited before each request")
    parser.add_argument("--embedding-ms", type=float, default=0.0, help="waited at each model call")
    parser.add_argument("--report", type=Path, help="write a page with plots")
    parser.add_argument("--save", type=Path, help="write the result, as JSON")
    parser.add_argument("--compare", type=Path, help="a saved result; exit 3 where this is worse")
    parser.add_argument("--yes", action="store_true", help="at AWS: go on, it costs money")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    parser.add_argument("--project", help="whose settings (default: the settings')")
    parser.add_argument("--target", help="local or aws (default: the settings')")
    parser.add_argument("--endpoint-url", help="an endpoint of your own")
    parser.add_argument("--state-dir", help="folder of local data")
    return parser


if __name__ == "__main__":
    sys.exit(main())
