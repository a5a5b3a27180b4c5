"""What no table would take, bombs, wrong keys, and sets that are not whole are told and refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.backup.folder import FolderPlace
from core.backup.lock import PlaceLock
from core.backup.sealing import Passphrase
from core.clock import SYSTEM_CLOCK, new_id
from core.settings import Settings
from tests.backups import plain_item
from tests.cli.memory_cli import MemoryCli
from tests.damaging import SetFolder
from tests.patients import Originals, Patient, one_app
from tests.restoring import Bench

STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}


@pytest.fixture(scope="module")
def originals(endpoint_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Originals]:
    """Whole backups."""
    with one_app():
        yield Originals(endpoint_url, tmp_path_factory.mktemp("originals"))


@pytest.fixture
def patient(
    originals: Originals, tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> Patient:
    """A copy of the backup in gzip."""
    return originals.patient("gzip", MemoryCli(settings, capsys), tmp_path)


def _item(**more: object) -> bytes:
    item = {"pk": {"S": "x"}, "sk": {"N": "1"}, **more}
    return json.dumps({"Item": {k: v for k, v in item.items() if v is not None}}).encode()


BAD_LINES = {
    "not JSON": (b'{"Item":{"pk":{"S":"x"},"sk":{"N":"1"}', "not JSON"),
    "nothing": (b"", "not JSON"),
    "not UTF-8": (_item().replace(b'"x"', b'"\xff"'), "not JSON"),
    "plain JSON": (b'{"pk":"x","sk":1}', "not {"),
    "more beside": (_item()[:-1] + b',"More":1}', "not {"),
    "a list": (b"[]", "not a JSON object"),
    "no key": (_item(sk=None), "'sk' is missing"),
    "key of another type": (_item(sk={"S": "1"}), "of type S, not N"),
    "empty key": (_item(pk={"S": ""}), "'pk' is empty"),
    "long key": (_item(pk={"S": "x" * 2049}), "longer than 2048"),
    "unknown type": (_item(a={"X": "1"}), "unknown type 'X'"),
    "two types": (_item(a={"S": "1", "N": "1"}), "not one value"),
    "bad base64": (_item(a={"B": "a-b="}), "not base64"),
    "39 digits": (_item(a={"N": "1" * 39}), "38 digits"),
    "too small": (_item(a={"N": "1E-131"}), "no number"),
    "no number": (_item(a={"N": "NaN"}), "no number"),
    "bare number": (_item(a={"N": 1}), "in quotes"),
    "empty set": (_item(a={"SS": []}), "set that is empty"),
    "doubled in a set": (_item(a={"NS": ["1", "1.0"]}), "stands twice"),
    "too large": (_item(a={"S": "x" * 401 * 1024}), "larger than 400 KB"),
    "deep": (_item(a=json.loads('{"L":[' * 33 + '{"L":[]}' + "]}" * 33)), "nested deeper"),
    "doubled key": (_item()[:-2] + b',"pk":{"S":"y"}}}', "stands twice"),
    "doubled inside": (
        _item(a={"M": {}}).replace(b"{}", b'{"b":{"S":"1"},"b":{"S":"2"}}'),
        "twice",
    ),
    "doubled item": (_item()[:-1] + b',"Item":{}}', ""),
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_line_that_no_table_takes_is_found(patient: Patient, line: str) -> None:
    """The sentence names the file and the line, and says what is wrong with it."""
    content, said = BAD_LINES[line]
    lines = patient.set.lines()
    path = patient.set.write_lines([*lines[:2], content, *lines[3:]])
    patient.is_refused(f"Line 3 of the file '{path.relative_to(patient.place)}'", said)


BOMBS = """
import gzip, sys, zlib
from pathlib import Path
import zstandard
from core.backup.folder import FolderPlace
from core.backup.opening import open_backup
from core.backup.verifying import verify
from core.clock import system_random
from tests.damaging import SetFolder

MIB = 1024 * 1024

