"""The embedder that the settings name, behind its cache."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from core.aws.session import AwsSession
from core.clock import SYSTEM_CLOCK, Clock
from core.errors import SettingsError
from core.llm.cached import ENTRY_OVERHEAD_BYTES, CachedEmbedder
from core.llm.embedder import Embedder
from core.settings import Settings

MIB = 1024 * 1024
USABLE_TEXTS = 64
"""The cache holds so many vectors at least, however little it is given."""
_HASHING = re.compile(r"hashing-v1(?:-seed(\d{1,20}))?")
_FLOAT_BYTES = 4


def open_embedder(
    settings: Settings, session: AwsSession, clock: Clock = SYSTEM_CLOCK
) -> CachedEmbedder:
    """The embedder of `settings`, with a cache of `embedding_cache_mb`; asks nobody anything yet.

    Whether a server or a package is there shows at the first text: an embedder that is down must
    not keep a memory from being opened.

    Args:
        settings: which embedder, its model and dimensions.
        session: where Bedrock is; used for nothing else.
        clock: for what it measures.

    Raises:
        SettingsError: embedder, model, dimensions or target do not go together.
        UsageError: the embedder can't have so many dimensions.
    """
    inner = _MAKERS[settings.embedder](settings, session, clock)
    entry_bytes = inner.dimensions * _FLOAT_BYTES + ENTRY_OVERHEAD_BYTES
    return CachedEmbedder(
        inner, max(settings.embedding_cache_mb * MIB, USABLE_TEXTS * entry_bytes), clock
    )


def _hashing(settings: Settings, _: AwsSession, clock: Clock) -> Embedder:
    from core.llm.hashing import DEFAULT_DIMENSIONS, HashingEmbedder

    named = _HASHING.fullmatch(settings.embedding_model or "hashing-v1")
    if named is None:
        raise _wrong(
            f"The embedder 'hashing' has no model '{settings.embedding_model}'.",
            "Leave `embedding_model` out; or set `embedder` to that which has this model.",
            "embedding_model",
        )
    dimensions = settings.embedding_dimensions or DEFAULT_DIMENSIONS
    return HashingEmbedder(dimensions, int(named[1] or 0), clock)


def _ollama(settings: Settings, _: AwsSession, clock: Clock) -> Embedder:
    from core.llm.ollama import DEFAULT_MODEL, KNOWN_DIMENSIONS, OllamaEmbedder

    model = settings.embedding_model or DEFAULT_MODEL
    asked, has = settings.embedding_dimensions, KNOWN_DIMENSIONS.get(model.partition(":")[0])
    if has and asked not in (None, has):
        raise _other_dimensions(model, has, asked)
    if not has and not asked:
        raise _wrong(
            f"How many dimensions the Ollama model '{model}' has is not known here.",
            f"Set `embedding_dimensions` to the 'embedding length' in `ollama show {model}`.",
            "embedding_dimensions",
        )
    return OllamaEmbedder(model, asked, settings.ollama_url, clock=clock)


def _bedrock(settings: Settings, session: AwsSession, clock: Clock) -> Embedder:
    from core.llm.bedrock import TITAN_V2, BedrockEmbedder

    if settings.uses_embedded_endpoint:
        raise _wrong(
            "The embedder 'bedrock' needs Bedrock, and the embedded endpoint runs no models.",
            "Choose `--target aws`, or another `embedder`.",
            "embedder",
        )
    if settings.embedding_model not in (None, TITAN_V2):
        raise _wrong(
            f"The embedder 'bedrock' has no model '{settings.embedding_model}'.",
            f"Leave `embedding_model` out: it is '{TITAN_V2}'.",
            "embedding_model",
        )
    client = session.client("bedrock-runtime")
    return BedrockEmbedder(client, settings.embedding_dimensions or 1024, clock=clock)


def _sentence_transformers(settings: Settings, _: AwsSession, clock: Clock) -> Embedder:
    from core.llm.sentence_transformers import (
        MINILM,
        MINILM_DIMENSIONS,
        SentenceTransformersEmbedder,
    )

    asked = settings.embedding_dimensions
    model = settings.embedding_model or MINILM
    if model == MINILM:
        if asked not in (None, MINILM_DIMENSIONS):
            raise _other_dimensions(model, MINILM_DIMENSIONS, asked)
        return SentenceTransformersEmbedder(clock=clock)
    folder = Path(model).expanduser()
    if not folder.is_dir():
        raise _wrong(
            f"The embedder 'sentence-transformers' has no model '{model}': no such folder.",
            f"Name a folder with a model's files, or leave `embedding_model` out for '{MINILM}'.",
            "embedding_model",
        )
    if asked is None:
        raise _wrong(
            f"How many dimensions the model in '{folder}' has is not known here.",
            "Set `embedding_dimensions`: 'word_embedding_dimension' in its 1_Pooling/config.json.",
            "embedding_dimensions",
        )
    return SentenceTransformersEmbedder(folder, folder.resolve().name, asked, clock)


_Maker = Callable[[Settings, AwsSession, Clock], Embedder]
_MAKERS: Mapping[str, _Maker] = {
    "hashing": _hashing,
    "ollama": _ollama,
    "bedrock": _bedrock,
    "sentence-transformers": _sentence_transformers,
}


def _other_dimensions(model: str, has: int, asked: int | None) -> SettingsError:
    return _wrong(
        f"The embedding model '{model}' has {has} dimensions, not {asked}.",
        "Leave `embedding_dimensions` out, or choose another `embedding_model`.",
        "embedding_dimensions",
    )


def _wrong(what: str, cure: str, key: str) -> SettingsError:
    return SettingsError(what, cure, key=key)
