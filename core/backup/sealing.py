"""Encryption of a set, in the age format (https://age-encryption.org/v1).

A set has an identity of its own, made once; its files are encrypted to it. `keys.json` holds that
identity, wrapped: by a passphrase, to age recipients, or by a key of AWS KMS. So the slow work of
a passphrase is done once a set, and `age` alone can open everything. What `age` needs stands
there as text: `jq -r .wrapped keys.json | age -d > identity; age -d -i identity FILE`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson
import pyrage

from core.aws.session import AwsSession
from core.errors import AwsError, DamagedError, NotFoundError, UsageError

VERSION = 1
_KMS_REFUSALS = ("InvalidCiphertextException", "IncorrectKeyException")
_NEED = {
    "passphrase": (
        "a passphrase",
        "Give it: `--passphrase-file FILE`, or the environment's IAL_BACKUP_PASSPHRASE.",
    ),
    "recipients": ("age recipients", "Give the key file of one of them: `--key-file FILE`."),
}


@dataclass(frozen=True)
class Passphrase:
    """Whoever knows the text can open the set."""

    text: str = field(repr=False)


@dataclass(frozen=True)
class Identities:
    """Contents of age key files, or of SSH private keys; whoever has one can open the set."""

    texts: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class Recipients:
    """age or SSH public keys: enough to make a set, not to open it."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Kms:
    """A key of AWS KMS: whoever may call `kms:Decrypt` with it can open the set."""

    key_id: str


KeySource: TypeAlias = Passphrase | Identities | Recipients | Kms
Session: TypeAlias = AwsSession | Callable[[], AwsSession]
"""A session, or what makes one when it is needed: only KMS does."""


@dataclass(frozen=True)
class SetKeys:
    """The keys of one set; `wrapped` is what keys.json holds. Thread-safe."""

    wrapped: bytes = field(repr=False)
    recipient: str
    _identity: Any = field(default=None, repr=False)

    @property
    def can_open(self) -> bool:
        """Whether what was sealed can be opened too."""
        return self._identity is not None

    def seal(self, data: bytes) -> bytes:
        """The data as an age file."""
        sealed: bytes = pyrage.encrypt(data, [_recipient(self.recipient)])
        return sealed

    def open(self, data: bytes) -> bytes:
        """What an age file of this set holds.

        Raises:
            DamagedError: it was altered, cut short, or belongs to another set.
            UsageError: the keys at hand can only seal.
        """
        if self._identity is None:
            raise _missing("recipients")
        try:
            opened: bytes = pyrage.decrypt(data, [self._identity])
        except pyrage.DecryptError:
            raise DamagedError(
                "An encrypted file can't be opened with its set's key: it was altered, is cut "
                "short, or belongs to another set."
            ) from None
        return opened


def make_keys(source: KeySource, session: Session) -> SetKeys:
    """Fresh keys for one set, wrapped so that `source` opens them.

    Raises:
        UsageError: the passphrase is empty, or a key is none of age's.
        IalError: KMS can't be reached or refuses the key.
    """
    identity = pyrage.x25519.Identity.generate()
    recipient = str(identity.to_public())
    wrapped = {
        "version": VERSION,
        "recipient": recipient,
        **_wrap(source, str(identity), recipient, session),
    }
    return SetKeys(orjson.dumps(wrapped, option=orjson.OPT_APPEND_NEWLINE), recipient, identity)


def unlock(wrapped: bytes, sources: Sequence[KeySource], session: Session) -> SetKeys:
    """The keys of a set, by whichever source fits how they were wrapped.

    A set made for recipients can be gone on with by `Recipients` alone; such keys only seal.

    Raises:
        DamagedError: the wrapped keys are damaged, or what was given does not open them.
        UsageError: nothing was given that could open them; names the options.
    """
    found = _read(wrapped)
    recipient, kind = found["recipient"], found["kind"]
    if kind == "recipients" and not _of(sources, Identities) and _of(sources, Recipients):
        return SetKeys(wrapped, recipient)
    text = _UNWRAP[kind](found, sources, session)
    try:
        identity = pyrage.x25519.Identity.from_str(text.strip())
    except pyrage.IdentityError:
        raise _damaged("what is wrapped is no age identity") from None
    if str(identity.to_public()) != recipient:
        raise _damaged("the wrapped identity is not that of its recipient")
    return SetKeys(wrapped, recipient, identity)


