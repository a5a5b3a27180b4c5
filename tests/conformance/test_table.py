"""What every implementation of `Table` must do, the fake included."""

from __future__ import annotations

import pytest

from core.aws.boto_table import BotoTable
from core.aws.capacity import IndexSchema, TableSchema
from core.aws.requests import Change, Condition, KeyRange, Query, Test, Write, absent, equals
from core.aws.session import AwsSession
from core.aws.suffixed import SuffixedTable
from core.aws.table import Table, query_pages
from core.errors import AwsError, ConditionFailedError, NotFoundError
from core.testing.table import FakeTable
from tests.tables import create_table

INDEX = IndexSchema("ByGroup", "group", "rank", ("note",))


@pytest.fixture(params=["fake", "computed", "metered", "suffixed"])
def table(request: pytest.FixtureRequest, project: str) -> Table:
    """An empty table: in memory, or at the endpoint with either way of counting; or a share."""
    schema = TableSchema(f"{project}-conformance", "pk", "sk", (INDEX,))
    if request.param == "fake":
        return FakeTable(schema)
    if request.param == "suffixed":
        return SuffixedTable(FakeTable(schema), "~e5")
    aws: AwsSession = request.getfixturevalue("aws")
    create_table(aws, schema, numbers=("rank",))
    return BotoTable(aws.client("dynamodb"), schema, metered=request.param == "metered")


def _fill(table: Table, count: int, size: int = 10) -> None:
    for n in range(count):
        table.put({"pk": "p", "sk": f"{n:04d}", "group": "g", "rank": n % 7, "body": "x" * size})


def test_put_and_get_return_the_same_item(table: Table) -> None:
    """What was put comes back with every type as it was."""
    item = {
        "pk": "p",
        "sk": "s",
        "n": 12,
        "f": 0.25,
        "b": b"\x00\xff",
        "l": [1, {"x": None}],
        "yes": True,
        "names": frozenset({"a", "b"}),
        "empty": "",
    }
    table.put(item)
    assert table.get({"pk": "p", "sk": "s"}).item == item


def test_get_of_nothing_costs_half_a_unit(table: Table) -> None:
    """A missing item is None and is charged."""
    got = table.get({"pk": "p", "sk": "none"})
    assert got.item is None
    assert got.consumed.requests == 1


def test_put_returns_what_stood_there(table: Table) -> None:
    """A put answers with the item it replaced."""
    table.put({"pk": "p", "sk": "s", "v": 1})
    assert table.put({"pk": "p", "sk": "s", "v": 2}).before == {"pk": "p", "sk": "s", "v": 1}


def test_put_new_keeps_the_first(table: Table) -> None:
    """The second put of a key writes nothing and answers with the first."""
    assert table.put_new({"pk": "p", "sk": "s", "v": 1}).new
    second = table.put_new({"pk": "p", "sk": "s", "v": 2})
    assert not second.new
    assert second.existing == {"pk": "p", "sk": "s", "v": 1}
    assert table.get({"pk": "p", "sk": "s"}).item == {"pk": "p", "sk": "s", "v": 1}


def test_conditions_hold_or_raise(table: Table) -> None:
    """A condition that does not hold raises and changes nothing."""
    table.put({"pk": "p", "sk": "s", "v": 1}, absent("pk"))
    with pytest.raises(ConditionFailedError):
        table.put({"pk": "p", "sk": "s", "v": 2}, absent("pk"))
    with pytest.raises(ConditionFailedError):
        table.delete({"pk": "p", "sk": "s"}, equals("v", 2))
    either = Condition((Test("v", "<", 2), Test("w", "present")), any_of=True)
    table.update({"pk": "p", "sk": "s"}, Change(add={"v": 5}), either)
    assert table.get({"pk": "p", "sk": "s"}).item == {"pk": "p", "sk": "s", "v": 6}


def test_update_makes_sets_adds_and_removes(table: Table) -> None:
    """An update makes a missing item, and answers with before and after."""
    key = {"pk": "p", "sk": "s"}
    made = table.update(key, Change(set={"a": 1, "b": 2}, add={"n": 3}))
    assert (made.before, made.after) == (None, {**key, "a": 1, "b": 2, "n": 3})
    changed = table.update(key, Change(set={"a": 5}, add={"n": 1}, remove=("b",)))
    assert changed.after == {**key, "a": 5, "n": 4} == table.get(key).item


def test_delete_answers_with_what_was_there(table: Table) -> None:
    """A delete gives the old item; a second one is no error."""
    table.put({"pk": "p", "sk": "s"})
    assert table.delete({"pk": "p", "sk": "s"}).before == {"pk": "p", "sk": "s"}
    assert table.delete({"pk": "p", "sk": "s"}).before is None


