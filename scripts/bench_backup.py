"""Backup and restore against bare loops over the same endpoint, and the memory that a backup takes.

    python -m scripts.bench_backup            (make bench-backup)

A bare scan reads four segments with boto3 and writes gzip JSON lines; a bare writer puts the same
lines with boto3's batches from four threads. Rounds are interleaved, and the median is shown.
Memory is measured in a child process over a table that is made up page by page.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import multiprocessing
import re
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import botocore.session

from core.aws.session import AwsSession
from core.backup.folder import FolderPlace
from core.backup.opening import open_backup
from core.backup.plans import SetPlan, TablePlan, Wish
from core.backup.progress import Observer, Progress, no_observer
from core.backup.restore_plans import RestoreWish
from core.backup.restoring import Folders, Restorer
from core.backup.table_files import TableFiles
from core.backup.table_scan import TableScan
from core.backup.taking import About, Taker
from core.clock import SYSTEM_CLOCK, new_id
from core.local.endpoint import LocalEndpoint
from core.settings import load_settings
from core.transfer.budget import Budget
from core.transfer.scanning import Scanner

TABLE = "bench-items"
THREADS = 4
_BATCH = 25
_LEVEL = 6
_PAGE = 1000


def item(number: int, size: int, numbers: int = 0) -> dict[str, Any]:
    """An item of about `size` bytes, besides a list of so many numbers."""
    vector = [{"N": f"0.{(number + n) * 7919 % 100_000}"} for n in range(numbers)]
    return {
        "pk": {"S": f"user-{number % 997}"},
        "sk": {"N": str(number)},
        "session_id": {"S": f"session-{number % 31}"},
        "role": {"S": "user"},
        "tokens": {"N": str(number % 400)},
        "content": {"S": _text(number, max(size - 90, 0))},
        **({"embedding": {"L": vector}} if numbers else {}),
    }


def _text(number: int, size: int) -> str:
    """Words that compress about as well as people's do."""
    words = (f"{(number * 2_654_435_761 + n * 40_503) % 65_536:x}" for n in itertools.count())
    text = " ".join(itertools.islice(words, size // 4 + 1))
    return text[:size]


class Bench:
    """An endpoint of its own with one filled table."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._endpoint = LocalEndpoint(folder / "endpoint")
        self._url = str(self._endpoint.ensure().url)
        flags = {"endpoint_url": self._url, "state_dir": str(folder / "state")}
        settings = load_settings(flags, environment={}, folder=folder).settings
        self.session = AwsSession(settings)
        botocore_session = botocore.session.Session()
        botocore_session.set_credentials("local", "local")
        self.boto = botocore_session.create_client(
            "dynamodb", region_name="us-east-1", endpoint_url=self._url
        )
        self._numbers = itertools.count()
        self._newest = ""

    def stop(self) -> None:
        """Ends the endpoint."""
        self._endpoint.stop()

    def make_table(self, name: str) -> None:
        """Makes an empty table."""
        self.boto.create_table(
            TableName=name,
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "N"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )

    def fill(self, items: int, size: int) -> None:
        """Puts the items."""
        self.make_table(TABLE)
        numbers = range(0, items, _BATCH)
        with ThreadPoolExecutor(THREADS) as pool:
            batches = ([item(n, size) for n in range(b, min(b + _BATCH, items))] for b in numbers)
            for _ in pool.map(lambda batch: self._put(TABLE, batch), batches):
                pass

    def bare_backup(self) -> None:
        """Four threads scan, and write gzip JSON lines."""
        folder = self._fresh("bare")

        def segment(number: int) -> None:
            pages = self.boto.get_paginator("scan").paginate(
                TableName=TABLE, Segment=number, TotalSegments=THREADS
            )
            with gzip.open(folder / f"{number}.json.gz", "wt", compresslevel=_LEVEL) as file:
                for page in pages:
                    for found in page["Items"]:
                        file.write(json.dumps({"Item": found}) + "\n")

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(segment, range(THREADS)))

    def backup(self, compression: Any = "gzip") -> None:
        """Our own, with manifests and all."""
        place = FolderPlace(self._folder / "sets")
        taker = Taker(self.session, place, "bench", SYSTEM_CLOCK, new_id)
        wish = Wish(tables=(TABLE,), compression=compression, fresh=True)
        self._newest = taker.take(wish, About()).manifest.id

    def bare_restore(self) -> None:
        """Four threads put the lines of the bare backup with boto3's batches."""
        target = f"{TABLE}-{next(self._numbers)}"
        self.make_table(target)
        folder = self._folder / "bare"

        def segment(number: int) -> None:
            with gzip.open(folder / f"{number}.json.gz", "rt") as file:
                rows = (json.loads(line)["Item"] for line in file)
                while batch := list(itertools.islice(rows, _BATCH)):
                    self._put(target, batch)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(segment, range(THREADS)))
        self.boto.delete_table(TableName=target)

    def restore(self, observe: Observer) -> None:
        """Our own: checked, written, compared with the table afterwards."""
        place = FolderPlace(self._folder / "sets")
        suffix = f"-r{next(self._numbers)}"
        folders = Folders(self._fresh("notes"), self._fresh("temporary"))
        backup = open_backup(place, self._newest, (), self.session)
        restorer = Restorer(self.session, backup, folders, SYSTEM_CLOCK, new_id, observe=observe)
        restorer.run(RestoreWish(suffix=suffix))
        self.boto.delete_table(TableName=f"{TABLE}{suffix}")

    def _put(self, table: str, batch: Sequence[dict[str, Any]]) -> None:
        requests: Any = [{"PutRequest": {"Item": found}} for found in batch]
        while requests:
            answer = self.boto.batch_write_item(RequestItems={table: requests})
            requests = answer.get("UnprocessedItems", {}).get(table)

    def _fresh(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        return folder


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    begin = SYSTEM_CLOCK.monotonic()
    call()
    return SYSTEM_CLOCK.monotonic() - begin


class Stages:
    """When each stage of a run began and ended, as an observer sees it."""

    def __init__(self) -> None:
        self._seen: dict[str, list[float]] = {}

    def __call__(self, progress: Progress) -> None:
        """Notes when a stage was seen."""
        now = SYSTEM_CLOCK.monotonic()
        self._seen.setdefault(progress.stage, [now, now])[1] = now

    def took(self, stage: str) -> float:
        """Seconds from its first sight to its last."""
        begin, end = self._seen.get(stage, [0.0, 0.0])
        return end - begin


def compare(bench: Bench, rounds: int, items: int) -> None:
    """Prints each contender's median, and the ratios."""
    times: dict[str, list[float]] = {}

    def note(name: str, taken: float) -> None:
        times.setdefault(name, []).append(taken)
        sys.stderr.write(f"{name}: {taken:.2f} s\n")

    for _ in range(rounds):
        note("bare scan, gzip", seconds(bench.bare_backup))
        note("backup, gzip", seconds(bench.backup))
        note("backup, zstd", seconds(partial(bench.backup, "zstd")))
        note("bare writer", seconds(bench.bare_restore))
        stages = Stages()
        note("restore, all of it", seconds(partial(bench.restore, stages)))
        note("restore, its writing", stages.took("writing"))
    median = {name: statistics.median(taken) for name, taken in times.items()}
    for name, taken in median.items():
        sys.stdout.write(f"{name:24} {taken:7.2f} s  {items / taken:9,.0f} items/s\n")
    for ours, bare in (
        ("backup, gzip", "bare scan, gzip"),
        ("backup, zstd", "bare scan, gzip"),
        ("restore, its writing", "bare writer"),
        ("restore, all of it", "bare writer"),
    ):
        sys.stdout.write(f"{ours} / {bare}: {median[bare] / median[ours]:.2f} of its throughput\n")


class MadeUp:
    """A session whose one table is made up, a page at a time, and never stands anywhere."""

    endpoint_url = "http://made.up"
    where = "nowhere"

    def __init__(self, items: int, size: int, numbers: int) -> None:
        self._items, self._size, self._vector = items, size, numbers

    def bulk_dynamodb(self) -> MadeUp:
        """Itself: all that a scan asks for is `scan`."""
        return self

    def scan(self, **request: Any) -> dict[str, Any]:
        """A page of a segment: every `TotalSegments`-th item is its own."""
        segment, segments = request["Segment"], request["TotalSegments"]
        start = request.get("ExclusiveStartKey", {"n": segment})["n"]
        per_page = max(1, min(_PAGE, 1024 * 1024 // max(self._size + self._vector * 5, 1)))
        numbers = range(start, self._items, segments)[
            : min(per_page, request.get("Limit", per_page))
        ]
        answer: dict[str, Any] = {"Items": [item(n, self._size, self._vector) for n in numbers]}
        following = start + len(numbers) * segments
        if following < self._items:
            answer["LastEvaluatedKey"] = {"n": following}
        return answer


def _scan_made_up(items: int, size: int, numbers: int, answer: Connection) -> None:
    session: Any = MadeUp(items, size, numbers)
    with tempfile.TemporaryDirectory() as folder:
        table = TablePlan(
            TABLE,
            "arn:aws:dynamodb:::table/x",
            "",
            (("pk", "S"), ("sk", "N")),
            "01-0",
            "full",
            "scan",
            max(4, items * size // (32 * 1024 * 1024)),
            items,
            items * size,
        )
        plan = SetPlan("set", "bench", "", "", "gzip", "scan", "", (table,))
        files = TableFiles(FolderPlace(Path(folder)), plan, table, None)
        scanner = Scanner(session, TABLE, Budget(None, SYSTEM_CLOCK), SYSTEM_CLOCK)
        TableScan(files, table, scanner, None, SYSTEM_CLOCK, no_observer).scan()
    answer.send(_peak_mib())


def _peak_mib() -> float:
    status = Path("/proc/self/status")
    if status.exists():  # what `getrusage` says there began with the parent's peak
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        return int(found[1]) / 1024 if found else 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(items: int, size: int, numbers: int = 0) -> float:
    """Peak resident MiB of a process that backs up so many items."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(
        target=_scan_made_up, args=(items, size, numbers, theirs)
    )
    child.start()
    found: float = ours.recv()
    child.join()
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints throughput and memory; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench_backup")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-only", action="store_true")
    options = parser.parse_args(arguments)
    if not options.memory_only:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder))
            bench.fill(options.items, options.size)
            compare(bench, options.rounds, options.items)
            bench.stop()
    for items in (1_000, 10_000, 100_000, 1_000_000):
        for size in (100, 1024):
            sys.stdout.write(f"{items:>9,} items of {size:>5} B: {memory(items, size):6.1f} MiB\n")
    found = memory(20_000, 100, 384)
    sys.stdout.write(f"   20,000 items of 384 numbers: {found:6.1f} MiB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
