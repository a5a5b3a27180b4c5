"""Keys of backups as people give them: files of any editor, variables that are not set."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.backup.sealing import Identities, KeySource, Kms, Passphrase
from core.errors import UsageError
from core.settings import load_settings
from ialctl.backing_up import KeyOptions, opening_sources, sealing_source
from ialctl.context import AppContext
from ialctl.output import Output


def context_of(folder: Path, **environment: str) -> AppContext:
    """A run of the tool in such an environment."""
    loaded = load_settings({}, {"HOME": str(folder), **environment}, folder)
    return AppContext(loaded, Output())


def source(folder: Path, options: KeyOptions, **environment: str) -> KeySource | None:
    """Whose keys a backup is sealed for."""
    return sealing_source(context_of(folder, **environment), options)


@pytest.mark.parametrize(
    "content", [b"sesame", b"sesame\n", b"sesame\r\n", b"\xef\xbb\xbfsesame\r\nsecond line\r\n"]
)
def test_a_passphrase_is_the_same_from_any_editor(tmp_path: Path, content: bytes) -> None:
    """Line ends of Windows and a byte order mark are no part of it."""
    file = tmp_path / "secret.txt"
    file.write_bytes(content)
    assert source(tmp_path, KeyOptions(passphrase_file=file)) == Passphrase("sesame")
    assert source(tmp_path, KeyOptions(), IAL_BACKUP_PASSPHRASE="sesame") == Passphrase("sesame")


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf", b"  \r\n"])
def test_a_file_without_a_passphrase_is_refused(tmp_path: Path, content: bytes) -> None:
    """Blanks alone are none either."""
    file = tmp_path / "secret.txt"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="holds no passphrase"):
        source(tmp_path, KeyOptions(passphrase_file=file))


def test_a_key_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """It is no part of its first line."""
    file = tmp_path / "key.txt"
    file.write_bytes(b"\xef\xbb\xbf# created: today\r\nAGE-SECRET-KEY-1X\r\n")
    expected = Identities(("# created: today\r\nAGE-SECRET-KEY-1X\r\n",))
    assert source(tmp_path, KeyOptions(key_file=file)) == expected


def test_an_empty_key_never_makes_a_backup_in_the_clear(tmp_path: Path) -> None:
    """A variable that was to hold it and is not set: refused, unless another key is given."""
    with pytest.raises(UsageError, match="in the clear"):
        source(tmp_path, KeyOptions(), IAL_BACKUP_PASSPHRASE="")
    with pytest.raises(UsageError, match="in the clear"):
        source(tmp_path, KeyOptions(kms_key=""))
    given = KeyOptions(kms_key="alias/k")
    assert source(tmp_path, given, IAL_BACKUP_PASSPHRASE="") == Kms("alias/k")
    assert source(tmp_path, KeyOptions()) is None
    assert not [*opening_sources(context_of(tmp_path, IAL_BACKUP_PASSPHRASE=""), KeyOptions())]
