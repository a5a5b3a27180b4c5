"""Whatever is wrong with a backup is found by verify, and refused by restore before it writes."""

from __future__ import annotations

import base64
import hashlib
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from tests.cli.memory_cli import MemoryCli
from tests.patients import Originals, Patient, one_app

VARIANTS = ("gzip", "zstd", "sealed")


@pytest.fixture(scope="module")
def originals(endpoint_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Originals]:
    """Whole backups."""
    with one_app():
        yield Originals(endpoint_url, tmp_path_factory.mktemp("originals"))


@pytest.fixture
def variant() -> str:
    """Gzip, where nothing else is said."""
    return "gzip"


@pytest.fixture
def patient(
    originals: Originals,
    variant: str,
    tmp_path: Path,
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
) -> Patient:
    """A copy of the variant's backup."""
    return originals.patient(variant, MemoryCli(settings, capsys), tmp_path)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_whole_one_is_valid(patient: Patient) -> None:
    """Undamaged, each variant is valid, has several data files, and can be restored."""
    answer = patient.verify()
    assert (answer.code, answer.out.split(":")[0]) == (0, "valid")
    assert len(patient.set.data) >= 2
    assert patient.restore("--dry-run").code == 0


KINDS = (
    *("set.json", "plan.json", "table.json", "_started", "data"),
    *("manifest-files.json", "manifest-files.md5"),
    *("manifest-summary.json", "manifest-summary.md5"),
)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_cut_data_file_is_found(patient: Patient) -> None:
    """Each data file that ends at once, half-way or a byte early; also where its MD5 is right."""
    for number, path in enumerate(patient.set.data):
        whole = path.read_bytes()
        manifests = {name: patient.set.path(name).read_bytes() for name in KINDS if name != "data"}
        for length in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:length])
            patient.is_refused(path.name, restored=number == 0)
            if number == 0:
                patient.set.forge()
                patient.is_refused(path.name)
                for name, content in manifests.items():
                    patient.set.path(name).write_bytes(content)
        path.write_bytes(whole)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "_started"])
def test_a_flipped_byte_in_any_file_is_found(patient: Patient, kind: str) -> None:
    """Whichever file it is in, at its beginning, middle or end, the sentence names it."""
    whole = patient.set.path(kind).read_bytes()
    for at in (0, 0.5, 1):
        path = patient.set.flip(kind, at)
        patient.is_refused(path.name)
        path.write_bytes(whole)


@pytest.mark.parametrize("variant", ["zstd", "sealed"])
def test_a_flipped_byte_in_packed_or_sealed_data_is_found(patient: Patient, variant: str) -> None:
    """Also of zstd and of what is encrypted, and also where all checksums are forged."""
    patient.is_refused(patient.set.flip("data").name)
    patient.set.forge()
    patient.is_refused(patient.set.data[0].name)
    if variant == "sealed":
        patient.is_refused(patient.set.flip("keys.json", 0.9).name)
        patient.set.forge()
        patient.is_refused("keys.json")


@pytest.mark.parametrize("kind", KINDS)
def test_any_missing_file_is_found(patient: Patient, kind: str) -> None:
    """A set without any one of its files is damaged; also where set.json never named it."""
    path = patient.set.path(kind)
    path.unlink()
    patient.is_refused(path.name)
    if kind not in ("set.json", "plan.json", "_started"):
        patient.set.forge_set()
        patient.is_refused(path.name)


@pytest.mark.parametrize("variant", ["sealed"])
def test_a_set_without_its_keys_is_damaged(patient: Patient) -> None:
    """An encrypted set whose keys.json has gone is refused, and the file named."""
    patient.set.path("keys.json").unlink()
    patient.is_refused("keys.json")
    patient.set.forge_set()
    patient.is_refused("keys.json")


@pytest.mark.parametrize("kind", ["set.json", "plan.json", "table.json", "manifest-files.json"])
def test_a_forged_file_of_anything_else_is_found(patient: Patient, kind: str) -> None:
    """What is no JSON, or JSON of something else, is found though its checksums are right."""
    whole = {path: path.read_bytes() for path in patient.set.folder.rglob("*.json")}
    for content in (b"{", b"[]", b'{"a":1}', b"\xff\xfe", b'"x"'):
        path = patient.set.path(kind)
        path.write_bytes(content)
        if kind == "set.json":
            patient.set.path(kind).write_bytes(_sealed(content))
        elif kind == "manifest-files.json":
            (path.parent / "manifest-files.md5").write_bytes(_md5(content))
            patient.set.forge_set()
        else:
            patient.set.forge_set()
        patient.is_refused(path.name)
        for file, before in whole.items():
            file.write_bytes(before)


