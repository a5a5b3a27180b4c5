"""What can be wrong with the data of the memory: each kind by name, with its cure. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

KEYS = "keys agree with attributes"
TENANTS = "nobody in another's keys"
VECTORS = "every vector has its message"
INDEX = "the index shows each message"
EXPIRY = "nothing expired is shown"
CONTENTS = "contents are whole"
TYPES = "attributes have their types"
INVARIANTS = (KEYS, TENANTS, VECTORS, INDEX, EXPIRY, CONTENTS, TYPES)

REPAIR = "`ialctl validate --repair`"
_RESTORE = "Bring the message back from a backup: `ialctl restore`."


@dataclass(frozen=True)
class Kind:
    """A way in which an invariant does not hold.

    `violation` is False for what is worth a note and harms nothing; `repaired` says whether a
    repair puts it right.
    """

    name: str
    invariant: str
    sentence: str
    cure: str
    violation: bool = True
    repaired: bool = True


_ALL = (
    Kind(
        "misplaced_message",
        KEYS,
        "A message's day or sort key is not that of its time, role and id.",
        f"{REPAIR} moves it to its place, at the time that two of the three agree in.",
    ),
    Kind(
        "misplaced_vector",
        KEYS,
        "A vector stands in another partition than its id's, where nobody looks for it.",
        f"{REPAIR} removes it, and makes the one at its place where that is missing.",
    ),
    Kind(
        "foreign_message",
        TENANTS,
        "A message stands in one user's partition and names another user.",
        "Whose it is can't be told from it. Compare it with a backup (`ialctl restore` into new "
        "tables), then delete or restore it.",
        repaired=False,
    ),
    Kind(
        "foreign_vector",
        TENANTS,
        "A vector stands in one user's partition and names another user.",
        f"{REPAIR} makes it again from the message, or removes it where there is none.",
    ),
    Kind(
        "vector_without_message",
        VECTORS,
        "A vector and text stand of a message that does not.",
        f"{REPAIR} removes them.",
    ),
    Kind(
        "vector_disagrees",
        VECTORS,
        "A vector's session, time, role or message id are not its message's.",
        f"{REPAIR} writes those of the message.",
    ),
    Kind(
        "stale_vector",
        VECTORS,
        "A vector and text are of another content than their message has.",
        f"{REPAIR} makes them again from the message.",
    ),
    Kind(
        "damaged_vector",
        VECTORS,
        "A vector can't be read, or has not the dimensions it states.",
        f"{REPAIR} makes it again from the message.",
    ),
    Kind(
        "without_vector",
        VECTORS,
        "A message has no vector: it is found by its words only.",
        "`ialctl reindex` makes it.",
        violation=False,
        repaired=False,
    ),
    Kind(
        "row_without_message",
        INDEX,
        "The index names a message that does not stand.",
        f"{REPAIR} takes it out.",
    ),
    Kind(
        "row_without_item",
        INDEX,
        "The index names a message whose vector and text are missing.",
        f"{REPAIR} makes them again from the message.",
    ),
    Kind(
        "unindexed",
        INDEX,
        "A message is not in the index: no search finds it.",
        f"{REPAIR} indexes it.",
    ),
    Kind(
        "row_disagrees",
        INDEX,
        "The index names another session than its message has.",
        f"{REPAIR} indexes it again.",
    ),
    Kind(
        "damaged_entry",
        INDEX,
        "An entry of the index can't be read, or its words are missing.",
        f"{REPAIR} makes it again from the messages.",
    ),
    Kind(
        "expired_indexed",
        EXPIRY,
        "The index shows a message as living whose time to live has passed.",
        f"{REPAIR} takes it out.",
    ),
    Kind(
        "expiry_disagrees",
        EXPIRY,
        "A message and its vector or entry of the index expire at different times.",
        f"{REPAIR} gives them the message's.",
    ),
    Kind(
        "expired_standing",
        EXPIRY,
        "Items stand though their time to live passed over 48 hours ago.",
        "Is time to live on? `ialctl drift` tells. Nobody is shown them.",
        violation=False,
        repaired=False,
    ),
    Kind(
        "content_lost",
        CONTENTS,
        "A message's content is missing, incomplete, or can't be inflated.",
        _RESTORE,
        repaired=False,
    ),
    Kind(
        "content_changed",
        CONTENTS,
        "A message's content is not the one its hash was taken of.",
        _RESTORE,
        repaired=False,
    ),
    Kind(
        "wrong_summary",
        CONTENTS,
        "A message's summaries are not those of its content, or its hash is missing.",
        f"{REPAIR} writes them from the content.",
    ),
    Kind(
        "orphaned_parts",
        CONTENTS,
        "Parts of a large message stand that no message needs.",
        f"{REPAIR} removes them.",
    ),
    Kind(
        "unfinished_parts",
        CONTENTS,
        "Parts of a large message stand that may still get their message.",
        "Nobody reads them; those that were begun over an hour ago count as orphaned.",
        violation=False,
        repaired=False,
    ),
    Kind(
        "wrong_type",
        TYPES,
        "An item lacks an attribute that the engine needs, or has it of another type.",
        f"{_RESTORE} What it has instead, nobody can read.",
        repaired=False,
    ),
    Kind(
        "unknown_item",
        TYPES,
        "An item stands under keys that the memory has no use for.",
        "Did another program write it? Delete it if nobody needs it.",
        repaired=False,
    ),
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}
