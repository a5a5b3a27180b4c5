"""Restores that meet others: of another backup, from another machine, a table made meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from core.aws.session import AwsSession
from core.backup.final_items import FinalItems
from core.backup.folder import FolderPlace
from core.backup.progress import Progress
from core.backup.restore_marks import RESTORING, Marks
from core.backup.selection import Selection
from core.errors import InterruptedRunError, NotConfirmedError, UsageError
from tests.backups import plain_item
from tests.restoring import Bench, stopped_while_writing
from tests.tables import delete_table

ITEMS = [plain_item(number, 20) for number in range(1000)]
LATER = [{**item, "role": {"S": "later"}} for item in ITEMS]


@pytest.fixture
def bench(aws: AwsSession, project: str, tmp_path: Path) -> Bench:
    """A table of items."""
    made = Bench(aws, f"{project}-bench", FolderPlace(tmp_path / "backups"), tmp_path)
    made.make()
    made.put(ITEMS)
    return made


def test_another_machine_s_restore_is_not_gone_on_over(bench: Bench) -> None:
    """A restore was killed here; another backup was restored over it elsewhere. The first one
    asks before it writes over that, whatever the note on this machine says."""
    first = bench.take()
    bench.put(LATER)
    second = bench.take()
    delete_table(bench.aws, bench.table)
    bench.make()
    with pytest.raises(InterruptedRunError):
        stopped_while_writing(bench).restore(first, in_place=True)
    bench.restore(second, "elsewhere", in_place=True, confirm=(bench.table,))
    with pytest.raises(NotConfirmedError):
        bench.restore(first, in_place=True)
    assert bench.compared(bench.table, LATER).equal
    assert bench.restore(first, in_place=True, confirm=(bench.table,)).written.items == 1000
    assert bench.compared(bench.table, ITEMS).equal


def make_used(bench: Bench, table: str) -> Callable[[Progress], None]:
    """Makes and fills a table while a restore reads its backup."""

    def observe(_: Progress) -> None:
        if not bench.stands(table):
            bench.make(table)
        bench.put([plain_item(1, 5)], table)

    return observe


@pytest.mark.parametrize("in_place", [True, False])
def test_a_table_made_or_filled_meanwhile_is_left_alone(bench: Bench, in_place: bool) -> None:
    """Between the plan and the first write lies the reading of the whole backup."""
    backup = bench.take()
    target = bench.table if in_place else f"{bench.table}-restored"
    delete_table(bench.aws, bench.table)
    if in_place:
        bench.make()
    meeting = replace(bench, observe=make_used(bench, target))
    with pytest.raises(UsageError, match="somebody else since"):
        meeting.restore(backup, in_place=in_place)
    assert bench.compared(target, [plain_item(1, 5)]).equal


def test_restores_of_one_backup_at_once_all_end_well(bench: Bench) -> None:
    """From several machines into one new table: each verifies it, and it is equal."""
    backup = bench.take()
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda name: bench.restore(backup, name), ("one", "two", "three")))
    assert {one.target for one in found} == {f"{bench.table}-restored"}
    assert bench.compared(found[0].target, ITEMS).equal


def test_a_table_of_the_longest_name_is_restored(bench: Bench) -> None:
    """255 characters, as many as a file's name may have: the note of it fits all the same."""
    backup = bench.take()
    suffix = "-" * (255 - len(bench.table))
    with pytest.raises(InterruptedRunError):
        stopped_while_writing(bench).restore(backup, suffix=suffix)
    assert bench.plan(backup, suffix=suffix).tables[0].state == "begun"
    assert bench.restore(backup, suffix=suffix).comparison
    assert bench.restore(backup, suffix=suffix).unchanged


def test_a_mark_is_found_among_many_tags(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tags come in pages; the mark may stand on a later one."""
    backup = bench.take()
    with pytest.raises(InterruptedRunError):
        stopped_while_writing(bench).restore(backup)
    client = bench.aws.client("dynamodb")
    real = client.list_tags_of_resource

    def paged(**request: str) -> dict[str, object]:
        tags = real(ResourceArn=request["ResourceArn"])["Tags"]
        assert RESTORING in {tag["Key"] for tag in tags}
        here = int(request.get("NextToken", "0"))
        page = [{"Key": "team", "Value": "x"}] if here == 0 else tags
        return {"Tags": page, **({"NextToken": "1"} if here == 0 else {})}

    monkeypatch.setattr(client, "list_tags_of_resource", paged, raising=False)
    monkeypatch.setattr(bench.aws, "client", lambda _: client)
    marks = Marks(bench.aws, bench.folder / "elsewhere")
    assert marks.state(f"{bench.table}-restored", backup) == "begun"


def test_what_a_selection_leaves_is_not_said_to_be_missing_in_the_backup(bench: Bench) -> None:
    """Other users' items stay in the table, and are in the backup as well."""
    bench.put([{**plain_item(5000), "user_id": {"S": "mia"}}])
    backup = bench.take()
    mia = Selection(user="mia")
    found = bench.restore(backup, in_place=True, confirm=(bench.table,), selection=mia)
    assert "1,000 items stay that were not to be restored." in found.notes


def test_reading_tells_of_each_file_and_can_be_ended(bench: Bench) -> None:
    """So that the note of a reader lasts, and whoever stops it need not wait for the last."""
    (table,) = bench.opened(bench.take()).tables
    files = len(table.layers[0].export.files)
    told: list[int] = []
    with FinalItems(bench.place, table, bench.keys, lambda: told.append(1)) as final:
        assert len(list(final)) == 1000
    assert len(told) == files

    def end() -> None:
        raise InterruptedRunError("Interrupted.")

    with (
        FinalItems(bench.place, table, bench.keys, end) as final,
        pytest.raises(InterruptedRunError),
    ):
        list(final)