def _read(wrapped: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(wrapped)
    except orjson.JSONDecodeError:
        raise _damaged("it is not JSON") from None
    if not isinstance(found, dict) or not isinstance(found.get("version"), int):
        raise _damaged("it holds no keys")
    if found["version"] > VERSION:
        raise DamagedError(
            f"The file 'keys.json' is of version {found['version']}; this ialctl knows {VERSION}.",
            "Use the newer ialctl that made the backup.",
        )
    texts = ("recipient", "kind", "wrapped")
    if any(not isinstance(found.get(name), str) for name in texts) or found["kind"] not in _UNWRAP:
        raise _damaged("it holds no keys")
    try:
        pyrage.x25519.Recipient.from_str(found["recipient"])
    except pyrage.RecipientError:
        raise _damaged("its recipient is none of age's") from None
    return found


def _wrap(source: KeySource, identity: str, recipient: str, session: Session) -> dict[str, Any]:
    secret = f"{identity}\n".encode()
    match source:
        case Passphrase(text):
            if not text:
                raise UsageError(
                    "The passphrase is empty.", "Choose one that nobody guesses, and keep it safe."
                )
            sealed = pyrage.passphrase.encrypt(secret, text, armored=True)
            return {"kind": "passphrase", "wrapped": sealed.decode()}
        case Kms(key_id):
            answer = (
                _session(session)
                .client("kms")
                .encrypt(KeyId=key_id, Plaintext=secret, EncryptionContext=_context(recipient))
            )
            blob = base64.b64encode(answer["CiphertextBlob"]).decode()
            return {"kind": "kms", "key_id": str(answer["KeyId"]), "wrapped": blob}
        case Identities(texts):
            public = [_public(i) for text in texts for i in _identities(text)]
        case Recipients(texts):
            public = [text.strip() for text in texts]
    if not public:
        raise UsageError("No age recipient was given.", "Name one, or give a key file.")
    sealed = pyrage.encrypt(secret, [_recipient(text) for text in public], armored=True)
    return {"kind": "recipients", "to": public, "wrapped": sealed.decode()}


def _by_passphrase(found: Mapping[str, Any], sources: Sequence[KeySource], session: Session) -> str:
    del session
    given = [source.text for source in _of(sources, Passphrase)]
    if not given:
        raise _missing("passphrase")
    for text in given:
        try:
            opened: bytes = pyrage.passphrase.decrypt(found["wrapped"].encode(), text)
        except pyrage.DecryptError:
            continue
        return _text(opened)
    raise DamagedError(
        "The backup can't be opened with this passphrase: it is the wrong one, or the file "
        "'keys.json' is damaged.",
        "Try the right one: `--passphrase-file FILE` or IAL_BACKUP_PASSPHRASE.",
    )


def _by_identity(found: Mapping[str, Any], sources: Sequence[KeySource], session: Session) -> str:
    del session
    given = [i for s in _of(sources, Identities) for text in s.texts for i in _identities(text)]
    if not given:
        raise _missing("recipients")
    try:
        opened: bytes = pyrage.decrypt(found["wrapped"].encode(), given)
    except pyrage.DecryptError:
        raise DamagedError(
            "The backup can't be opened with this key: it is not one of its recipients, or the "
            "file 'keys.json' is damaged.",
            "Give another key file: `--key-file FILE`.",
        ) from None
    return _text(opened)


def _by_kms(found: Mapping[str, Any], sources: Sequence[KeySource], session: Session) -> str:
    del sources
    key_id = found.get("key_id")
    try:
        blob = base64.b64decode(found["wrapped"], validate=True)
    except ValueError:  # binascii.Error, and characters that are not ASCII
        raise _damaged("the wrapped key is not base64") from None
    if not isinstance(key_id, str):
        raise _damaged("it names no key of KMS")
    try:
        answer = (
            _session(session)
            .client("kms")
            .decrypt(
                KeyId=key_id, CiphertextBlob=blob, EncryptionContext=_context(found["recipient"])
            )
        )
    except NotFoundError as error:
        error.cure = f"The key {key_id} has wrapped this backup; without it nothing opens it."
        raise
    except AwsError as error:
        if error.code not in _KMS_REFUSALS:
            raise
        raise _damaged(f"KMS can't open what it holds ({error.code})") from error
    return _text(answer["Plaintext"])


_Unwrap: TypeAlias = Callable[[Mapping[str, Any], Sequence[KeySource], Session], str]
_UNWRAP: Mapping[str, _Unwrap] = {
    "passphrase": _by_passphrase,
    "recipients": _by_identity,
    "kms": _by_kms,
}


def _context(recipient: str) -> dict[str, str]:
    # Bound to it by KMS: a wrapped key that was moved to another set does not open.
    return {"ialctl:backup": recipient}


def _of(sources: Sequence[KeySource], kind: type[Any]) -> list[Any]:
    return [source for source in sources if isinstance(source, kind)]


def _session(session: Session) -> AwsSession:
    return session if isinstance(session, AwsSession) else session()


def _text(opened: bytes) -> str:
    try:
        return opened.decode("ascii")
    except UnicodeDecodeError:
        raise _damaged("what is wrapped is no age identity") from None


def _recipient(text: str) -> Any:
    if text.upper().startswith("AGE-SECRET-KEY-"):
        # Never a word of it.
        raise UsageError(
            "A secret key was given as an age recipient.",
            "Name its public key: `age-keygen -y key.txt` prints it; or use `--key-file`.",
        )
    kind = pyrage.ssh if text.startswith("ssh-") else pyrage.x25519
    try:
        return kind.Recipient.from_str(text)
    except pyrage.RecipientError:
        raise UsageError(
            f"'{text:.80}' is no age recipient.", "They begin with age1 or ssh-."
        ) from None


def _identities(text: str) -> list[Any]:
    """The identities of an age key file, one a line, comments beside them; or an SSH key."""
    if text.lstrip().startswith("-----BEGIN"):
        return [_ssh_identity(text)]
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    try:
        found = [pyrage.x25519.Identity.from_str(line) for line in lines]
    except pyrage.IdentityError:
        found = []
    if not found:
        # Never a word of the file itself: it may be a secret all the same.
        raise UsageError(
            "The key file is no age key file: it has lines other than AGE-SECRET-KEY-1….",
            "Make one: `age-keygen -o key.txt`.",
        )
    return found


def _ssh_identity(text: str) -> Any:
    try:
        return pyrage.ssh.Identity.from_buffer(text.encode())
    except pyrage.IdentityError:
        raise UsageError(
            "The key file is an SSH key that can't be used: it has a passphrase of its own, is "
            "neither of ed25519 nor of RSA, or is cut short.",
            "Take the passphrase off a copy of it: `ssh-keygen -p -N '' -f COPY`.",
        ) from None


def _public(identity: Any) -> str:
    if isinstance(identity, pyrage.ssh.Identity):
        raise UsageError(
            "The key file is an SSH key, which opens backups, and can't make them.",
            'Name its public key: `--recipient "$(cat KEY.pub)"`.',
        )
    return str(identity.to_public())


def _missing(kind: str) -> UsageError:
    what, cure = _NEED[kind]
    return UsageError(f"The backup is encrypted with {what}, and no such key was given.", cure)


def _damaged(reason: str) -> DamagedError:
    return DamagedError(f"The file 'keys.json' is damaged: {reason}.")
