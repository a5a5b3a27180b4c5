"""A backup is restored whole, once, to where it is wanted, and never over what is not meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.aws.session import AwsSession
from core.backup.folder import FolderPlace
from core.backup.plans import Wish
from core.backup.progress import Progress
from core.backup.restore_marks import RESTORED, RESTORING
from core.backup.table_settings import read_settings
from core.backup.taking import About, Taker
from core.clock import SYSTEM_CLOCK, new_id
from core.errors import (
    DamagedError,
    DifferenceError,
    InterruptedRunError,
    NotConfirmedError,
    UsageError,
)
from core.transfer.lines import Keys
from tests.backups import age_key, plain_item, wire_items
from tests.exports import ExportWriter
from tests.integration.test_table_settings import put_alarms, rich_table
from tests.restoring import Bench

ITEMS = [plain_item(number, 20) for number in range(400)]


@pytest.fixture
def bench(aws: AwsSession, project: str, tmp_path: Path) -> Bench:
    """A bench whose table is not made yet."""
    return Bench(aws, f"{project}-bench", FolderPlace(tmp_path / "backups"), tmp_path)


@pytest.fixture
def full(bench: Bench) -> str:
    """A backup of a table of items."""
    bench.make()
    bench.put(ITEMS)
    return bench.take()


@given(st.lists(wire_items(), max_size=20, unique_by=lambda i: (i["pk"]["S"], float(i["sk"]["N"]))))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_items_come_back(bench: Bench, items: list[dict[str, Any]]) -> None:
    """Every item with every attribute of every type is restored as it was."""
    made = Bench(bench.aws, f"{bench.table}-{new_id()[:8]}", bench.place, bench.folder)
    made.make()
    made.put(items)
    found = made.restore(made.take(), suffix="-r1")
    assert found.comparison is not None
    assert found.comparison.equal
    assert made.compared(found.target, items).equal


def test_a_restore_run_twice_changes_nothing(bench: Bench, full: str) -> None:
    """The second run verifies, says that all is equal, and writes nothing, on any machine."""
    first = bench.restore(full)
    assert (first.target, first.written.items) == (f"{bench.table}-restored", 400)
    assert not first.unchanged
    for machine in ("here", "elsewhere"):
        again = bench.restore(full, machine)
        assert again.unchanged
        assert again.written.items == 0
        assert bench.plan(full).tables[0].method == "nothing"
    arn = bench.aws.client("dynamodb").describe_table(TableName=first.target)["Table"]["TableArn"]
    tags = bench.aws.client("dynamodb").list_tags_of_resource(ResourceArn=arn)["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {RESTORED: full}


def test_a_restored_table_that_changed_is_not_touched(bench: Bench, full: str) -> None:
    """What was restored and then used is told apart from what is equal, and left alone."""
    found = bench.restore(full)
    bench.put([{**ITEMS[3], "role": {"S": "other"}}], found.target)
    with pytest.raises(DifferenceError, match="has changed since: 1 different") as caught:
        bench.restore(full)
    assert "user-3" in str(caught.value.fields["different"])


def test_settings_come_back(bench: Bench) -> None:
    """Indexes, time to live, stream, recovery, tags, protection and alarms are those of before."""
    rich_table(bench.aws, bench.table, provisioned=False)
    put_alarms(bench.aws, bench.table)
    bench.put(ITEMS)
    found = bench.restore(bench.take())
    assert found.notes == ()
    before, after = (read_settings(bench.aws, t) for t in (bench.table, found.target))
    assert after == before.renamed(found.target, after.arn)
    assert len(after.alarms) == 2


def test_a_chain_is_restored_to_its_end(bench: Bench) -> None:
    """Changed, new and deleted items of every increment are as they were at its end."""
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    bench.make(StreamSpecification=stream)
    bench.put(ITEMS)
    base = bench.take()
    changed = {**ITEMS[0], "role": {"S": "x"}}
    bench.put([changed, plain_item(1000)])
    key = {"pk": ITEMS[1]["pk"], "sk": ITEMS[1]["sk"]}
    bench.aws.dynamodb().delete_item(TableName=bench.table, Key=key)
    middle = bench.take(base=base)
    bench.put([{**ITEMS[0], "role": {"S": "y"}}, ITEMS[1]])
    bench.aws.dynamodb().delete_item(
        TableName=bench.table, Key={"pk": plain_item(1000)["pk"], "sk": {"N": "1000"}}
    )
    end = bench.take(base=middle)
    for name, expected in {
        base: ITEMS,
        middle: [changed, *ITEMS[2:], plain_item(1000)],
        end: [{**ITEMS[0], "role": {"S": "y"}}, *ITEMS[1:]],
    }.items():
        found = bench.restore(name, suffix=f"-{name[-8:]}")
        assert bench.compared(found.target, expected).equal


@pytest.mark.parametrize(("prefix", "checksum"), [("", ".md5"), ("a/b", ".checksum")])
def test_an_export_of_aws_is_restored(bench: Bench, prefix: str, checksum: str) -> None:
    """AWS's own export goes into a table that stands; without one, it is said what is missing."""
    folder = bench.folder / "backups"
    writer = ExportWriter(folder, bench.table, prefix=prefix, checksum=checksum)
    writer.full([ITEMS[:250], [], ITEMS[250:]])
    with pytest.raises(UsageError, match="does not say what its table was like"):
        bench.restore(prefix)
    bench.make(f"{bench.table}-restored")
    found = bench.restore(prefix)
    assert found.written.items == 400
    assert bench.compared(found.target, ITEMS).equal
    assert bench.restore(prefix, "elsewhere").unchanged