@pytest.mark.parametrize(
    "key",
    ["../x.json.gz", "/etc/x.json.gz", "a\\b.json.gz", "x/", "..", "x/../y.json.gz", "a\nb", ""],
)
def test_a_manifest_that_names_a_file_elsewhere_is_refused(patient: Patient, key: str) -> None:
    """No name of a manifest leads out of its folder."""
    rows = patient.set.rows()
    rows[0]["dataFileS3Key"] = key
    patient.set.write_rows(rows)
    patient.set.forge()
    patient.is_refused("manifest-files.json", "outside of its folder")


@pytest.mark.parametrize("more", [1, -1])
def test_counts_that_lie_are_found(patient: Patient, more: int) -> None:
    """One file's count, the summary's, the set's: each against what it counts."""
    whole = {path: path.read_bytes() for path in patient.set.folder.rglob("manifest*")}
    whole[patient.set.path("set.json")] = patient.set.path("set.json").read_bytes()

    def again() -> None:
        for path, content in whole.items():
            path.write_bytes(content)

    rows = patient.set.rows()
    lying = next(row for row in rows if row["itemCount"] > 0)
    lying["itemCount"] += more
    patient.set.write_rows(rows)
    patient.set.forge(counts=True)
    patient.is_refused(lying["dataFileS3Key"].rpartition("/")[2], "lines", "manifest-files.json")
    again()
    patient.set.edit_json(
        "manifest-summary.json", lambda row: row.update(itemCount=row["itemCount"] + more)
    )
    patient.set.forge()
    patient.is_refused("manifest-summary.json", f"says {60 + more} items")
    for field in ("items", "file_bytes", "files"):
        again()
        patient.set.edit_json("set.json", partial(_add, field=field, more=more))
        patient.set.forge_set()
        patient.is_refused("set.json")


def test_an_item_that_stands_twice_is_found(patient: Patient) -> None:
    """The same key in one file, or in two, though the other attributes differ."""
    first, second = patient.set.data[:2]
    lines = patient.set.lines(first)
    patient.set.write_lines([*lines, lines[0]], first)
    patient.is_refused(first.name, "same key twice")
    patient.set.write_lines(lines, first)
    other = lines[0].replace(b'"role":{"S":"user"}', b'"role":{"S":"else"}')
    patient.set.write_lines([*patient.set.lines(second), other], second)
    patient.is_refused(first.name, second.name, "same key twice")


@pytest.mark.parametrize("variant", ["gzip", "sealed"])
def test_a_stray_file_among_the_data_is_found(patient: Patient) -> None:
    """An import would read it, so it may not lie there."""
    shutil.copy(patient.set.data[0], patient.set.export / "data" / "stray.json.gz")
    patient.is_refused("stray.json.gz", "in no manifest")


def test_a_newer_format_is_refused(patient: Patient) -> None:
    """It says which format it is, and that a newer version is needed."""
    patient.set.forge_set(format=2)
    patient.is_refused("set.json", "is of format 2", "newer")
    odd: object
    for odd in ("1", None, 1.5, [], 0):
        patient.set.forge_set(format=odd)
        patient.is_refused("set.json")


def test_the_manifest_of_another_backup_is_refused(patient: Patient, originals: Originals) -> None:
    """Copied into this folder, it is told whose it is."""
    other = originals("zstd")
    shutil.copy(other / "set.json", patient.set.folder / "set.json")
    patient.is_refused("set.json", other.name)


def test_a_restore_into_an_empty_table_writes_nothing(patient: Patient) -> None:
    """The last line of the last file is damaged: the table that stands stays empty."""
    table = patient.target
    client = patient.session.client("dynamodb")
    about = client.describe_table(TableName=patient.table)["Table"]
    client.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        **{name: about[name] for name in ("KeySchema", "AttributeDefinitions")},
    )
    try:
        last = max(patient.set.data, key=lambda path: path.name)
        patient.set.write_lines([*patient.set.lines(last), b"{}"], last)
        assert patient.restore().code == 6
        assert client.scan(TableName=table)["Count"] == 0
    finally:
        client.delete_table(TableName=table)


def _add(found: dict[str, Any], *, field: str, more: int) -> None:
    found["tables"][0][field] += more


def _sealed(content: bytes) -> bytes:
    """Any content with a set.json's own checksum after it."""
    body = content[:-1]
    return body + b',"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'"}\n'


def _md5(content: bytes) -> bytes:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest())
