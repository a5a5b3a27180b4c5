"""Records of items are compared exactly, and take no more memory the more there are."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StorageError
from core.transfer.digests import Differences, Digests, compare

records = st.dictionaries(st.integers(0, 40), st.integers(0, 2), max_size=30)


def digest(number: int) -> bytes:
    """A digest as those of items are spread."""
    return hashlib.blake2b(str(number).encode(), digest_size=16).digest()


def filled(folder: Path, held: dict[int, int], buffer_bytes: int) -> Digests:
    """Records of these keys and values."""
    made = Digests(folder, buffer_bytes)
    for key, value in held.items():
        made.add(digest(key), digest(value))
    return made


@given(records, records, st.sampled_from([1, 200, 10**6]))
def test_comparing_finds_exactly_what_differs(
    left: dict[int, int], right: dict[int, int], buffer_bytes: int
) -> None:
    """Missing, extra and different keys are counted and named, in memory as on disk."""
    with (
        TemporaryDirectory() as folder,
        filled(Path(folder), left, buffer_bytes) as a,
        filled(Path(folder), right, buffer_bytes) as b,
    ):
        found = compare(a, b)
        assert (found.missing, found.extra) == (len(left - right.keys()), len(right - left.keys()))
        unlike = {key for key in left.keys() & right.keys() if left[key] != right[key]}
        assert found.different == len(unlike)
        assert set(found.missing_keys) <= {digest(key) for key in left.keys() - right.keys()}
        assert set(found.extra_keys) <= {digest(key) for key in right.keys() - left.keys()}
        assert set(found.different_keys) <= {digest(key) for key in unlike}
        assert len(found.different_keys) == min(10, len(unlike))
        assert found.none == (left == right)


@given(st.lists(st.integers(0, 20), max_size=40), st.sampled_from([1, 10**6]))
def test_duplicates_are_named_with_their_files(keys: list[int], buffer_bytes: int) -> None:
    """Each key that came twice is told once for each time too many."""
    with TemporaryDirectory() as folder, Digests(Path(folder), buffer_bytes) as made:
        for file, key in enumerate(keys):
            made.add(digest(key), digest(0), file)
        found = list(made.duplicates())
        assert len(found) == len(keys) - len(set(keys))
        for key_digest, first, second in found:
            assert first < second
            assert digest(keys[first]) == digest(keys[second]) == key_digest


def test_of_a_key_added_twice_the_last_counts(tmp_path: Path) -> None:
    """An item that a scan met twice is compared as it was met last."""
    with Digests(tmp_path) as a, Digests(tmp_path) as b:
        a.add(digest(1), digest(7))
        b.add(digest(1), digest(6))
        b.add(digest(1), digest(7))
        assert compare(a, b) == Differences()


def test_what_is_missing_may_be_excused(tmp_path: Path) -> None:
    """Missing records that were marked when they were added are counted apart."""
    with Digests(tmp_path) as a, Digests(tmp_path) as b:
        a.add(digest(1), digest(1), 1)
        a.add(digest(2), digest(2), 0)
        assert compare(a, b) == Differences(1, missing_keys=(digest(2),), excused=1)


def test_few_records_never_touch_the_disk_and_many_leave_nothing(tmp_path: Path) -> None:
    """What fits in memory stays there; what does not is removed at the end."""
    with filled(tmp_path, dict.fromkeys(range(1000), 0), 10**6):
        assert not list(tmp_path.iterdir())
    with filled(tmp_path, dict.fromkeys(range(1000), 0), 1000):
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """No place for the records is an error that names the folder."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        filled(tmp_path / "file", dict.fromkeys(range(100), 0), 10)


@pytest.mark.parametrize(
    "each",
    [
        pytest.param(250_000, marks=pytest.mark.slow),
        pytest.param(1_000_000, marks=pytest.mark.soak),
    ],
)
def test_memory_stays_flat_with_many_records(tmp_path: Path, each: int) -> None:
    """Half a million records, and two million, take no more than the buffers and one heap do."""
    tracemalloc.start()
    try:
        with Digests(tmp_path, 2**21) as made, Digests(tmp_path, 2**21) as other:
            for number in range(each):
                key = hashlib.blake2b(number.to_bytes(8, "big"), digest_size=16).digest()
                made.add(key, key)
                other.add(key, key if number != 77 else bytes(16))
            assert compare(made, other).different == 1
            assert not list(made.duplicates())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024 * 1024
