"""The embedder, and whether it is the one that the stored vectors were made by."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.aws.session import AwsSession
from core.clock import Clock
from core.doctor.finding import Finding, ok, skipped, trouble, warning
from core.errors import EmbeddingError, SettingsError
from core.llm.choosing import open_embedder
from core.memory.generations import Generation
from core.settings import Settings
from core.shipped import installing

SLOW_MS = 500.0
_WORDS_ONLY = "Messages are found by their words alone until it answers."


@dataclass(frozen=True)
class Model:
    """A model by name, and how many numbers its vectors have."""

    name: str
    dimensions: int

    def __str__(self) -> str:
        return f"{self.name} ({self.dimensions})"


def chosen_model(settings: Settings, session: AwsSession, clock: Clock) -> Model:
    """The model that the settings name; asks nobody.

    Raises:
        SettingsError, UsageError: they do not go together.
    """
    embedder = open_embedder(settings, session, clock)
    return Model(embedder.model, embedder.dimensions)


def embedder_finding(settings: Settings, session: AwsSession, clock: Clock) -> Finding:
    """Whether the embedder makes a vector of a text; of Bedrock's, that costs a text."""
    try:
        embedder = open_embedder(settings, session, clock)
    except SettingsError as error:
        return trouble("embedder", error.what, "No memory can be opened.", error.cure or "")
    shown = f"{settings.embedder}, {Model(embedder.model, embedder.dimensions)}"
    if settings.embedder == "sentence-transformers":
        # Loading it takes longer than anyone waits for a check.
        if importlib.util.find_spec("sentence_transformers") is None:
            cure = installing("local-embeddings")
            return trouble("embedder", f"{shown}: its package is missing", _WORDS_ONLY, cure)
        return ok("embedder", f"{shown}; its package is there, not loaded")
    begun = clock.monotonic()
    try:
        embedder.embed([f"ialctl doctor {begun}"])
    except EmbeddingError as error:
        return trouble("embedder", error.what, _WORDS_ONLY, error.cure or "")
    took_ms = (clock.monotonic() - begun) * 1000
    found = f"{shown}, {took_ms:.0f} ms"
    if took_ms > settings.embed_timeout_s * 1000:
        means = f"A context waits {settings.embed_timeout_s:g} s (embed_timeout_s), then does "
        return warning("embedder", found, means + "without vectors.", "Raise embed_timeout_s.")
    if took_ms > SLOW_MS:
        means = "Each new question waits for that; the same question again does not."
        return warning("embedder", found, means, "Run the model nearer, or a smaller one.")
    return ok("embedder", found)


def stored_finding(
    model: Model, generation: str, items: Sequence[Mapping[str, Any]], noted: Sequence[Generation]
) -> Finding:
    """Whether stored vectors are of the model in use.

    Args:
        model: the one of the settings.
        generation: of the index in use; "" is the unnamed one.
        items: a sample of that generation's vectors: what holds `model` and `dimensions`.
        noted: all generations there are.
    """
    mine = next((g for g in noted if g.name == generation and g.dropped_at is None), None)
    if generation and mine is None:
        means = "Searches find by words alone: nothing was indexed under that name."
        cure = f"`ialctl reindex --generation {generation}`, or unset index_generation."
        return trouble("vectors", f"no generation '{generation}' was built", means, cure)
    models = Counter(
        Model(str(item["model"]), int(item["dimensions"]))
        for item in items
        if "model" in item and "dimensions" in item
    )
    without = len(items) - models.total()
    other = {stored: count for stored, count in models.items() if stored != model}
    if other:
        shown = ", ".join(f"{count} of {stored}" for stored, count in other.items())
        means = f"They can't be compared with those of {model}: found by words alone."
        cure = "`ialctl reindex` makes them anew; or set the embedder that made them."
        return trouble("vectors", f"of {len(items)} sampled, {shown}", means, cure)
    if without:
        means = (
            "They are found by words alone. The embedder was down as they were saved, or a "
            "migration left them for later."
        )
        found = f"of {len(items)} sampled, {without} have no vector"
        return warning("vectors", found, means, "`ialctl reindex` makes them.")
    if not models:
        return ok("vectors", "none stored yet")
    return ok("vectors", f"{models.total()} sampled, all of {model}")


def stored_findings(
    model: Callable[[], Model],
    generation: str,
    items: Callable[[], Sequence[Mapping[str, Any]]],
    noted: Callable[[], Sequence[Generation]],
) -> Iterator[Finding]:
    """As `stored_finding`, of what is asked for now; skipped where the settings name no model."""
    try:
        wanted = model()
    except SettingsError:
        yield skipped("vectors", "the settings name no usable embedder")
        return
    yield stored_finding(wanted, generation, items(), noted())
