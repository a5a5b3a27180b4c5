"""A set's keys open with what wrapped them and with nothing else, and show nobody a secret."""

from __future__ import annotations

import orjson
import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.aws.session import AwsSession
from core.backup.sealing import (
    Identities,
    KeySource,
    Kms,
    Passphrase,
    Recipients,
    SetKeys,
    make_keys,
    unlock,
)
from core.errors import DamagedError, UsageError

PASSPHRASE = Passphrase("correct horse")
IDENTITY = pyrage.x25519.Identity.generate()
KEY_FILE = Identities((f"# created: today\n# public key: x\n{IDENTITY}\n",))
RECIPIENT = Recipients((str(IDENTITY.to_public()),))
# A key wrapped by PASSPHRASE with a work factor of 10: ours takes seconds, on purpose.
QUICK = orjson.dumps(
    {
        "version": 1,
        "recipient": "age1d8u3t8t0h4sxj83f9hvjr3nl9gq8udmjmtse26ctw7ne6fztwpfsktts0f",
        "kind": "passphrase",
        "wrapped": """-----BEGIN AGE ENCRYPTED FILE-----
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCA1VDhYUVZPb1pGQllrdzNE
Ui83bEZBIDEwCjdCMDRkV2ZUZHl2YUFFVjdnNExBNkp0Z21SVjc2TmdKQThGWDRW
U0tIeWcKLS0tIGM4MWx3YmY3cFQyYkNRaWlxL0tjZnh2VjY2elhSa3ZlVmtwam0x
VEl5OTAKyjXgMe7Rf99ohLkmPL1LFuuv5i42sBEtYqZcwoZYWrxgUi2truayYfoV
0lf5M4sM2kFddcrQTHuIjmPs+HCgXQOmTLd6FIx+sODxcws4GmK+EQv79TFaMEFw
RBTHhCUfJ614OBu3TMjUZdU=
-----END AGE ENCRYPTED FILE-----
""",
    }
)


def no_session() -> AwsSession:
    """For what needs no AWS."""
    raise AssertionError("nothing here needs a session")


def altered(keys_file: bytes, **fields: object) -> bytes:
    """keys.json with other values."""
    return orjson.dumps({**orjson.loads(keys_file), **fields})


@pytest.fixture(scope="module")
def by_passphrase() -> SetKeys:
    """A set's keys wrapped by the passphrase: made once, scrypt is slow on purpose."""
    return make_keys(PASSPHRASE, no_session)


@pytest.mark.parametrize(("source", "key"), [(KEY_FILE, KEY_FILE), (RECIPIENT, KEY_FILE)])
def test_what_was_sealed_opens_with_the_key(source: KeySource, key: KeySource) -> None:
    """Keys wrapped to a recipient are opened by its identity, and so is what they sealed."""
    made = make_keys(source, no_session)
    opened = unlock(made.wrapped, [key], no_session)
    assert opened.can_open
    assert opened.recipient == made.recipient
    assert opened.open(made.seal(b"data")) == b"data"
    assert made.open(opened.seal(b"")) == b""


def test_a_passphrase_opens_what_it_wrapped(by_passphrase: SetKeys) -> None:
    """The same passphrase opens the set again."""
    opened = unlock(by_passphrase.wrapped, [PASSPHRASE], no_session)
    assert opened.open(by_passphrase.seal(b"data")) == b"data"


def test_one_of_several_passphrases_opens() -> None:
    """Each is tried; the work factor is that of the file."""
    opened = unlock(QUICK, [Passphrase("another"), PASSPHRASE], no_session)
    assert opened.open(opened.seal(b"data")) == b"data"


def test_age_alone_opens_everything(by_passphrase: SetKeys) -> None:
    """Nothing but the age format is used: its own library opens the key, then the file."""
    wrapped = orjson.loads(by_passphrase.wrapped)["wrapped"]
    assert wrapped.startswith("-----BEGIN AGE ENCRYPTED FILE-----\n")
    text = pyrage.passphrase.decrypt(wrapped.encode(), PASSPHRASE.text).decode().strip()
    sealed = by_passphrase.seal(b"data")
    assert sealed.startswith(b"age-encryption.org/v1\n-> X25519 ")
    assert pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(text)]) == b"data"