@pytest.mark.parametrize("ascending", [True, False])
def test_query_pages_in_order(table: Table, ascending: bool) -> None:
    """All pages together are the whole partition, in the order asked for."""
    _fill(table, 10)
    pages = list(query_pages(table, Query("p", limit=4, ascending=ascending)))
    found = [item["sk"] for page in pages for item in page.items]
    assert found == sorted(found, reverse=not ascending)
    assert len(found) == 10
    assert [len(page.items) for page in pages][:3] == [4, 4, 2]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (KeyRange("0003", "0005"), ["0003", "0004", "0005"]),
        (KeyRange(low="0008"), ["0008", "0009"]),
        (KeyRange(high="0001"), ["0000", "0001"]),
        (KeyRange(prefix="000"), [f"{n:04d}" for n in range(10)]),
        (KeyRange(prefix="9"), []),
    ],
)
def test_query_ranges_include_their_bounds(
    table: Table, bounds: KeyRange, expected: list[str]
) -> None:
    """Bounds of the range key are included; a prefix matches beginnings."""
    _fill(table, 10)
    assert [item["sk"] for item in table.query(Query("p", bounds)).items] == expected


def test_index_pages_give_projected_attributes(table: Table) -> None:
    """An index holds its own keys, the table's, and what is projected; pages lose no tie."""
    _fill(table, 10)
    table.put({"pk": "p", "sk": "out", "note": "not in the index"})
    query = Query("g", index="ByGroup", ascending=False, limit=3)
    found = [item for page in query_pages(table, query) for item in page.items]
    assert len({item["sk"] for item in found}) == len(found) == 10
    assert [item["rank"] for item in found] == sorted((n % 7 for n in range(10)), reverse=True)
    assert set(found[0]) == {"pk", "sk", "group", "rank"}


def test_projection_returns_named_attributes_only(table: Table) -> None:
    """Attributes that were not asked for don't come along, reserved words included."""
    table.put({"pk": "p", "sk": "s", "size": 1, "other": 2})
    page = table.query(Query("p", attributes=("size", "missing")))
    assert page.items == ({"size": 1},)
    got = table.batch_get([{"pk": "p", "sk": "s"}], attributes=("size",))
    assert got.items == ({"size": 1},)


def test_batches_of_any_size(table: Table) -> None:
    """More than one request's worth is written, read and deleted."""
    items = [{"pk": "p", "sk": f"{n:04d}"} for n in range(130)]
    written = table.batch_write(items)
    assert written.requests == 6
    found = table.batch_get([*items, {"pk": "p", "sk": "none"}])
    assert sorted(item["sk"] for item in found.items) == [item["sk"] for item in items]
    assert found.consumed.requests == 2
    table.batch_write([], items)
    assert table.query(Query("p")).items == ()


def test_transactions_do_all_or_nothing(table: Table) -> None:
    """One condition that fails undoes the rest."""
    first, second = {"pk": "p", "sk": "1"}, {"pk": "p", "sk": "2"}
    try:
        table.transact([Write("put", first, condition=absent("pk")), Write("put", second)])
    except AwsError as error:
        if error.code == "UnknownOperationException":
            pytest.skip("this endpoint knows no transactions")
        raise
    with pytest.raises(ConditionFailedError):
        table.transact([Write("delete", key=second), Write("put", first, None, absent("pk"))])
    assert table.get(second).item == second


def test_large_pages_end_at_a_mebibyte(table: Table) -> None:
    """A page holds about 1 MB, whatever the partition holds."""
    _fill(table, 8, size=300_000)
    pages = list(query_pages(table, Query("p")))
    assert len(pages) >= 2
    assert sum(len(page.items) for page in pages) == 8


def test_a_missing_table_is_named_with_its_cure(aws: AwsSession, project: str) -> None:
    """Nothing deployed: the sentence names the table and the command that makes it."""
    table = BotoTable(aws.client("dynamodb"), TableSchema(f"{project}-none", "pk"))
    with pytest.raises(NotFoundError, match=f"{project}-none") as caught:
        table.get({"pk": "x"})
    assert caught.value.cure is not None
    assert "ialctl start" in caught.value.cure


def test_shares_of_a_table_do_not_see_one_another() -> None:
    """The same keys in two shares and in the table itself are three items, by any way of asking."""
    whole = FakeTable(TableSchema("t", "pk", "sk", (INDEX,)))
    shares: tuple[Table, ...] = (whole, SuffixedTable(whole, "~a"), SuffixedTable(whole, "~b"))
    for number, share in enumerate(shares):
        share.put({"pk": "p", "sk": "s", "group": "g", "rank": number, "note": str(number)})
    key = {"pk": "p", "sk": "s"}
    for number, share in enumerate(shares[1:], 1):
        assert (share.get(key).item or {})["rank"] == number
        assert [i["rank"] for i in share.query(Query("p")).items] == [number]
        assert [i["rank"] for i in share.batch_get([key]).items] == [number]
        found = share.query(Query("g", index="ByGroup", attributes=("note",))).items
        assert found == ({"note": str(number)},)
    shares[1].transact([Write("delete", key=key, condition=equals("pk", "p"))])
    assert sorted(str(i["pk"]) for i in whole.all_items()) == ["p", "p~b"]