def test_an_encrypted_backup_is_restored_with_its_key(bench: Bench) -> None:
    """Sealed files are opened on the way; without the key nothing begins."""
    bench.make()
    bench.put(ITEMS)
    key = age_key()
    name = bench.take(key, compression="zstd")
    with pytest.raises(UsageError, match="no such key"):
        bench.opened(name)
    with pytest.raises(DamagedError):
        bench.opened(name, age_key())
    found = bench.restore(bench.opened(name, key))
    assert bench.compared(found.target, ITEMS).equal


def test_a_damaged_backup_is_refused_before_the_first_write(bench: Bench, full: str) -> None:
    """A flipped byte in any data file is found before a table is made."""
    path = next((bench.folder / "backups" / full).rglob("*.json.gz"))
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(bytes(body))
    with pytest.raises(DamagedError, match=path.name):
        bench.restore(full)
    assert not bench.stands(f"{bench.table}-restored")


def test_a_table_that_stands_is_never_written_over_by_chance(bench: Bench, full: str) -> None:
    """Only a confirmed restore in place touches a table that holds items."""
    bench.make(f"{bench.table}-restored")
    bench.put([plain_item(5000)], f"{bench.table}-restored")
    with pytest.raises(UsageError, match="stands already"):
        bench.restore(full)
    with pytest.raises(UsageError, match="restored over itself"):
        bench.restore(full, suffix="")
    with pytest.raises(NotConfirmedError, match="holds items") as caught:
        bench.restore(full, in_place=True)
    assert f"--confirm {bench.table}" in str(caught.value.cure)
    with pytest.raises(NotConfirmedError):
        bench.restore(full, in_place=True, confirm=("another",))