def gz(unit, times):
    member = gzip.compress(unit * (16 * MIB // len(unit)), 1)
    return member * (times // 16)

def zst(unit, times):
    made = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    parts = [made.compress(unit * (16 * MIB // len(unit))) for _ in range(times // 16)]
    return b"".join((*parts, made.flush()))

place = Path(sys.argv[1])
found = SetFolder(place / sys.argv[2])
first = found.data[0]
rows = found.rows()
for row in rows:
    if row["dataFileS3Key"].endswith(first.name):
        row["itemCount"] = 10**9
line = found.lines()[0]
twice = b'{"Item":{"pk":{"S":"x"},"sk":{"N":"1"}}}\\n'
for ending, pack in ((".gz", gz), (".zst", zst)):
    for unit in (b"x", b"\\n", b"{" , b'{"Item":{"'):
        path = first.with_name(first.name[:26] + ".json" + ending)
        for row in rows:
            if first.name[:26] in row["dataFileS3Key"]:
                row["dataFileS3Key"] = str(path.relative_to(place))
        for old in first.parent.glob(first.name[:26] + "*"):
            old.unlink()
        path.write_bytes(pack(unit, 512))
        found.write_rows(rows)
        found.forge(counts=True)
        done = verify(open_backup(FolderPlace(place), sys.argv[2], (), lambda: None),
                      place, system_random())
        assert len(done.problems) == 1 and path.name in done.problems[0], done.problems
        print(done.problems[0])
print(next(x for x in open("/proc/self/status") if x.startswith("VmHWM")).split()[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_bombs_are_told_within_little_memory(patient: Patient) -> None:
    """Files of some KiB that unpack to half a GiB, of one line or of empty ones."""
    done = subprocess.run(
        [sys.executable, "-c", BOMBS, str(patient.place), patient.set.id],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    *told, peak_kib = done.stdout.splitlines()
    assert len(told) == 8
    assert int(peak_kib) < 200 * 1024, peak_kib


def test_the_wrong_passphrase_is_told(
    originals: Originals, tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong one exits 6, none at all exits 2 and names the options."""
    place = FolderPlace(tmp_path / "b")
    bench = Bench(originals.session, f"{settings.project}-t", place, tmp_path)
    bench.make()
    bench.put([plain_item(1)])
    made = SetFolder(tmp_path / "b" / bench.take(Passphrase("right")))
    cli = MemoryCli(settings, capsys)
    patient = Patient(cli, originals.session, bench.table, tmp_path / "b", made, "-x")
    (tmp_path / "wrong").write_text("wrong\n")
    for run in (patient.verify, patient.restore):
        none = run()
        assert none.code == 2
        assert "--passphrase-file" in none.err
    patient.keys = ("--passphrase-file", str(tmp_path / "wrong"))
    # Once only: passphrases are slow on purpose.
    patient.is_refused("keys.json", "wrong one", restored=False)


def test_a_set_that_is_not_whole_says_so(patient: Patient) -> None:
    """Without set.json it is incomplete; while a run works on it, in progress."""
    patient.set.path("set.json").unlink()
    patient.is_refused("incomplete", "set.json")
    place = FolderPlace(patient.place)
    with PlaceLock(place, "A backup", SYSTEM_CLOCK, new_id) as lock:
        lock.note(patient.set.id)
        patient.is_refused("in progress", patient.set.id)
    patient.is_refused("incomplete")


def test_an_increment_whose_base_is_harmed_is_refused(
    originals: Originals, tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it builds on is read too: damaged, in part missing, or gone as a whole."""
    place = FolderPlace(tmp_path / "b")
    bench = Bench(originals.session, f"{settings.project}-t", place, tmp_path)
    bench.make(StreamSpecification=STREAM)
    bench.put([plain_item(number) for number in range(10)])
    base = SetFolder(tmp_path / "b" / bench.take())
    bench.put([plain_item(10)])
    made = SetFolder(tmp_path / "b" / bench.take(base=base.id))
    cli = MemoryCli(settings, capsys)
    patient = Patient(cli, originals.session, bench.table, tmp_path / "b", made, "-x")
    assert patient.verify().code == 0
    for kind in ("set.json", "data", "manifest-files.json"):
        whole = base.path(kind).read_bytes()
        path = base.flip(kind)
        patient.is_refused(base.id, path.name)
        path.unlink()
        patient.is_refused(base.id, path.name)
        path.write_bytes(whole)
    shutil.rmtree(base.folder)
    patient.is_refused(made.id, "builds on", f"{base.id}/set.json")
