"""No id reaches into another's cache keys, and no bytes are taken for what they are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.cache.envelope import RubbishError, fingerprint, seal, unseal
from core.cache.namespace import Namespace
from core.cache.plans import Message, decode_message
from core.errors import UsageError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
hostile = st.text(st.sampled_from("a:{}%3Avt/ial"), max_size=8)
names = texts | hostile


@given(names, names, names, names, names, names)
def test_keys_of_different_names_differ(p: str, k: str, n: str, q: str, j: str, m: str) -> None:
    """Project, kind and name are read back from a key in one way only; kinds of keys differ."""
    one, other = Namespace(p, k), Namespace(q, j)
    if (p, k, n) != (q, j, m):
        assert one.value(n) != other.value(m)
        assert one.tag(n) != other.tag(m)
    assert one.value(n) != other.tag(m)
    assert len({one.value(n), one.tag(n), one.everything, one.bus}) == 4
    if (p, k) != (q, j):
        assert not other.value(m).startswith(one.prefix)
        assert one.bus != other.bus


@given(names, st.binary(max_size=200) | st.none(), st.binary(min_size=16, max_size=16))
def test_envelopes_round_trip(key: str, payload: bytes | None, mark: bytes) -> None:
    """What was sealed is unsealed as it was, None apart from nothing."""
    sealed = unseal(key, seal(key, mark, payload))
    assert (sealed.payload, sealed.fingerprint) == (payload, mark)


@given(st.binary(max_size=100), st.data())
def test_any_damage_is_noticed(payload: bytes, data: st.DataObject) -> None:
    """One byte changed, cut or added, or another key: rubbish, never a wrong value."""
    raw = seal("key", b"m" * 16, payload)
    at = data.draw(st.integers(0, len(raw) - 1))
    changed = bytes([raw[at] ^ data.draw(st.integers(1, 255))])
    for bad in (raw[:at], raw + b"x", raw[:at] + changed + raw[at + 1 :]):
        with pytest.raises(RubbishError):
            unseal("key", bad)
    with pytest.raises(RubbishError):
        unseal("other", raw)


@given(st.binary(max_size=100))
def test_random_bytes_are_rubbish(raw: bytes) -> None:
    """Whatever lies in Redis is refused, or was sealed by us."""
    with pytest.raises(RubbishError):
        unseal("key", raw)


@given(st.lists(st.binary(max_size=5)), st.lists(st.binary(max_size=5)))
def test_fingerprints_tell_lists_apart(one: list[bytes], other: list[bytes]) -> None:
    """Tokens can't be shifted from one to the next."""
    assert (fingerprint(b"s", one) == fingerprint(b"s", other)) == (one == other)


@given(st.binary(max_size=40))
def test_any_message_is_understood(raw: bytes) -> None:
    """A message of ours comes back as it was; any other means everything, or is well formed."""
    ours = Message("me", ("a", "b"))
    assert decode_message(ours.encode()) == ours
    assert isinstance(decode_message(raw), Message)


def test_half_a_surrogate_pair_is_refused() -> None:
    """A key that is not text is an error that says so."""
    with pytest.raises(UsageError, match="surrogate"):
        Namespace("p", "k").value("\ud800")
