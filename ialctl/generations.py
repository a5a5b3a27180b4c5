"""Generations of the index as the command line builds and drops them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import SettingsError, UsageError
from core.settings import SETTINGS, Settings
from ialctl.context import AppContext

if TYPE_CHECKING:
    from core.memory.dropping import Dropped


@dataclass(frozen=True)
class Wanted:
    """Which index is to be built, as the command's options say; None: as it is set."""

    generation: str | None = None
    embedder: str | None = None
    model: str | None = None
    dimensions: int | None = None

    def settings(self, configured: Settings) -> Settings:
        """The settings under which that index is in use.

        Raises:
            SettingsError: a value that can't be used.
            UsageError: another model for the index in use.
        """
        options: dict[str, tuple[str, Any]] = {}
        if self.generation is not None:
            options["--generation"] = ("index_generation", self.generation)
        made = with_options(configured, options)
        if made.index_generation != configured.index_generation and made.index_generation:
            # The table's own vector index holds the unnamed one alone.
            made = dataclasses.replace(made, vector_search="segments")
        model = self._model()
        if model and made.index_generation == configured.index_generation:
            raise UsageError(
                "Another model needs an index of its own beside the one in use.",
                "Name it, such as `--generation new`.",
            )
        if not model:
            return made
        # A model's own choice, unless it is said.
        if self.embedder not in (None, configured.embedder):
            made = dataclasses.replace(made, embedding_model=None, embedding_dimensions=None)
        elif self.model is not None:
            made = dataclasses.replace(made, embedding_dimensions=None)
        return with_options(made, model)

    def _model(self) -> dict[str, tuple[str, Any]]:
        given = {
            "--embedder": ("embedder", self.embedder),
            "--model": ("embedding_model", self.model),
            "--dimensions": ("embedding_dimensions", self.dimensions),
        }
        return {flag: pair for flag, pair in given.items() if pair[1] is not None}

    @property
    def any(self) -> bool:
        """Whether any of it was said."""
        return self != Wanted()


def with_options(settings: Settings, options: Mapping[str, tuple[str, Any]]) -> Settings:
    """The settings with what a command's own options say: by option, which setting and its value.

    Raises:
        SettingsError: a value that can't be used.
    """
    given = {}
    for option, (key, value) in options.items():
        try:
            given[key] = SETTINGS[key].parse(value)
        except ValueError as error:
            raise SettingsError(
                f"The option {option} is {value!r}; it should be {error}.",
                f"Correct it ({SETTINGS[key].help}).",
                key=key,
            ) from error
    return dataclasses.replace(settings, **given)


def to_set(settings: Settings) -> Mapping[str, str]:
    """The variables by which a process uses the index of these settings."""
    found = {
        "IAL_INDEX_GENERATION": settings.index_generation or "default",
        "IAL_EMBEDDER": settings.embedder,
        "IAL_EMBEDDING_MODEL": settings.embedding_model,
        "IAL_EMBEDDING_DIMENSIONS": settings.embedding_dimensions,
        "IAL_VECTOR_SEARCH": settings.vector_search,
    }
    return {name: str(value) for name, value in found.items() if value is not None}


def dropped(context: AppContext, name: str, *, dry_run: bool) -> Dropped:
    """Deletes a generation once that is confirmed, or counts its items.

    Raises:
        UsageError: it is the one in use, or was never noted.
    """
    from core.aws.boto_table import open_table
    from core.memory.dropping import Dropper
    from core.memory.generations import UNNAMED, open_generations
    from core.memory.schema import embeddings_schema
    from ialctl.interrupts import stop_wish

    settings = with_options(context.settings, {"--drop": ("index_generation", name)})
    generation, project = settings.index_generation, settings.project
    if generation == context.settings.index_generation:
        raise UsageError(
            f"The generation '{name}' of the index is the one in use.",
            "Set `index_generation` to another one first (IAL_INDEX_GENERATION).",
        )
    generations = open_generations(context.session, project, context.clock)
    noted = [one.name for one in generations.noted()]
    if generation and generation not in noted:
        known = ", ".join(f"'{one or UNNAMED}'" for one in dict.fromkeys(("", *noted)))
        raise UsageError(
            f"The index of '{project}' never had a generation '{name}'.", f"There is {known}."
        )
    if not dry_run:
        context.output.confirm(
            f"Delete the generation '{name}' of the index of '{project}', for good? "
            "No process may be set to it any more."
        )
    embeddings = open_table(context.session, embeddings_schema(project), context.clock)
    with stop_wish() as stop:
        dropper = Dropper(embeddings, context.session, generations, stop=stop)
        return dropper.drop(generation, dry_run=dry_run)
