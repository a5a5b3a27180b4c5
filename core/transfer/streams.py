"""A table's stream: where it stands, and the changes between there and an instant.

Records are stamped with the second in which their write happened. So a whole second parts them:
those stamped before it were written before it. The position that is kept is one that outlives a
process: the last sequence number of every shard, or a second from which on to read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import orjson

from core.aws.codec import WireItem
from core.aws.session import AwsSession
from core.clock import Clock
from core.errors import AwsError, InterruptedRunError, NotFoundError, UsageError
from core.transfer.lines import Change, item_line
from core.transfer.patience import Stop

KEPT_S = 23 * 3600
"""Records are kept for 24 hours; an hour is left for reading them."""
VIEWS = ("NEW_IMAGE", "NEW_AND_OLD_IMAGES")
_ITERATOR_S = 14 * 60
_PAGE = 1000
_POLL_S = 0.2
# How long after a write its record may come, and how far the service's own clocks may differ; at
# AWS nowhere stated, well under a second as a rule.
_LAG_S = 5.0
_OTHER_LAG_S = 1.0
_LOCAL_LAG_S = 0.1
# "It might take multiple calls to get to a portion of the shard that contains stream records": one
# empty page of an open shard is not its end.
_EMPTY_PAGES = 20
# A server may take its Date from a clock that it looks at once a second.
_DATE_AGE_S = 1
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class StreamPosition:
    """How far a table's stream was read: the last sequence number of each shard.

    Of a shard that is not named, or has None, all records stamped at `since_s` (epoch seconds) or
    later are still to be read.
    """

    arn: str
    since_s: int
    shards: Mapping[str, str | None]


Fold = Callable[[Change], None]


@dataclass(frozen=True)
class _Shard:
    id: str
    parent: str | None
    last: str | None
    """Its last sequence number, where no more come."""


class Stream:
    """The stream of one table. For one thread."""

    def __init__(
        self,
        session: AwsSession,
        arn: str,
        clock: Clock,
        stop: Stop = lambda: False,
        *,
        anew: str = "Take a full backup: leave out `--since`.",
    ) -> None:
        """`anew` is what somebody should do where changes were lost."""
        self._anew = anew
        self._client = session.client("dynamodbstreams")
        host = urlsplit(session.endpoint_url or "").hostname
        self._same_clock = host in _THIS_MACHINE
        elsewhere_s = _LOCAL_LAG_S if self._same_clock else _OTHER_LAG_S
        self._lag_s = _LAG_S if session.endpoint_url is None else elsewhere_s
        self._arn = arn
        self._clock = clock
        self._stop = stop
        self._latest: Mapping[str, str] = {}
        self._latest_s = clock.monotonic()

    def position(self) -> StreamPosition:
        """Where the stream stands: all that comes later is read from here on."""
        shards, now_s, _ = self._shards()
        # While this process lives and they do, these spare the records of the last hours.
        self._latest_s = self._clock.monotonic()
        self._latest = {
            shard.id: self._iterator(shard.id, "LATEST") for shard in shards if not shard.last
        }
        # Records of just before are read too: what the last one of a key says holds all the same.
        since_s = int(now_s - self._lag_s)
        return StreamPosition(self._arn, since_s, {shard.id: shard.last for shard in shards})

    def next_second(self) -> int:
        """A whole second that has not come yet by the service's clock."""
        return int(self._shards()[1]) + (1 if self._same_clock else 1 + _DATE_AGE_S)

    def read(self, position: StreamPosition, until_s: int, fold: Fold) -> StreamPosition:
        """Hands on every change between a position and a second, in the order of each key.

        Returns only once all of them have come, so not before that second has passed.

        Raises:
            UsageError: the stream does not reach back so far, or was turned off before that second.
            InterruptedRunError: somebody asked to stop.
        """
        read: dict[str, str | None] = {}
        while True:
            shards, now_s, is_on = self._shards()
            # A shard may have been divided meanwhile: its children hold what came then.
            waiting = [shard for shard in shards if shard.id not in read]
            if not waiting and not is_on:
                raise _turned_off(self._arn, self._anew)
            if not waiting and now_s >= until_s + self._lag_s:
                return StreamPosition(self._arn, until_s, read)
            if not waiting:
                self._wait()
            for shard in _parents_first(waiting):
                # Of a shard whose oldest records have gone, the stream itself would not say so.
                if self._clock.time() - position.since_s > KEPT_S:
                    raise too_old(self._arn, self._anew)
                read[shard.id] = self._read_shard(shard, position, until_s, fold)

    def _read_shard(
        self, shard: _Shard, position: StreamPosition, until_s: int, fold: Fold
    ) -> str | None:
        last = position.shards.get(shard.id)
        if last is not None and last == shard.last:
            return last
        from_s = position.since_s if last is None else 0
        for record, number in self._records(shard, last, until_s):
            stamp_s = record["ApproximateCreationDateTime"].timestamp()
            if stamp_s >= until_s:
                break
            if stamp_s >= from_s:
                fold(_change(record, stamp_s))
            last = number
        return last

    def _records(
        self, shard: _Shard, last: str | None, until_s: int
    ) -> Iterator[tuple[Mapping[str, Any], str]]:
        iterator: str | None = self._first_iterator(shard.id, last)
        empty = 0
        while iterator:
            if self._stop():
                raise InterruptedRunError("Interrupted.")
            asked_s = self._clock.time()
            page = self._page(iterator)
            if page is None:  # expired
                iterator = self._first_iterator(shard.id, last)
                continue
            for found in page["Records"]:
                record = found["dynamodb"]
                last = str(record["SequenceNumber"])
                yield record, last
            iterator = page.get("NextShardIterator")
            empty = 0 if page["Records"] else empty + 1
            if empty and shard.last is None:
                if self._now_s(page, asked_s) < until_s + self._lag_s:
                    self._clock.sleep(_POLL_S)
                elif empty >= _EMPTY_PAGES:
                    return

    def _page(self, iterator: str) -> dict[str, Any] | None:
        """A page of records; None where the iterator has expired."""
        try:
            found: dict[str, Any] = self._client.get_records(ShardIterator=iterator, Limit=_PAGE)
        except AwsError as error:
            if error.code == "TrimmedDataAccessException":
                raise too_old(self._arn, self._anew) from error
            if error.code != "ExpiredIteratorException":
                raise
            return None
        return found

    def _wait(self) -> None:
        if self._stop():
            raise InterruptedRunError("Interrupted.")
        self._clock.sleep(_POLL_S)

    def _first_iterator(self, shard: str, last: str | None) -> str:
        if last is not None:
            return self._iterator(shard, "AFTER_SEQUENCE_NUMBER", SequenceNumber=last)
        young = self._clock.monotonic() - self._latest_s < _ITERATOR_S
        latest = self._latest.get(shard) if young else None
        return latest or self._iterator(shard, "TRIM_HORIZON")

    def _iterator(self, shard: str, kind: str, **more: str) -> str:
        try:
            answer = self._client.get_shard_iterator(
                StreamArn=self._arn, ShardId=shard, ShardIteratorType=kind, **more
            )
        except AwsError as error:
            if error.code != "TrimmedDataAccessException":
                raise
            raise too_old(self._arn, self._anew) from error
        return str(answer["ShardIterator"])

    def _shards(self) -> tuple[list[_Shard], float, bool]:
        """Every shard there is, what time it is there, and whether more records may come."""
        found: list[_Shard] = []
        more: dict[str, str] = {}
        while True:
            asked_s = self._clock.time()
            try:
                answer = self._client.describe_stream(StreamArn=self._arn, **more)
            except NotFoundError as error:
                raise too_old(self._arn, self._anew) from error
            about = answer["StreamDescription"]
            for shard in about.get("Shards") or ():
                last = shard.get("SequenceNumberRange", {}).get("EndingSequenceNumber")
                found.append(_Shard(str(shard["ShardId"]), shard.get("ParentShardId"), last))
            if not about.get("LastEvaluatedShardId"):
                is_on = about.get("StreamStatus") not in ("DISABLING", "DISABLED")
                return found, self._now_s(answer, asked_s), is_on
            more = {"ExclusiveStartShardId": about["LastEvaluatedShardId"]}

    def _now_s(self, answer: Mapping[str, Any], asked_s: float) -> float:
        """The service's time when it was asked: its clock makes the stamps, ours may be wrong."""
        if self._same_clock:  # what came between its answer and now is not in the answer
            return asked_s
        told = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        return parsedate_to_datetime(told).timestamp() if told else asked_s


def too_old(arn: str, anew: str) -> UsageError:
    """A stream does not reach back to where it was left."""
    return UsageError(
        f"The stream '{arn}' no longer holds all changes since then: it keeps 24 hours.",
        anew,
        stream=arn,
    )


def _turned_off(arn: str, anew: str) -> UsageError:
    return UsageError(
        f"The stream '{arn}' was turned off: what changed since is not in it.",
        f"Turn it on. {anew}",
        stream=arn,
    )


def _parents_first(shards: list[_Shard]) -> Iterator[_Shard]:
    left = {shard.id: shard for shard in shards}
    while left:
        ready = [shard for shard in left.values() if shard.parent not in left]
        yield from ready
        for shard in ready:
            del left[shard.id]


def _change(record: Mapping[str, Any], stamp_s: float) -> Change:
    return Change(
        _plain(record["Keys"]) or {},
        _plain(record.get("OldImage")),
        _plain(record.get("NewImage")),
        int(stamp_s * 1_000_000),
    )


def _plain(item: WireItem | None) -> WireItem | None:
    """An item with binary as base64 text, as lines have it."""
    if item is None:
        return None
    found: WireItem = orjson.loads(item_line(item))["Item"]
    return found
