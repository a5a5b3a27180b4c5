"""Every place for backups keeps the same promises: a folder, and a bucket's prefix."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.aws.session import AwsSession
from core.backup.bucket import CHUNK_BYTES, BucketPlace
from core.backup.folder import FolderPlace
from core.backup.place import Entry, Place, open_place
from core.errors import DamagedError, NotFoundError, UsageError

ODD_NAMES = (
    "a/b c/ä ö.json",
    "a/plus+and%41percent",
    "a/'quote\".json",
    "a/& <x>?y=1#z",
    "a/日本.json",
    ".dot/.file",
    "a/~tilde*",
)
BAD_NAMES = (
    "",
    "/etc/passwd",
    "../x",
    "a/../../x",
    "a//b",
    "a/./b",
    "a\\b",
    "a/",
    "a\0b",
    "x" * 999,
)


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A fresh place of each kind."""
    if request.param == "folder":
        yield FolderPlace(tmp_path / "deep" / "backups", "backups")
        return
    aws: AwsSession = request.getfixturevalue("aws")
    bucket = f"b-{uuid.uuid4().hex[:12]}"
    aws.client("s3").create_bucket(Bucket=bucket)
    # A neighbour whose name begins alike is none of the place's.
    aws.client("s3").put_object(Bucket=bucket, Key="some/prefixed/x", Body=b"not ours")
    yield BucketPlace(aws.client("s3"), bucket, "some/prefix", aws.where)


def test_what_was_put_is_read_back(place: Place) -> None:
    """Whole, by `get` and by `open`, after being written over too; an empty file as well."""
    for body in (b"one", b"", b"three"):
        place.put("set/t/data/x.json", body)
        assert place.get("set/t/data/x.json") == body
        with place.open("set/t/data/x.json") as file:
            assert file.read() == body


def test_large_files_are_read_in_parts(place: Place) -> None:
    """A file over the size of a part comes back the same in pieces of any size."""
    body = os.urandom(1 << 20) * 17 + b"end"
    assert len(body) > 2 * CHUNK_BYTES
    place.put("large", body)
    with place.open("large") as file:
        found = iter(lambda: file.read(3_000_001), b"")
        assert b"".join(found) == body
    assert list(place.entries()) == [Entry("large", len(body))]


def test_what_is_not_there_is_said_to_be_missing(place: Place) -> None:
    """Reading raises NotFoundError; lists of an empty place and of no folder are empty."""
    for read in (place.get, place.open):
        with pytest.raises(NotFoundError):
            read("no/such")
    assert not [*place.entries(), *place.folders(), *place.entries("no"), *place.folders("no")]
    place.delete(["no/such", "nor/this"])


def test_a_file_larger_than_allowed_is_not_read(place: Place) -> None:
    """`most_bytes` refuses a larger one and lets one of just that size through."""
    place.put("x", b"12345")
    assert place.get("x", 5) == b"12345"
    with pytest.raises(DamagedError, match="'x' is larger"):
        place.get("x", 4)


def test_put_new_lets_only_one_win(place: Place) -> None:
    """Of eight at once exactly one writes; afterwards nobody does."""
    bodies = [b"writer %d" % number for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda body: place.put_new("lock.json", body), bodies))
    assert won.count(True) == 1
    assert place.get("lock.json") == bodies[won.index(True)]
    assert not place.put_new("lock.json", b"late")


def test_swap_changes_only_what_it_knows(place: Place) -> None:
    """It replaces or deletes a file that holds what it names, else leaves it; of many one wins."""
    assert not place.swap("lock.json", b"a", b"b")
    place.put("lock.json", b"a")
    assert not place.swap("lock.json", b"x", b"b")
    assert not place.swap("lock.json", b"x", None)
    bodies = [b"taker %d" % number for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda body: place.swap("lock.json", b"a", body), bodies))
    assert won.count(True) == 1
    winner = bodies[won.index(True)]
    assert place.get("lock.json") == winner
    assert place.swap("lock.json", winner, None)
    assert list(place.entries()) == []


def test_lists_are_whole_and_in_order(place: Place) -> None:
    """Files of a folder and below it, by name as a bucket sorts them; folders by their names."""
    names = ["a-b/1", "a.b", "a/b/2", "a/b.c", "a/b/1", "ab/x", "z"]
    for name in names:
        place.put(name, name.encode())
    assert [entry.name for entry in place.entries()] == sorted(names)
    assert list(place.entries("a")) == [Entry(n, len(n)) for n in ("a/b.c", "a/b/1", "a/b/2")]
    assert list(place.entries("a/")) == list(place.entries("a"))
    assert list(place.folders()) == ["a-b", "a", "ab"]
    assert list(place.folders("a")) == ["b"]


def test_lists_go_on_over_a_thousand(place: Place) -> None:
    """More files than one answer of S3 holds are listed, and deleted, all the same."""
    names = [f"many/{number:04d}" for number in range(1203)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: place.put(name, b""), names))
    assert [entry.name for entry in place.entries("many")] == names
    place.delete(names)
    assert not [*place.entries(), *place.folders()]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_work(place: Place, name: str) -> None:
    """Blanks, quotes, escapes, other scripts: written, listed, read, swapped and deleted."""
    place.put(name, b"odd")
    assert [entry.name for entry in place.entries()] == [name]
    assert place.get(name) == b"odd"
    assert place.swap(name, b"odd", b"even")
    place.delete([name])
    assert list(place.entries()) == []


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_lead_out_are_refused(place: Place, name: str) -> None:
    """No method takes a name that is no plain path below the place."""
    for call in (place.get, place.open, lambda n: place.put(n, b""), lambda n: place.delete([n])):
        with pytest.raises(DamagedError, match="leads out"):
            call(name)


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300), cut=st.integers(1, 50))
def test_any_bytes_come_back_in_pieces(place: Place, body: bytes, cut: int) -> None:
    """Whatever is written is read back the same in pieces of any length."""
    place.put("piece", body)
    with place.open("piece") as file:
        assert b"".join(iter(lambda: file.read(cut), b"")) == body


def test_a_place_is_named_by_its_url(aws: AwsSession, project: str, tmp_path: Path) -> None:
    """A folder, a file URL and a bucket are told apart; what is neither is refused."""
    spaced = tmp_path / "with space"
    assert open_place("backups", aws, project).bucket is None
    open_place(f"file://{tmp_path}/with%20space", aws, project).put("x", b"y")
    assert open_place(str(spaced), lambda: aws, project).get("x") == b"y"
    found = open_place("s3://bucket/some/prefix/", lambda: aws, project)
    assert (found.url, found.bucket) == (
        "s3://bucket/some/prefix",
        ("bucket", "some/prefix"),
    )
    assert open_place("s3://bucket", aws, project).bucket == ("bucket", "")
    for bad in ("ftp://x/y", "", "s3://bucket/a//c", "s3://bucket/../c", "s3://b"):
        with pytest.raises(UsageError):
            open_place(bad, aws, project)
