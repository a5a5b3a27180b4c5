"""Migration's speed beside a bare loop that does the same transform: `make bench-migrate`.

The bare loop scans in parallel and writes in batches, with boto3, what the migration writes: heads,
vectors with their texts, and the index's runs and segments. It follows nothing, checks nothing and
can't go on after a crash. Rounds of both take turns over the same endpoint, each in a process of
its own; the medians are compared, and the peak memory of the migration is told.
"""

from __future__ import annotations

import argparse
import multiprocessing
import queue
import re
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import botocore.session

from core.aws.capacity import TableSchema
from core.aws.codec import encode_item
from core.aws.session import AwsSession
from core.clock import SYSTEM_CLOCK, iso, new_id
from core.local.endpoint import LocalEndpoint
from core.memory.active import operations_table
from core.memory.index.partition import SEGMENT_ROWS, IndexPartition, terms_key
from core.memory.index.rows import Indexed, rows_of
from core.memory.keys import sort_keys
from core.memory.parts import Parts, open_parts
from core.memory.schema import embeddings_schema, history_schema, legacy_history_schema
from core.migration.migrator import Migrator
from core.migration.transform import mapped
from core.migration.wiring import SEGMENTS, WORKERS
from core.settings import Settings, load_settings

PROJECT = "bench"
_WORDS = [
    "otter",
    "river",
    "bridge",
    "moon",
    "tea",
    "Ludwig",
    "garden",
    "piano",
    "winter",
    "letter",
    "station",
    "harbour",
]
_BATCH = 25
_FILLERS = 4
_BEGIN_S = 1_700_000_000
_VIEW = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}