def test_the_slow_work_is_done_once_a_set(
    by_passphrase: SetKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealing and opening files never works on the passphrase."""
    monkeypatch.delattr(pyrage, "passphrase")
    for _ in range(200):
        assert by_passphrase.open(by_passphrase.seal(b"data")) == b"data"


def test_kms_wraps_and_opens(aws: AwsSession) -> None:
    """A key of KMS wraps a set's key; the one who may use it needs nothing else."""
    key = aws.client("kms").create_key()["KeyMetadata"]["KeyId"]
    made = make_keys(Kms(key), aws)
    opened = unlock(made.wrapped, [], lambda: aws)
    assert opened.open(made.seal(b"data")) == b"data"
    with pytest.raises(DamagedError, match=r"keys\.json"):
        unlock(altered(made.wrapped, wrapped="AAAA"), [], aws)
    with pytest.raises(DamagedError, match="base64"):
        unlock(altered(made.wrapped, wrapped="§"), [], aws)
    with pytest.raises(DamagedError, match="names no key"):
        unlock(altered(made.wrapped, key_id=None), [], aws)


def test_recipients_alone_can_only_seal() -> None:
    """A machine without the secret key makes backups that it can't read."""
    made = make_keys(RECIPIENT, no_session)
    again = unlock(made.wrapped, [RECIPIENT], no_session)
    assert not again.can_open
    assert made.open(again.seal(b"data")) == b"data"
    with pytest.raises(UsageError, match="encrypted with age recipients") as caught:
        again.open(again.seal(b"data"))
    assert "--key-file" in str(caught.value.cure)


def test_wrong_keys_are_told_as_such() -> None:
    """Another passphrase or identity is refused in words that leave both causes open."""
    with pytest.raises(DamagedError, match="wrong one, or the file"):
        unlock(QUICK, [Passphrase("wrong")], no_session)
    other = Identities((str(pyrage.x25519.Identity.generate()),))
    with pytest.raises(DamagedError, match="not one of its recipients"):
        unlock(make_keys(RECIPIENT, no_session).wrapped, [other], no_session)


def test_no_key_names_the_options(by_passphrase: SetKeys) -> None:
    """Whoever gave nothing is told what to give."""
    with pytest.raises(UsageError, match="a passphrase") as caught:
        unlock(by_passphrase.wrapped, [KEY_FILE], no_session)
    assert "--passphrase-file" in str(caught.value.cure)
    assert "IAL_BACKUP_PASSPHRASE" in str(caught.value.cure)
    with pytest.raises(UsageError, match="recipients") as caught:
        unlock(make_keys(RECIPIENT, no_session).wrapped, [PASSPHRASE], no_session)
    assert "--key-file" in str(caught.value.cure)


@pytest.mark.parametrize(
    "wrapped",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version":1}',
        b'{"version":1,"kind":"x","recipient":"age1","wrapped":""}',
        b'{"version":1,"kind":"passphrase","recipient":"age1","wrapped":""}',
        b'{"version":1,"kind":["passphrase"],"recipient":"age1","wrapped":""}',
        b'{"version":2}',
    ],
)
def test_damaged_keys_are_told_as_such(wrapped: bytes) -> None:
    """Whatever keys.json may hold instead of keys is damage that names the file."""
    with pytest.raises(DamagedError, match=r"keys\.json"):
        unlock(wrapped, [PASSPHRASE], no_session)


def test_a_recipient_that_was_exchanged_is_noticed() -> None:
    """Nobody can slip in a recipient of theirs: it has to be that of the wrapped identity."""
    wrapped = make_keys(RECIPIENT, no_session).wrapped
    with pytest.raises(DamagedError, match="not that of its recipient"):
        unlock(altered(wrapped, recipient=RECIPIENT.texts[0]), [KEY_FILE], no_session)


@given(st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=60)
def test_an_altered_wrapped_key_never_opens(position: int, change: int) -> None:
    """A byte changed anywhere in the wrapped key is refused, or made no difference to the key."""
    made = make_keys(RECIPIENT, no_session)
    text = bytearray(orjson.loads(made.wrapped)["wrapped"].encode())
    text[position % len(text)] ^= change
    try:
        held = bytes(text).decode("latin-1")
        opened = unlock(altered(made.wrapped, wrapped=held), [KEY_FILE], no_session)
    except DamagedError:
        return
    assert opened.open(made.seal(b"data")) == b"data"


