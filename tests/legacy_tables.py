"""A legacy table with every variety of item that installations have, made from a seed."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from core.aws.codec import WireItem, encode_item
from core.aws.session import AwsSession
from core.clock import SYSTEM_CLOCK
from core.llm.hashing import DEFAULT_DIMENSIONS
from core.memory.schema import legacy_history_schema
from core.transfer.budget import Budget
from core.transfer.writing import Writer
from tests.conftest import SHARED_DATA
from tests.tables import create_table

OTHER_DIMENSIONS = 6
"""Of those inline vectors that are no model's in use."""
_BEGIN = datetime(2024, 3, 1, tzinfo=UTC)
_NAMES = (
    *(
        "ada",
        "ben@example.org",
        "user#7",
        "50%#off",
        "złoty",
        "李雷",
        "o'neill",
        "a b",
        "x/y",
        "ada#1",
    ),
    "%23",
    "-",
    "user",
    "ada#",
    "#ada",
    "ada%",
    "long-" + "n" * 200,
)
_VOCABULARY = (
    "otter river bridge moon tea Ludwig garden piano winter letter station harbour invoice refund "
    "deadline passport dentist guitar Lisbon marathon sourdough"
)
_WORDS = _VOCABULARY.split()
_LARGE_CHARS = 390_000

_Change = Callable[[dict[str, Any], random.Random, int], None]


def create_legacy_table(aws: AwsSession, project: str) -> None:
    """Makes the history table of the legacy engine, as installations have it: without a stream."""
    create_table(aws, legacy_history_schema(project))


def fill_legacy(
    aws: AwsSession,
    project: str,
    *,
    items: int = 200,
    users: int = 10,
    seed: int = 1,
    unmappable: int = 0,
    large: int = 1,
) -> list[WireItem]:
    """Writes `items` items of `users` users, every variety among them; answers them as written.

    The last `unmappable` ones have no place in the optimized layout; `large` ones nearly fill an
    item.
    """
    made = list(legacy_items(items, users=users, seed=seed, unmappable=unmappable, large=large))
    with Writer(
        aws, legacy_history_schema(project), Budget(None, SYSTEM_CLOCK), SYSTEM_CLOCK, workers=4
    ) as writer:
        for item in made:
            writer.put(item)
        writer.flush()
    return made


def legacy_items(
    items: int, *, users: int = 10, seed: int = 1, unmappable: int = 0, large: int = 1
) -> Iterator[WireItem]:
    """The items that `fill_legacy` writes; no two have the same key."""
    rng = random.Random(seed)
    texts = _texts(rng)
    names = [*_NAMES, *(f"user-{number:05d}" for number in range(users))][:users]
    for number in range(items):
        item = _plain(names[number % users], number, next(texts), rng)
        # By rounds of users, shifted: each of them comes to have every variety.
        change = _CHANGES[(number // users + number) % len(_CHANGES)]
        change(item, rng, number)
        if number < large:
            item["content"] = " ".join(rng.choices(_WORDS, k=_LARGE_CHARS // 4))[:_LARGE_CHARS]
        if number >= items - unmappable:
            item["role"] = "r" * 100
        yield encode_item({name: value for name, value in item.items() if value is not None})


def _plain(user: str, number: int, content: str, rng: random.Random) -> dict[str, Any]:
    when = _BEGIN + timedelta(seconds=number * 97, microseconds=rng.randrange(1_000_000))
    return {
        "user_id": user,
        "sort_key": when.isoformat(),
        "timestamp": when.isoformat(),
        "session_id": f"{user[:20]}-session-{number // 400}",
        "role": ("user", "assistant")[number % 2],
        "content": content,
        "tokens": len(content) // 4 if rng.random() < 0.5 else None,
    }


def _texts(rng: random.Random) -> Iterator[str]:
    """Texts of real conversations where they are at hand, and made-up ones."""
    path = SHARED_DATA / "locomo-dev.json"
    real = list(_turns(json.loads(path.read_text()))) if path.exists() else []
    while True:
        yield from real
        for _ in range(200):
            yield " ".join(rng.choice(_WORDS) for _ in range(rng.randrange(3, 40)))


def _turns(samples: list[dict[str, Any]]) -> Iterator[str]:
    for sample in samples:
        for value in sample["conversation"].values():
            if isinstance(value, list):
                yield from (f"{turn['speaker']}: {turn['text']}" for turn in value)


def _when(item: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(item["timestamp"])


def _as_it_is(item: dict[str, Any], rng: random.Random, number: int) -> None:
    pass


def _zulu(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item["timestamp"] = _when(item).strftime("%Y-%m-%dT%H:%M:%SZ")


def _without_zone(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item["timestamp"] = _when(item).replace(tzinfo=None).isoformat(" ")


def _other_zone(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item["timestamp"] = _when(item).isoformat().replace("+00:00", "+05:30")


def _seconds(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item["timestamp"] = int(_when(item).timestamp())


def _fraction(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item["timestamp"] = Decimal(f"{_when(item).timestamp():.3f}")


def _milliseconds(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item["timestamp"] = int(_when(item).timestamp() * 1000)


def _undated(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item["timestamp"] = None


def _wrong_time(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item |= {"timestamp": "yesterday", "sort_key": f"note-{number:08d}"}


def _suffixed(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item["sort_key"] += f"#{rng.getrandbits(32):08x}"


def _numbered(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item["sort_key"] = f"{number:09d}"


def _embedded(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item["embedding"] = [round(rng.gauss(0, 1), 6) for _ in range(DEFAULT_DIMENSIONS)]


def _foreign_vector(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item["embedding"] = [round(rng.gauss(0, 1), 6) for _ in range(OTHER_DIMENSIONS)]


def _no_vector(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item["embedding"] = "see the other table"


def _twin(item: dict[str, Any], rng: random.Random, number: int) -> None:
    """Every twin of a user's has the same time and role."""
    item |= {"timestamp": _BEGIN.isoformat(), "role": "user"}


def _unknown(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item |= {
        "channel": "e-mail",
        "starred": bool(number % 2),
        "labels": {"a", "b"},
        "raw": bytes((0, 255, number % 256)),
        "trace": {"span": number, "path": ["x", {"y": None}]},
        "summary": "written by another program",
        "content_hash": "not ours",
    }


def _archived(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item |= {"archived": "true", "metadata": {"source": "web", "score": Decimal("0.25")}}


def _expired(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item["ttl"] = int(time.time()) - 3600 - number


def _expiring(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item["ttl"] = int(time.time()) + 30 * 86_400


def _bare(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item |= {"session_id": None, "role": None, "tokens": "12", "metadata": "none"}


def _structured(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item["content"] = [{"type": "text", "text": item["content"]}]


def _empty(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item["content"] = None if number % 2 else ""


def _escapes(item: dict[str, Any], rng: random.Random, number: int) -> None:
    item["content"] = f"\x1b[31m{item['content']}\x1b[0m [bold]\u202e 👩‍👩‍👧"


_CHANGES: tuple[_Change, ...] = (
    *(_as_it_is, _twin, _zulu, _twin, _without_zone, _other_zone, _seconds, _fraction),
    *(_milliseconds, _undated, _wrong_time, _suffixed, _numbered, _embedded, _as_it_is),
    *(_foreign_vector, _no_vector, _unknown, _archived, _expired, _expiring, _bare, _structured),
    *(_empty, _escapes, _as_it_is),
)
