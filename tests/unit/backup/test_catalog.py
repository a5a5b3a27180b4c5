"""Which sets a place holds, what state they are in, and which one a person means."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from core.backup.catalog import Located, list_sets, newest, resolve
from core.backup.folder import FolderPlace
from core.backup.lock import REMOVED, PlaceLock
from core.backup.manifest import SET_FILE
from core.clock import new_id
from core.errors import DamagedError, NotFoundError, UsageError
from core.testing.clock import FakeClock
from tests.backup_sets import put_set

OLD, MIDDLE, NEW = (f"2026110{day}T120000Z-0000000{day}" for day in (1, 2, 3))


@pytest.fixture
def place(tmp_path: Path) -> FolderPlace:
    """A folder with three whole sets, of two projects, and things that are no sets."""
    made = FolderPlace(tmp_path / "backups", "backups")
    put_set(made, OLD)
    put_set(made, MIDDLE, base=OLD)
    put_set(made, NEW, project="other")
    made.put("readers/x.json", b"{}")
    made.put("notes/readme.txt", b"mine")
    return made


def found(place: FolderPlace, text: str, project: str | None = None) -> Located:
    """What a text names; places of paths are folders."""
    return resolve(place, text, lambda url: FolderPlace(Path(url), url), FakeClock(), project)


def test_sets_are_listed_newest_first_with_their_bases(place: FolderPlace) -> None:
    """Whole ones are valid and name what they build on; other folders are none."""
    sets = list_sets(place, FakeClock())
    assert [(one.id, one.state, one.base) for one in sets] == [
        (NEW, "valid", None),
        (MIDDLE, "valid", OLD),
        (OLD, "valid", None),
    ]
    assert sets[2].started_s == 1_793_534_400.0


def test_no_set_without_its_last_file_is_valid(place: FolderPlace) -> None:
    """Without set.json it is incomplete, with a live run on it in progress, marked on its way; and
    what builds on one that is not whole is damaged."""
    place.delete([f"{NEW}/{SET_FILE}"])
    place.put(f"{OLD}/{REMOVED}", b"{}")
    put_set(place, "20261104T120000Z-00000004", base=MIDDLE, whole=False)
    clock = FakeClock()
    with PlaceLock(place, "A backup", clock, new_id) as lock:
        lock.note(NEW)
        states = [(one.state, one.base, one.is_removed) for one in list_sets(place, clock)]
    assert states == [
        ("incomplete", MIDDLE, False),
        ("in progress", None, False),
        ("damaged", OLD, False),
        ("incomplete", None, True),
    ]
    assert list_sets(place, clock)[2].why == f"it builds on '{OLD}', which is incomplete"
    assert list_sets(place, clock)[1].state == "incomplete"


def test_latest_passes_over_what_builds_on_nothing(place: FolderPlace) -> None:
    """An increment whose base has gone can't be restored, so it is not the newest whole one."""
    place.delete([f"{NEW}/{SET_FILE}"])
    assert found(place, "latest").folder == MIDDLE
    place.delete([entry.name for entry in place.entries(OLD)])
    one = list_sets(place, FakeClock())[1]
    assert (one.id, one.state, one.why) == (
        MIDDLE,
        "damaged",
        f"it builds on '{OLD}', which is gone",
    )
    with pytest.raises(DamagedError, match="which is gone"):
        found(place, "latest")


def test_latest_is_no_older_one_where_the_newest_is_damaged(place: FolderPlace) -> None:
    """An older state in its place would go unnoticed; what is of another project is not meant,
    and an increment may build on the one before."""
    name = f"{MIDDLE}/{SET_FILE}"
    place.put(name, place.get(name)[:-20])
    for project in ("ial", None):
        if project is None:
            place.delete([f"{NEW}/{SET_FILE}"])
        with pytest.raises(DamagedError, match=f"{MIDDLE}.*altered or cut short") as caught:
            found(place, "latest", project)
        assert OLD in str(caught.value.cure)
    put_set(place, NEW, project="other")
    assert found(place, "latest", "other").folder == NEW
    clock = FakeClock()
    past = resolve(place, "latest", lambda _: place, clock, "ial", past_damaged=True)
    assert past.folder == OLD