def test_all_tables_that_need_a_word_are_named_at_once(bench: Bench) -> None:
    """Whoever has to confirm several tables, or to choose a suffix, hears of all of them."""
    names = [f"{bench.table}-1", f"{bench.table}-2"]
    for name in names:
        bench.make(name)
        bench.put(ITEMS[:3], name)
    taker = Taker(bench.aws, bench.place, "t", SYSTEM_CLOCK, new_id)
    backup = taker.take(Wish(tables=tuple(names)), About()).manifest.id
    with pytest.raises(NotConfirmedError, match=f"tables '{names[0]}', '{names[1]}' hold") as told:
        bench.plan(backup, in_place=True)
    assert told.value.cure == f"If that is meant: `--confirm {names[0]} --confirm {names[1]}`."
    with pytest.raises(NotConfirmedError, match=f"table '{names[1]}' holds items"):
        bench.plan(backup, in_place=True, confirm=(names[0],))
    over: dict[str, Any] = {"in_place": True, "confirm": tuple(names)}
    assert [t.written.items for t in bench.restored(backup, **over).tables] == [3, 3]


def test_a_restore_in_place_keeps_what_the_backup_does_not_hold(bench: Bench, full: str) -> None:
    """Confirmed, items are put over those that stand; others stay, and are counted."""
    bench.put([{**ITEMS[7], "role": {"S": "spoilt"}}, plain_item(5000)])
    found = bench.restore(full, in_place=True, confirm=(bench.table,))
    assert found.target == bench.table
    assert "1 item stays that the backup does not hold." in found.notes
    assert bench.compared(bench.table, [*ITEMS, plain_item(5000)]).equal
    assert bench.restore(full, in_place=True).unchanged


def test_a_restore_in_place_can_be_repeated(bench: Bench, full: str) -> None:
    """A table that was spoilt again is put right again, once that is confirmed."""
    over: dict[str, Any] = {"in_place": True, "confirm": (bench.table,)}
    bench.restore(full, **over)
    assert bench.restore(full, **over).unchanged
    bench.put([{**ITEMS[7], "role": {"S": "spoilt"}}])
    with pytest.raises(DifferenceError, match="1 different") as caught:
        bench.restore(full, in_place=True)
    assert f"--confirm {bench.table}" in str(caught.value.cure)
    assert bench.restore(full, **over).written.items == 400
    assert bench.compared(bench.table, ITEMS).equal


@pytest.mark.parametrize("kind", ["B", "N"])
def test_extremes_come_back(bench: Bench, kind: str) -> None:
    """Binary and number keys, an item of 400 KB, and a table of none at all are restored."""
    made = Bench(bench.aws, bench.table, bench.place, bench.folder, Keys((("k", kind),)))
    made.make()
    assert made.restore(made.take(), suffix="-none").written.items == 0
    values = ["AA==", "/w=="] if kind == "B" else ["0", "-9.99E+125"]
    items: list[dict[str, Any]] = [{"k": {kind: value}} for value in values]
    items[0]["large"] = {"S": "x" * (400 * 1024 - 20)}
    made.put(items)
    found = made.restore(made.take())
    assert made.compared(found.target, items).equal


def test_a_name_that_no_table_can_have_is_refused(bench: Bench, full: str) -> None:
    """A suffix with other characters, or too long, is a wrong use."""
    for suffix in ("/x", "-" * 300, " "):
        with pytest.raises(UsageError, match="No table can be called"):
            bench.plan(full, suffix=suffix)


def test_a_table_that_is_gone_is_made_again_in_place(bench: Bench, full: str) -> None:
    """A deleted table comes back under its own name, without any question."""
    bench.aws.client("dynamodb").delete_table(TableName=bench.table)
    assert bench.restore(full, in_place=True).written.items == 400
    assert bench.compared(bench.table, ITEMS).equal


