"""The list of what is inside the binary."""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import msgspec
import numpy
import pytest
import yaml

from scripts.building.contents import licence, write_contents

EPOCH_S = 1_700_000_000


@pytest.fixture
def entries(tmp_path: Path) -> list[dict[str, str]]:
    """A few things as `ialctl.spec` notes them."""
    numpys = Path(numpy.__file__)
    shared = next(numpys.parent.glob("_core/_multiarray_umath*"))
    stripped = tmp_path / "stripped.so"
    stripped.write_bytes(b"less")
    chart, foreign = tmp_path / "chart.js", tmp_path / "libforeign.so.1"
    chart.write_text("/*! https://github.com/leeoniya/uPlot (v1.6.32) */\nvar uPlot;")
    (tmp_path / "chart-LICENSE").write_text("The MIT License (MIT)\n")
    foreign.write_bytes(b"foreign")
    return [
        entry("numpy", numpys, "PYMODULE"),
        entry("numpy/_core/_multiarray_umath.so", shared, "EXTENSION", stripped),
        entry("yaml", Path(yaml.__file__), "PYMODULE"),
        entry("json", Path(json.__file__), "PYMODULE"),
        entry("python3.11/lib-dynload/_json.so", foreign, "EXTENSION"),
        entry("libforeign.so.1", foreign, "BINARY"),
        entry("core/benchmark/report/chart.js", chart, "DATA"),
        entry("core.errors", Path(sys.path[0]) / "core" / "errors.py", "PYMODULE"),
    ]


def entry(name: str, source: Path, kind: str, shipped: Path | None = None) -> dict[str, str]:
    """One thing inside."""
    return {"name": name, "source": str(source), "shipped": str(shipped or source), "kind": kind}


@pytest.fixture
def document(entries: list[dict[str, str]], tmp_path: Path) -> dict[str, Any]:
    """The document of those."""
    (tmp_path / "contents.json").write_bytes(msgspec.json.encode(entries))
    made = write_contents(tmp_path / "contents.json", tmp_path / "made.json", EPOCH_S)
    loaded: dict[str, Any] = json.loads(made.read_text())
    return loaded


def test_it_lists_what_is_inside_and_nothing_else(document: dict[str, Any]) -> None:
    """Libraries of which something is inside, Python, the system's, those of the pages."""
    found = {one["name"]: one for one in document["components"]}
    assert set(found) == {"numpy", "pyyaml", "python", "libforeign.so.1", "uPlot"}
    assert found["numpy"]["version"] == numpy.__version__
    assert found["numpy"]["purl"] == f"pkg:pypi/numpy@{numpy.__version__}"
    assert found["pyyaml"]["licenses"][0]["license"] == {"id": "MIT"}
    assert found["uPlot"]["licenses"][0]["license"] == {"id": "MIT"}
    assert found["uPlot"]["purl"] == "pkg:github/leeoniya/uPlot@1.6.32".lower()
    assert [one["name"] for one in found["python"]["components"]] == [
        "python3.11/lib-dynload/_json.so"
    ]
    assert all(one["hashes"] for one in found.values())


def test_a_shared_object_has_the_hash_of_the_bytes_that_are_shipped(
    document: dict[str, Any],
) -> None:
    """Not of the file that was installed: symbols were taken out of it."""
    library = next(one for one in document["components"] if one["name"] == "numpy")
    [shared] = library["components"]
    assert shared["hashes"][0]["content"] == hashlib.sha256(b"less").hexdigest()


def test_the_same_contents_give_the_same_document(document: dict[str, Any], tmp_path: Path) -> None:
    """Nothing in it is drawn, or read from the clock."""
    again = write_contents(tmp_path / "contents.json", tmp_path / "again.json", EPOCH_S)
    assert json.loads(again.read_text()) == document


@pytest.mark.parametrize(
    ("library", "says"), [("numpy", "BSD-3-Clause"), ("redis", "MIT"), ("pyrage", "MIT")]
)
def test_a_licence_is_found_wherever_a_library_says_it(library: str, says: str) -> None:
    """As an expression, by a classifier, or in its own file alone."""
    assert says in licence(distribution(library))
