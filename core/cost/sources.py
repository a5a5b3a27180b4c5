"""Which profiles are used: a named benchmark's, else the newest one's, else those shipped."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from core.cost.measured import LEGACY_INLINE, SHIPPED
from core.cost.profile import LAYOUTS, Profile
from core.errors import StorageError, UsageError

INLINE = "legacy_inline"
"""The member of `profiles` for legacy items that carry their vectors; may be left out."""
MOST_BYTES = 64 * 1024 * 1024
_NOTES = "tables-"
_CURE = "Name a file that `ialctl benchmark --save FILE` wrote, or leave --from out."

_KINDS: Mapping[str, tuple[str, Profile]] = {
    "none": ("legacy without vectors", SHIPPED["legacy"]),
    "inline": ("legacy with vectors inline", LEGACY_INLINE),
}


@dataclass(frozen=True)
class Profiles:
    """A profile of each layout; `source` says in words where they are from, `notes` what else.

    `legacy_items` tells what the legacy items are like, `other_legacies` has profiles of others.
    """

    legacy: Profile
    optimized: Profile
    source: str
    notes: tuple[str, ...] = ()
    legacy_items: str = "legacy as measured"
    other_legacies: Mapping[str, Profile] = dataclasses.field(default_factory=dict)

    def of(self, layout: str) -> Profile:
        """The profile of a layout."""
        return self.legacy if layout == "legacy" else self.optimized


def choose_profiles(
    named: Path | None, benchmarks: Path, *, legacy_vectors: str | None = None
) -> Profiles:
    """The profiles of the result `named`, of the newest in `benchmarks`, or those shipped.

    Args:
        named: a benchmark's result; None to look for one.
        benchmarks: a folder, which need not exist.
        legacy_vectors: `none` or `inline`: the shipped profiles, of legacy items without or with
            their vectors. None takes the measured ones, where there are any.

    Raises:
        UsageError: `named` can't be used, or `legacy_vectors` is neither.
        StorageError: `named` can't be read.
    """
    if legacy_vectors is not None:
        return _shipped(legacy_vectors, named)
    if named is not None:
        return _read(named)
    notes: list[str] = []
    for path in _newest_first(benchmarks):
        try:
            return dataclasses.replace(_read(path), notes=tuple(notes))
        except (UsageError, StorageError) as error:
            notes.append(f"Passed over: {error.what}")
    return dataclasses.replace(_shipped("none", None), notes=tuple(notes))


def _shipped(legacy_vectors: str, named: Path | None) -> Profiles:
    if named is not None:
        raise UsageError(
            "--legacy-vectors is for the shipped figures, --from for measured ones.", "Name one."
        )
    if legacy_vectors not in _KINDS:
        raise UsageError(f"--legacy-vectors is '{legacy_vectors}'.", "Choose none or inline.")
    items, legacy = _KINDS[legacy_vectors]
    others = {words: profile for words, profile in _KINDS.values() if words != items}
    return Profiles(
        legacy, SHIPPED["optimized"], legacy.source, legacy_items=items, other_legacies=others
    )


def _newest_first(folder: Path) -> list[Path]:
    # A benchmark that runs, or was killed, notes its tables beside the results.
    files = (p for p in folder.glob("*.json") if not p.name.startswith(_NOTES) and p.is_file())
    try:
        found = [(path.stat().st_mtime, path) for path in files]
    except OSError:
        return []  # a file went while we looked, or the folder is not ours: as if there were none
    return [path for _, path in sorted(found, reverse=True)]


def _read(path: Path) -> Profiles:
    held = _load(path).get("profiles")
    if not isinstance(held, Mapping) or not set(LAYOUTS) <= set(held):
        raise UsageError(f"'{path}' holds no profiles of both layouts.", _CURE)
    try:
        legacy, optimized = (Profile.from_json(held[layout]) for layout in LAYOUTS)
        inline = Profile.from_json(held[INLINE]) if INLINE in held else None
    except UsageError as error:
        raise UsageError(f"'{path}' can't be used: {error.what}", error.cure) from error
    if (legacy.layout, optimized.layout) != LAYOUTS:
        raise UsageError(f"'{path}' holds profiles under the names of others.", _CURE)
    others = {} if inline is None else {_KINDS["inline"][0]: inline}
    source = f"{path.name}: {optimized.source}"
    return Profiles(legacy, optimized, source, other_legacies=others)


def _load(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise StorageError(f"'{path}' can't be read: {error.strerror}.", _CURE) from error
    if len(raw) > MOST_BYTES:
        raise UsageError(f"'{path}' is larger than any result of a benchmark.", _CURE)
    try:
        loaded = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"'{path}' is not JSON: {error.msg}.", _CURE) from error
    if not isinstance(loaded, dict):
        raise UsageError(f"'{path}' holds no result of a benchmark.", _CURE)
    return loaded
