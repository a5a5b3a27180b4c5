"""Whose profiles are used: a named result's, the newest one's, those shipped."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from core.cost.measured import LEGACY_INLINE, SHIPPED
from core.cost.profile import Profile
from core.cost.sources import choose_profiles
from core.errors import StorageError, UsageError
from tests.unit.cost.examples import LEGACY, OPTIMIZED


def _save(path: Path, age_s: int = 0, **changed: Any) -> Path:
    held = {"legacy": LEGACY.to_json(), "optimized": OPTIMIZED.to_json()} | changed
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps({"schema": "x", "profiles": held}))
    os.utime(path, (1_800_000_000 - age_s,) * 2)
    return path


def test_without_a_benchmark_the_shipped_ones_are_used(tmp_path: Path) -> None:
    """And it says so."""
    found = choose_profiles(None, tmp_path / "none")
    assert (found.legacy, found.optimized) == (SHIPPED["legacy"], SHIPPED["optimized"])
    assert found.source.startswith("shipped")


def test_the_newest_result_is_used(tmp_path: Path) -> None:
    """By its time; named in the answer."""
    later = dataclasses.replace(OPTIMIZED, source="later")
    _save(tmp_path / "a.json", optimized=later.to_json())
    _save(tmp_path / "b.json", age_s=60)
    found = choose_profiles(None, tmp_path)
    assert found.optimized == later
    assert found.source == "a.json: later"


def test_a_named_result_goes_before_the_newest(tmp_path: Path) -> None:
    """Whatever else lies there."""
    _save(tmp_path / "a.json", optimized=SHIPPED["optimized"].to_json())
    named = _save(tmp_path / "elsewhere" / "mine.json", age_s=1_000)
    assert choose_profiles(named, tmp_path).optimized == OPTIMIZED


def test_what_a_running_benchmark_notes_is_no_result(tmp_path: Path) -> None:
    """Its list of tables lies beside the results: nothing is said of it, nothing taken from it."""
    _save(tmp_path / "good.json", age_s=10**9)
    (tmp_path / "tables-0123456789ab.json").write_bytes(b'{"where": "AWS", "tables": []}')
    found = choose_profiles(None, tmp_path)
    assert found.source.startswith("good.json")
    assert found.notes == ()


def test_results_that_can_not_be_used_are_passed_over_with_a_note(tmp_path: Path) -> None:
    """One cut short by a kill, one of another kind: the next newest is taken."""
    (tmp_path / "cut.json").write_bytes(b'{"profiles": {"legacy"')
    (tmp_path / "other.json").write_bytes(b'{"rows": []}')
    (tmp_path / "folder.json").mkdir()
    _save(tmp_path / "good.json", age_s=10**9)
    found = choose_profiles(None, tmp_path)
    assert found.source.startswith("good.json")
    assert len(found.notes) == 2
    assert all(note.startswith("Passed over: ") for note in found.notes)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[]", "holds no result"),
        (b"{}", "holds no profiles"),
        (b'{"profiles": 7}', "holds no profiles"),
        (b'{"profiles": {"legacy": {}}}', "holds no profiles"),
        (b'{"profiles": {"legacy": {}, "optimized": {}}}', "lacks 'append_rru'"),
    ],
)
def test_a_named_file_that_is_no_result_is_refused(tmp_path: Path, raw: bytes, told: str) -> None:
    """With its name and what is wrong with it."""
    path = tmp_path / "mine.json"
    path.write_bytes(raw)
    with pytest.raises(UsageError, match=told) as raised:
        choose_profiles(path, tmp_path)
    assert "mine.json" in raised.value.what
    assert raised.value.cure


def test_profiles_in_each_others_place_are_refused(tmp_path: Path) -> None:
    """They would make the claim hold the other way round."""
    path = _save(tmp_path / "x.json", legacy=OPTIMIZED.to_json(), optimized=LEGACY.to_json())
    with pytest.raises(UsageError, match="under the names of others"):
        choose_profiles(path, tmp_path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Its name, and the system's reason."""
    with pytest.raises(StorageError, match="No such file"):
        choose_profiles(tmp_path / "none.json", tmp_path)


def test_shipped_legacy_items_come_with_and_without_vectors(tmp_path: Path) -> None:
    """Asked for by name, even where something was measured; the other kind stays beside."""
    _save(tmp_path / "a.json")
    found = choose_profiles(None, tmp_path, legacy_vectors="inline")
    assert found.legacy == LEGACY_INLINE
    assert list(found.other_legacies.values()) == [SHIPPED["legacy"]]
    with pytest.raises(UsageError, match="--legacy-vectors is 'both'"):
        choose_profiles(None, tmp_path, legacy_vectors="both")
    with pytest.raises(UsageError, match="--from"):
        choose_profiles(tmp_path / "a.json", tmp_path, legacy_vectors="none")


@pytest.mark.parametrize("profile", [*SHIPPED.values(), LEGACY_INLINE])
def test_shipped_profiles_are_profiles(profile: Profile) -> None:
    """They pass the checks that a benchmark's do."""
    assert Profile.from_json(profile.to_json()) == profile
