"""The launcher's words: those that are replaced are there, and what replaces them fits."""

from __future__ import annotations

import importlib.util
import platform
import re
import sys
from pathlib import Path

import pytest

from scripts.building.launcher import TEXTS, say_it_clearly

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux's launcher is changed")


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    """PyInstaller's own launcher, as it is put before what it carries."""
    package = importlib.util.find_spec("PyInstaller")
    assert package is not None
    assert package.origin is not None
    folders = Path(package.origin).parent / "bootloader"
    bits = platform.architecture()[0]
    found = next(folder for folder in folders.glob(f"Linux-{bits}-*") if "musl" not in folder.name)
    copy = tmp_path / "run"
    copy.write_bytes((found / "run").read_bytes() + b"what it carries")
    return copy


def test_every_text_is_replaced_and_nothing_else(launcher: Path) -> None:
    """A new PyInstaller with other texts fails here, and not at a user's."""
    before = launcher.read_bytes()
    say_it_clearly(launcher)
    after = launcher.read_bytes()
    assert len(after) == len(before)
    changed = sum(a != b for a, b in zip(before, after, strict=True))
    assert 0 < changed <= sum(len(old) + 1 for old in TEXTS)
    for old, new in TEXTS.items():
        assert old.encode() not in after
        assert f"{new}\n\0".encode() in after


@pytest.mark.parametrize("old", TEXTS)
def test_a_text_takes_the_same_arguments_and_no_more_room(old: str) -> None:
    """They are C's formats: another argument would be read from where there is none."""
    assert len(TEXTS[old]) <= len(old)
    taken = [re.findall(r"%\w", text) for text in (old, TEXTS[old])]
    assert taken[1] == taken[0][: len(taken[1])]
