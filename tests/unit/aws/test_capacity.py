"""The capacity rules, against examples worked out by hand from DynamoDB's documentation."""

from __future__ import annotations

import pytest

from core.aws import capacity
from core.aws.capacity import Consumed, IndexSchema, TableSchema
from core.aws.codec import encode_item

INDEX = IndexSchema("I", "g", "r", ("p",))
TABLE = TableSchema("t", "pk", "sk", (INDEX,))


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"a": ""}, 1),
        ({"name": "Zoë"}, 8),
        ({"b": b"\x00\x01"}, 3),
        ({"n": 0}, 2),
        ({"n": 12345}, 5),
        ({"n": -12345}, 6),
        ({"n": 1000000}, 3),
        ({"n": 0.5}, 3),
        ({"yes": True, "no": None}, 7),
        ({"l": []}, 4),
        ({"l": ["ab", "c"]}, 9),
        ({"m": {"x": "y"}}, 7),
        ({"s": frozenset({"ab", "c"})}, 4),
    ],
)
def test_item_size_adds_names_and_values(item: dict[str, object], size: int) -> None:
    """Each type takes the bytes that DynamoDB counts for it."""
    assert capacity.item_size(encode_item(item)) == size


@pytest.mark.parametrize(
    ("size", "eventual", "strong", "transactional"),
    [(None, 0.5, 1, 2), (1, 0.5, 1, 2), (4096, 0.5, 1, 2), (4097, 1, 2, 4), (40960, 5, 10, 20)],
)
def test_get_rounds_up_to_four_kibibytes(
    size: int | None, eventual: float, strong: float, transactional: float
) -> None:
    """A read unit is 4 KiB strongly consistent; half eventually; twice in a transaction."""
    assert capacity.get_units(size) == eventual
    assert capacity.get_units(size, consistent=True) == strong
    assert capacity.get_units(size, transactional=True) == transactional


def test_batches_round_every_item_and_pages_only_their_sum() -> None:
    """Twenty small items cost 10 units one by one, and half a unit as a page."""
    sizes = [200] * 20
    assert capacity.batch_get_units(sizes) == 10
    assert capacity.page_units(sizes) == 0.5
    assert capacity.page_units([]) == 0.5
    assert capacity.page_units([3000, 3000], consistent=True) == 2


def test_writes_are_sized_on_the_larger_of_before_and_after() -> None:
    """Making an item smaller costs what the large one did; a transaction twice."""
    large, small = encode_item({"pk": "x" * 2000}), encode_item({"pk": "x"})
    assert capacity.write_units(large, small) == 2
    assert capacity.write_units(None, small) == 1
    assert capacity.write_units(None, None) == 1
    assert capacity.write_units(None, large, transactional=True) == 4
    assert capacity.refused(large).write_units == 2


@pytest.mark.parametrize(
    ("before", "after", "units"),
    [
        (None, {"g": "a", "r": 1}, 1),
        ({"g": "a", "r": 1}, None, 1),
        ({"g": "a", "r": 1}, {"g": "b", "r": 1}, 2),
        ({"g": "a", "r": 1}, {"g": "a", "r": 2}, 2),
        ({"g": "a", "r": 1, "p": 1}, {"g": "a", "r": 1, "p": 2}, 1),
        ({"g": "a", "r": 1, "x": 1}, {"g": "a", "r": 1, "x": 2}, 0),
        ({"g": "a"}, {"g": "b"}, 0),
        ({"g": "a"}, {"g": "a", "r": 1}, 1),
    ],
)
def test_index_writes(
    before: dict[str, object] | None, after: dict[str, object] | None, units: float
) -> None:
    """Entering or leaving costs 1, a key change 2, a projected attribute 1, nothing else."""
    keys = {"pk": "p", "sk": "s"}
    old, new = (encode_item({**keys, **i}) if i is not None else None for i in (before, after))
    assert capacity.index_units(old, new, TABLE, INDEX) == units


def test_index_writes_are_not_doubled_in_transactions() -> None:
    """A transaction doubles the table's units only."""
    wire = encode_item({"pk": "p", "sk": "s", "g": "a", "r": 1})
    consumed = capacity.written(None, wire, TABLE, transactional=True)
    assert (consumed.write_units, consumed.index_write_units) == (3, 1)


def test_consumed_adds_rounds_in_turn_and_takes_the_longest_side_by_side() -> None:
    """Two requests in a row are two rounds; in flight together they are one."""
    one = Consumed(read_units=1, requests=1, rounds=1, bytes=5)
    assert one + one == Consumed(read_units=2, requests=2, rounds=2, bytes=10)
    assert one.beside(one).rounds == 1
    assert capacity.in_turn([one] * 3).rounds == 3
    assert capacity.side_by_side([one, one + one]).rounds == 2