def test_a_table_of_other_keys_is_refused(bench: Bench, full: str) -> None:
    """An empty table whose keys are others can't take the items."""
    bench.aws.client("dynamodb").create_table(
        TableName=f"{bench.table}-restored",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(UsageError, match=r"other keys .* pk \(S\), not pk \(S\), sk \(N\)"):
        bench.restore(full)


def test_an_interrupted_restore_goes_on(bench: Bench, full: str) -> None:
    """Stopped in the middle, the same restore goes on, from here or from another machine."""
    seen: list[Progress] = []
    bench.observe, bench.stop = seen.append, lambda: any(p.stage == "writing" for p in seen)
    with pytest.raises(InterruptedRunError, match="stays") as caught:
        bench.restore(full)
    assert "goes on from there" in str(caught.value.cure)
    bench.stop = lambda: False
    target = f"{bench.table}-restored"
    assert bench.plan(full).tables[0].state == "begun"
    found = bench.restore(full, "elsewhere")
    assert found.target == target
    assert bench.compared(target, ITEMS).equal
    assert bench.restore(full).unchanged
    other = bench.take()
    with pytest.raises(UsageError, match="stands already"):
        bench.restore(other)


def test_what_a_note_says_is_written_but_is_not_is_written_again(bench: Bench, full: str) -> None:
    """Items lost from a table that was being restored are noticed, and put once more."""
    seen: list[Progress] = []
    bench.observe, bench.stop = seen.append, lambda: any(p.stage == "verifying" for p in seen)
    with pytest.raises(InterruptedRunError):
        bench.restore(full)
    bench.stop = lambda: False
    target = f"{bench.table}-restored"
    key = {"pk": ITEMS[1]["pk"], "sk": ITEMS[1]["sk"]}
    bench.aws.dynamodb().delete_item(TableName=target, Key=key)
    assert bench.restore(full).written.items == 400
    assert bench.compared(target, ITEMS).equal


def test_a_plan_tells_what_and_changes_nothing(bench: Bench, full: str) -> None:
    """Tables, names, items, bytes, units and time are told; nothing is made."""
    plan = bench.plan(full, suffix="-r9", max_wcu=10)
    (table,) = plan.tables
    assert (table.target, table.state, table.method) == (f"{bench.table}-r9", "new", "write")
    assert (table.items, plan.write_units, plan.seconds) == (400, 400, 40)
    assert plan.dollars == 0
    assert table.to_json()["item_bytes"] > 400 * 100
    assert not bench.stands(table.target)


def test_tables_are_chosen_by_name(bench: Bench, full: str) -> None:
    """A table that the backup does not hold is named, with those that it does."""
    with pytest.raises(UsageError, match="'nothing' is not in the backup") as caught:
        bench.restore(full, tables=("nothing",))
    assert bench.table in str(caught.value.cure)
    assert bench.restore(full, tables=(bench.table,)).written.items == 400


def test_restoring_tags_are_gone_afterwards(bench: Bench, full: str) -> None:
    """A backup of a restored table says nothing of the restore."""
    found = bench.restore(full)
    made = Bench(bench.aws, found.target, bench.place, bench.folder)
    settings_ = read_settings(bench.aws, made.table)
    assert not {RESTORING, RESTORED} & settings_.tags.keys()
    again = made.restore(made.take())
    assert bench.compared(again.target, ITEMS).equal


def test_leases_are_left_alone_in_place(aws: AwsSession, project: str, tmp_path: Path) -> None:
    """An operations table that holds nothing but leases is empty to a restore in place; the flag
    of the engine comes back, an old lease does not; and leases are not compared."""
    keys = Keys((("pk", "S"), ("sk", "S")))
    place = FolderPlace(tmp_path / "backups")
    bench = Bench(aws, f"{project}-operations", place, tmp_path, keys)
    bench.make()
    flag = {"pk": {"S": "engine"}, "sk": {"S": "active"}, "engine": {"S": "dual"}}
    old, new = ({"pk": {"S": "lock#x"}, "sk": {"S": "lock"}, "fence": {"N": n}} for n in "12")
    bench.put([flag, old])
    taken = bench.take()
    aws.dynamodb().delete_item(TableName=bench.table, Key={n: flag[n] for n in ("pk", "sk")})
    bench.put([new])
    found = bench.restore(taken, in_place=True)
    assert found.written.items == 1
    assert found.comparison is not None
    assert found.comparison.equal
    standing = aws.dynamodb().scan(TableName=bench.table)["Items"]
    assert sorted(standing, key=str) == sorted([flag, new], key=str)
