"""What tests of backups share: items of every shape that DynamoDB can hold."""

from __future__ import annotations

import base64
from typing import Any

import pyrage
from hypothesis import strategies as st

from core.backup.sealing import Identities
from core.transfer.canonical import canonical_number
from core.transfer.lines import Keys

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
numbers = st.one_of(
    st.integers(-(10**38) + 1, 10**38 - 1).map(str),
    st.builds(
        "{}{}.{}".format, st.sampled_from(["", "-"]), st.integers(0, 10**18), st.integers(0, 10**18)
    ),
    st.builds("{}E{}".format, st.integers(-(10**20), 10**20), st.integers(-130, 105)),
    st.floats(-1e20, 1e20).map(repr),
).filter(lambda text: canonical_number(text) is not None)
binaries = st.binary(max_size=40).map(lambda held: base64.b64encode(held).decode())
scalars = st.one_of(
    texts.map(lambda held: {"S": held}),
    numbers.map(lambda held: {"N": held}),
    binaries.map(lambda held: {"B": held}),
    st.booleans().map(lambda held: {"BOOL": held}),
    st.just({"NULL": True}),
    st.lists(texts, min_size=1, max_size=4, unique=True).map(lambda held: {"SS": held}),
    st.lists(binaries, min_size=1, max_size=4, unique=True).map(lambda held: {"BS": held}),
    st.lists(numbers, min_size=1, max_size=4, unique_by=canonical_number).map(
        lambda held: {"NS": held}
    ),
)
"""Values of every type but lists and maps, in DynamoDB's JSON."""
values: st.SearchStrategy[dict[str, Any]] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5).map(lambda held: {"L": held}),
        st.dictionaries(names, inner, max_size=4).map(lambda held: {"M": held}),
        st.lists(numbers, max_size=20).map(lambda held: {"L": [{"N": n} for n in held]}),
    ),
    max_leaves=12,
)
"""Values of every type, in DynamoDB's JSON."""

KEYS = Keys((("pk", "S"), ("sk", "N")))


def wire_items(keys: Keys = KEYS) -> st.SearchStrategy[dict[str, Any]]:
    """Items of every shape, each with the key attributes of `keys`."""
    key = {
        "S": texts.filter(bool).map(lambda held: {"S": held}),
        "N": numbers.map(lambda held: {"N": held}),
        "B": binaries.filter(bool).map(lambda held: {"B": held}),
    }
    others = st.dictionaries(names, values, max_size=6)
    own = st.fixed_dictionaries({name: key[kind] for name, kind in keys.attributes})
    return st.builds(lambda a, b: {**a, **b}, others, own)


def plain_item(number: int, filling: int = 900) -> dict[str, Any]:
    """An item of about 1 KB and eight attributes, told apart by its number."""
    return {
        "pk": {"S": f"user-{number % 997}"},
        "sk": {"N": str(number)},
        "content": {"S": f"{number} " + "x" * filling},
        "role": {"S": "user"},
        "tokens": {"N": "123"},
        "session_id": {"S": f"s-{number % 7}"},
        "flag": {"BOOL": True},
        "metadata": {"M": {"source": {"S": "test"}}},
    }


def age_key() -> Identities:
    """A new age key: it opens at once, where a passphrase takes a second each time."""
    return Identities((str(pyrage.x25519.Identity.generate()),))