@pytest.mark.parametrize("change", ["cut", "flip", "empty", "newer", "renamed"])
def test_a_manifest_that_is_not_what_was_written_is_damage(place: FolderPlace, change: str) -> None:
    """Cut short, altered, of a newer format or of another set: damaged, and why."""
    name = f"{NEW}/{SET_FILE}"
    body = place.get(name)
    changed = {
        "cut": body[:-20],
        "flip": body.replace(b"other", b"0ther"),
        "empty": b"",
        "newer": body.replace(b'"format":1', b'"format":2'),
        "renamed": place.get(f"{OLD}/{SET_FILE}"),
    }
    place.put(name, changed[change])
    first = list_sets(place, FakeClock())[0]
    assert (first.state, first.manifest) == ("damaged", None)
    assert SET_FILE in first.why
    assert not first.is_newer


def test_a_manifest_of_a_newer_format_is_told_from_damage(place: FolderPlace) -> None:
    """So that nobody removes as damaged what another version can read."""
    body = place.get(f"{NEW}/{SET_FILE}").rpartition(b',"sha256"')[0]
    body = body.replace(b'"format":1', b'"format":2')
    seal = f',"sha256":"{hashlib.sha256(body).hexdigest()}"}}\n'.encode()
    place.put(f"{NEW}/{SET_FILE}", body + seal)
    first = list_sets(place, FakeClock())[0]
    assert (first.is_newer, first.project) == (True, "other")
    assert "of format 2" in first.why


def test_a_text_names_one_set(place: FolderPlace) -> None:
    """An id, the beginning of one, the newest of all or of a project."""
    assert found(place, OLD) == Located(place, OLD)
    assert found(place, "20261102").folder == MIDDLE
    assert found(place, "latest").folder == NEW
    assert found(place, "latest", "ial").folder == MIDDLE
    assert newest(list_sets(place, FakeClock()), "nobody") is None


def test_what_names_none_or_several_is_refused(place: FolderPlace) -> None:
    """With what there is; `latest` passes over what is not whole."""
    with pytest.raises(UsageError, match=f"3 backups.*begin with '2026'.*{OLD}"):
        found(place, "2026")
    for text in ("2027", "", "notes", "no-such"):
        with pytest.raises(NotFoundError, match="no backup"):
            found(place, text)
    place.delete([f"{NEW}/{SET_FILE}"])
    assert found(place, "latest").folder == MIDDLE
    with pytest.raises(NotFoundError, match="no whole backup"):
        found(FolderPlace(place._folder / "none", "none"), "latest")


@pytest.mark.parametrize(
    ("text", "url", "folder"),
    [
        ("some/where/set", "some/where", "set"),
        ("./export/", "export", None),
        ("/abs", "/", "abs"),
        ("s3://bucket/a/b/", "s3://bucket/a", "b"),
        ("s3://bucket/a", "s3://bucket", "a"),
        ("s3://bucket", "s3://bucket", ""),
        ("file:///x/y", "file:///x", "y"),
        ("file:///x", "file:///", "x"),
        ("s3:///own/set", "s3:///own", "set"),
    ],
)
def test_a_path_or_url_opens_a_place_of_its_own(
    place: FolderPlace, text: str, url: str, folder: str | None
) -> None:
    """The folder above is the place, so that what a set builds on is found beside it."""
    asked: list[str] = []

    def open_(wanted: str) -> FolderPlace:
        asked.append(wanted)
        return FolderPlace(Path("any"), wanted)

    located = resolve(place, text, open_, FakeClock())
    if folder is None:
        assert (asked, located.folder) == ([str(Path())], url)
    else:
        assert (asked, located.folder) == ([url], folder)


def test_a_folder_beside_is_named_without_a_slash(
    place: FolderPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of the current one is a bare export where no set is called so; so is `.`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "export").mkdir()
    assert found(place, "export").folder == "export"
    monkeypatch.chdir(tmp_path / "export")
    here = found(place, ".")
    assert (here.place.url, here.folder) == (str(tmp_path), "export")