@given(st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=60)
def test_an_altered_file_never_opens(position: int, change: int) -> None:
    """A byte changed anywhere in a sealed file is damage; so is a file cut short."""
    made = make_keys(RECIPIENT, no_session)
    sealed = bytearray(made.seal(b"some data"))
    sealed[position % len(sealed)] ^= change
    with pytest.raises(DamagedError, match="can't be opened"):
        made.open(bytes(sealed))
    with pytest.raises(DamagedError, match="can't be opened"):
        made.open(made.seal(b"some data")[: position % 20])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (Passphrase(""), "empty"),
        (Recipients(()), "No age recipient"),
        (Recipients(("age1nonsense",)), "no age recipient"),
        (Recipients(("ssh-rsa x",)), "no age recipient"),
        (Recipients(("AGE-SECRET-KEY-1NONSENSE",)), "secret key was given"),
        (Identities(("",)), "no age key file"),
        (Identities(("my secret\n",)), "no age key file"),
        (Identities(("AGE-SECRET-KEY-1NONSENSE",)), "no age key file"),
    ],
)
def test_what_is_no_key_is_refused_without_showing_it(source: KeySource, reason: str) -> None:
    """A wrong key is a wrong use, told without a word of what may be secret."""
    with pytest.raises(UsageError, match=reason) as caught:
        make_keys(source, no_session)
    assert "my secret" not in caught.value.what
    assert "NONSENSE" not in caught.value.what


def test_nothing_shows_a_secret(by_passphrase: SetKeys) -> None:
    """What is printed of keys and their sources, in logs or tracebacks, holds none of them."""
    shown = repr([by_passphrase, PASSPHRASE, KEY_FILE, make_keys(KEY_FILE, no_session)])
    assert PASSPHRASE.text not in shown
    assert "AGE-SECRET-KEY" not in shown
    assert "AGE ENCRYPTED" not in shown


SSH_PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFYpjDbByxok5jDOsSXAukjSM6Z1vLLklJ1OxeqeGymh test"
# Made for this test, and used nowhere else.
SSH_SECRET = """-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACBWKYw2wcsaJOYwzrElwLpI0jOmdbyy5JSdTsXqnhspoQAAAIiWiI1aloiN
WgAAAAtzc2gtZWQyNTUxOQAAACBWKYw2wcsaJOYwzrElwLpI0jOmdbyy5JSdTsXqnhspoQ
AAAECzfnCsg7XXWRCwy7sVPVo108pH8CbRi17F72ySst5VHlYpjDbByxok5jDOsSXAukjS
M6Z1vLLklJ1OxeqeGymhAAAABHRlc3QB
-----END OPENSSH PRIVATE KEY-----
"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_what_is_sealed_for_an_ssh_key_is_opened_with_it(line_end: str) -> None:
    """SSH keys are recipients as age's own are; the secret one is given as a key file."""
    made = make_keys(Recipients((SSH_PUBLIC,)), no_session)
    key_file = Identities((SSH_SECRET.replace("\n", line_end),))
    again = unlock(made.wrapped, [key_file], no_session)
    assert again.open(made.seal(b"data")) == b"data"
    with pytest.raises(DamagedError, match="not one of its recipients"):
        unlock(make_keys(RECIPIENT, no_session).wrapped, [key_file], no_session)
    with pytest.raises(UsageError, match="can't make them") as caught:
        make_keys(key_file, no_session)
    assert "--recipient" in str(caught.value.cure)


def test_an_ssh_key_that_cannot_be_used_is_told() -> None:
    """Cut short, or locked: a wrong use, without a word of the key."""
    made = make_keys(Recipients((SSH_PUBLIC,)), no_session)
    with pytest.raises(UsageError, match="passphrase of its own") as caught:
        unlock(made.wrapped, [Identities((SSH_SECRET[:120],))], no_session)
    assert SSH_SECRET[60:80] not in str(caught.value)