@dataclass(frozen=True)
class Mix:
    """What stands in the legacy table: of `items` one in `vector_every` has a vector inline."""

    items: int
    users: int = 500
    vector_every: int = 5
    dimensions: int = 384
    characters: int = 300

    def item(self, number: int) -> dict[str, Any]:
        """One of the items, as DynamoDB writes it."""
        time = iso(_BEGIN_S + number)
        words = (_WORDS[(number * 31 + n * n * 7) % len(_WORDS)] for n in range(self.characters))
        found: dict[str, Any] = {
            "user_id": {"S": f"user-{number % self.users:04d}"},
            "sort_key": {"S": f"{time}#{number:08d}"},
            "timestamp": {"S": time},
            "session_id": {"S": f"session-{number // self.users // 40}"},
            "role": {"S": ("user", "assistant")[number % 2]},
            "content": {"S": f"{number} {' '.join(words)}"[: self.characters]},
            "tokens": {"N": str(self.characters // 4)},
        }
        if number % self.vector_every == 0:
            numbers = (f"0.{(number + n) * 7919 % 100_000:05d}" for n in range(self.dimensions))
            found["embedding"] = {"L": [{"N": text} for text in numbers]}
        return found


class Bench:
    """A project at an endpoint: a filled legacy table, and optimized ones made anew each round."""

    def __init__(self, url: str, folder: Path) -> None:
        flags = {"endpoint_url": url, "project": PROJECT, "state_dir": str(folder)}
        self.settings: Settings = load_settings(flags, environment={}, folder=folder).settings
        self.session = AwsSession(self.settings)
        session = botocore.session.Session()
        session.set_credentials("local", "local")
        self.boto = session.create_client("dynamodb", region_name="us-east-1", endpoint_url=url)
        self.legacy = legacy_history_schema(PROJECT)
        self.history, self.embeddings = history_schema(PROJECT), embeddings_schema(PROJECT)
        self.operations = TableSchema(operations_table(PROJECT), "pk", "sk")

    def fill(self, mix: Mix) -> None:
        """Makes the legacy table."""
        self._make(self.legacy, StreamSpecification=_VIEW)
        with ThreadPoolExecutor(_FILLERS) as pool:
            ranges = (range(n, min(n + _BATCH, mix.items)) for n in range(0, mix.items, _BATCH))
            for _ in pool.map(
                lambda numbers: self.write(self.legacy.name, list(map(mix.item, numbers))), ranges
            ):
                pass

    def renew(self) -> None:
        """Makes the optimized tables anew."""
        standing = self.boto.list_tables()["TableNames"]
        for schema in (self.history, self.embeddings, self.operations):
            if schema.name in standing:
                self.boto.delete_table(TableName=schema.name)
        self._make(self.history, ("timestamp",), StreamSpecification=_VIEW)
        self._make(self.embeddings)
        self._make(self.operations)

    def write(self, table: str, items: Sequence[Mapping[str, Any]]) -> None:
        """Writes items, 25 at a time."""
        for begin in range(0, len(items), _BATCH):
            some = items[begin : begin + _BATCH]
            requests: Any = [{"PutRequest": {"Item": item}} for item in some]
            while requests:
                answer = self.boto.batch_write_item(RequestItems={table: requests})
                requests = answer.get("UnprocessedItems", {}).get(table)

    def _make(self, schema: TableSchema, numbers: Sequence[str] = (), **more: Any) -> None:
        names = {*schema.keys}
        indexes = []
        for index in schema.indexes:
            keys = [name for name in (index.hash_key, index.range_key) if name]
            names.update(keys)
            projected = {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(index.projected)}
            indexes.append(
                {"IndexName": index.name, "KeySchema": _keys(keys), "Projection": projected}
            )
        kinds = {name: "N" if name in numbers else "S" for name in sorted(names)}
        self.boto.create_table(
            TableName=schema.name,
            KeySchema=_keys(schema.keys),
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": kind} for name, kind in kinds.items()
            ],
            BillingMode="PAY_PER_REQUEST",
            **({"GlobalSecondaryIndexes": indexes} if indexes else {}),
            **more,
        )


def _keys(names: Sequence[str]) -> list[dict[str, str]]:
    kinds = ("HASH", "RANGE")
    return [{"AttributeName": n, "KeyType": k} for n, k in zip(names, kinds, strict=False)]


class BareLoop:
    """Threads that scan and write, and nothing else."""

    def __init__(self, bench: Bench, parts: Parts) -> None:
        self._bench, self._parts = bench, parts
        self._partition = IndexPartition(parts.tables.embeddings)

    def run(self) -> None:
        """Copies everything."""
        todo: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(SEGMENTS):
            todo.put(number)

        def work() -> None:
            while True:
                try:
                    self._segment(todo.get_nowait())
                except queue.Empty:
                    return

        with ThreadPoolExecutor(WORKERS) as pool:
            for future in [pool.submit(work) for _ in range(WORKERS)]:
                future.result()

    def _segment(self, number: int) -> None:
        pages = self._bench.boto.get_paginator("scan").paginate(
            TableName=self._bench.legacy.name,
            Segment=number,
            TotalSegments=SEGMENTS,
            ConsistentRead=True,
        )
        for page in pages:
            heads, entries = self._transformed(page["Items"])
            self._bench.write(self._bench.history.name, heads)
            self._bench.write(self._bench.embeddings.name, entries)

    def _transformed(
        self, items: Sequence[dict[str, Any]]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        heads, by_user = [], dict[str, list[Indexed]]()
        for item in items:
            one = mapped(item)
            place = next(iter(sort_keys(one.message)))
            heads.append(encode_item({**one.stored.head, "timestamp_type": place}))
            indexed = Indexed(one.message, place, one.vector)
            by_user.setdefault(one.message.user_id, []).append(indexed)
        entries = [
            encode_item(entry)
            for user, indexed in by_user.items()
            for begin in range(0, len(indexed), SEGMENT_ROWS)
            for entry in self._entries(user, indexed[begin : begin + SEGMENT_ROWS])
        ]
        return heads, entries

    def _entries(self, user: str, indexed: Sequence[Indexed]) -> Iterator[Mapping[str, Any]]:
        for one in indexed:
            yield self._parts.items.item(one)
        embedder = self._parts.embedder
        rows = rows_of(indexed, embedder.model, embedder.dimensions)
        key = f"L#{int(SYSTEM_CLOCK.time() * 1_000_000):016d}#e{new_id()[:8]}"
        run = dict(self._partition.save_item(user, key, rows.block, rows.terms))
        if len(rows) < SEGMENT_ROWS:
            yield run
            return
        yield {
            "user_chunk": run["user_chunk"],
            "embedding_id": terms_key(key),
            **_only(run, "terms"),
        }
        yield {n: v for n, v in run.items() if n != "terms"}


def _only(item: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {name: item[name]}


def bare(bench: Bench) -> None:
    """The bare loop."""
    with open_parts(bench.settings, bench.session) as parts:
        BareLoop(bench, parts).run()


def migration(bench: Bench) -> None:
    """Our own."""
    Migrator(bench.session, bench.settings, SYSTEM_CLOCK, new_id).run()


def _measure(run: Callable[[Bench], None], url: str, folder: str, answer: Connection) -> None:
    bench = Bench(url, Path(folder))
    begin = SYSTEM_CLOCK.monotonic()
    run(bench)
    answer.send((SYSTEM_CLOCK.monotonic() - begin, _peak_mib()))


def _peak_mib() -> float:
    status = Path("/proc/self/status")
    if status.exists():  # what `getrusage` says there began with the parent's peak
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        return int(found[1]) / 1024 if found else 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(run: Callable[[Bench], None], url: str, folder: Path) -> tuple[float, float]:
    """Seconds that a run takes in a process of its own, and its peak resident MiB."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_measure, args=(run, url, str(folder), theirs))
    child.start()
    theirs.close()
    seconds, peak = ours.recv()
    child.join()
    return seconds, peak


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints throughput, their ratio, and memory; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench_migrate")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    times: dict[str, list[float]] = {"bare loop": [], "migration": []}
    peaks: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        endpoint = LocalEndpoint(folder / "endpoint")
        url = str(endpoint.ensure().url)
        try:
            bench = Bench(url, folder)
            bench.fill(Mix(options.items))
            for _ in range(options.rounds):
                for what, run in (("bare loop", bare), ("migration", migration)):
                    bench.renew()
                    seconds, peak = measured(run, url, folder)
                    times[what].append(seconds)
                    peaks += [peak] if run is migration else []
                    sys.stderr.write(f"{what}: {seconds:.2f} s, peak {peak:.0f} MiB\n")
        finally:
            endpoint.stop()
    median = {what: statistics.median(taken) for what, taken in times.items()}
    for what, taken in median.items():
        sys.stdout.write(f"{what:12} {taken:7.2f} s  {options.items / taken:9,.0f} items/s\n")
    ratio = median["bare loop"] / median["migration"]
    sys.stdout.write(f"migration / bare loop: {ratio:.2f} of its throughput\n")
    sys.stdout.write(f"migration's peak memory: {max(peaks):.0f} MiB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
