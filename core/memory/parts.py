"""What the optimized engine is made of, put together once for a project at a target."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from core.aws.boto_table import open_table
from core.aws.session import AwsSession
from core.aws.table import Table
from core.clock import SYSTEM_CLOCK, Clock, Ids, new_id
from core.errors import SettingsError
from core.llm.cached import CachedEmbedder
from core.llm.choosing import open_embedder
from core.llm.embedder import Embedder
from core.memory.archiving import Archiver
from core.memory.catching_up import Catching
from core.memory.context_cache import ContextCache, open_context_cache
from core.memory.forgetting import Forgetter
from core.memory.gathering import Gatherer
from core.memory.generations import Once, open_generations, suffix_of, table_of, tables_elsewhere
from core.memory.index.copies import Copies
from core.memory.index.items import MessageItems
from core.memory.index.native import VECTOR_INDEX, NativeVectors
from core.memory.index.nearest import VectorSearch
from core.memory.index.partition import IndexPartition
from core.memory.index.query import QueryVectors
from core.memory.index.reader import IndexReader
from core.memory.index.searching import SegmentSearch
from core.memory.index.writer import IndexWriter
from core.memory.orphans import Auditor
from core.memory.other_indexes import OtherIndexes
from core.memory.saving import Saver
from core.memory.schema import (
    embeddings_schema,
    history_schema,
    legacy_cache_schema,
    legacy_schemas,
)
from core.memory.store import ConversationStore
from core.memory.sweeping import Grounds
from core.memory.workers import Workers
from core.settings import Settings

_WORKERS = 16
_EMBEDDING_WORKERS = 4
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Tables:
    """The two tables of the memory, and those of the legacy memory, which may not be deployed.

    Those of `opaque` can't be searched by user. `elsewhere` asks for the embeddings of the index's
    other generations, by name.
    """

    history: Table
    embeddings: Table
    legacy: tuple[Table, ...] = ()
    opaque: tuple[Table, ...] = ()
    elsewhere: Callable[[], Mapping[str, Table]] = dict


@dataclass(frozen=True)
class Options:
    """What an engine may be told: see the settings of the same names for what each means.

    `where` names the tables' home: contexts of another's are other contexts in Redis.
    """

    keep_days: float | None = 365
    token_budget: int = 2000
    embed_timeout_s: float = 2.0
    index_memory_bytes: int = 256 * _MIB
    redis_url: str | None = None
    context_cache_s: float = 300.0
    project: str = "ial"
    where: str = ""
    generation: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Options:
        """What the settings say."""
        return cls(
            settings.expire_days,
            settings.token_budget,
            settings.embed_timeout_s,
            settings.index_memory_mb * _MIB,
            settings.redis_url,
            settings.context_cache_s,
            settings.project,
            generation=settings.index_generation,
        )


class Parts(AbstractContextManager["Parts"]):
    """The engine's parts, wired. Thread-safe; close it (or use `with`) when done."""

    def __init__(
        self,
        tables: Tables,
        embedder: Embedder,
        options: Options,
        clock: Clock = SYSTEM_CLOCK,
        ids: Ids = new_id,
        native: VectorSearch | None = None,
    ) -> None:
        """`native` searches by vector alone in place of the segments; items are made for it."""
        model = (embedder.model, embedder.dimensions)
        self.options = options
        self.clock = clock
        self.ids = ids
        self.embedder = embedder
        self.pool = Workers(_WORKERS, thread_name_prefix="memory")
        # Apart: what runs in `pool` may wait for what runs here, and never the other way.
        self._reading_pool = Workers(_WORKERS, thread_name_prefix="reading")
        # Apart: an embedder that hangs must not take the threads that read.
        self.embedding_pool = Workers(_EMBEDDING_WORKERS, thread_name_prefix="embedding")
        self.tables = tables
        self.store = ConversationStore(tables.history, clock)
        self.copies = Copies(*model, options.index_memory_bytes)
        self.items = MessageItems(tables.embeddings, *model, native=native is not None)
        self.contexts = _context_cache(options, model, clock)
        partition = IndexPartition(tables.embeddings)
        self.reader = IndexReader(
            partition,
            self.copies,
            self._reading_pool,
            clock,
            consistent=self.contexts is not None,
        )
        self.writer = IndexWriter(tables.embeddings, self.copies, self.items, model, clock, ids)
        self.others = OtherIndexes(tables.elsewhere, model, clock, ids)
        # Messages are embedded once; the cache is for what is asked again, the questions.
        plain = embedder.inner if isinstance(embedder, CachedEmbedder) else embedder
        self.saver = Saver(
            self.store,
            self.writer,
            plain,
            self.embedding_pool,
            self.invalidate,
            self.others.take_out,
        )
        self.search = SegmentSearch(self.reader, self.copies, self.items, model, clock)
        self.nearest: VectorSearch = native or self.search
        self.catching = Catching(self.store, self.reader, self.writer, self.copies, self.saver)
        grounds = Grounds(tables.history, tables.embeddings, tables.legacy, tables.opaque)
        self.auditor = Auditor(
            grounds,
            self.store,
            self.writer,
            self.copies,
            self.catching,
            model,
            clock,
        )
        self.forgetter = Forgetter(
            grounds,
            self.store,
            self.writer,
            self.copies,
            self.saver,
            self._erase_contexts,
            clock,
            self.others,
        )
        self.archiver = Archiver(tables.history, self.store, self.forgetter, self.auditor, clock)
        self.gatherer = Gatherer(
            self.store,
            self.reader,
            self.copies,
            self.items,
            QueryVectors(embedder, self.embedding_pool, options.embed_timeout_s),
            embedder.model,
            self.pool,
            clock,
        )

    def __exit__(self, *_: object) -> None:
        self.close()

    def invalidate(self, user_id: str) -> None:
        """Forgets contexts that were built of a user, here and in other processes."""
        if self.contexts is not None:
            self.contexts.invalidate(user_id)

    def _erase_contexts(self, user_id: str) -> bool:
        return self.contexts is None or self.contexts.erase(user_id)

    def close(self) -> None:
        """Ends the threads, once what they were given is done: who waits for it gets it."""
        self.pool.shutdown()
        self._reading_pool.shutdown()
        self.store.__exit__()
        self.embedding_pool.shutdown(wait=False)
        if self.contexts is not None:
            self.contexts.close()


def open_parts(
    settings: Settings,
    session: AwsSession,
    clock: Clock = SYSTEM_CLOCK,
    *,
    embedder: Embedder | None = None,
) -> Parts:
    """The parts over the project's tables; sends nothing yet.

    Raises:
        SettingsError: the settings name no usable embedder.
    """
    chosen = embedder or open_embedder(settings, session, clock)
    tables = _tables(settings, session, clock, chosen)
    options = Options.of(settings)
    if settings.redis_url is not None:
        options = dataclasses.replace(options, where=session.where)
    if settings.vector_search == "native":
        _check_native(settings)
        native = NativeVectors(
            session.client("dynamodb"),
            tables.embeddings.schema.name,
            VECTOR_INDEX,
            chosen.dimensions,
            clock,
        )
        return Parts(tables, chosen, options, clock, native=native)
    return Parts(tables, chosen, options, clock)


def _tables(settings: Settings, session: AwsSession, clock: Clock, embedder: Embedder) -> Tables:
    project, name = settings.project, settings.index_generation
    generations = open_generations(session, project, clock)
    embeddings = open_table(session, embeddings_schema(project), clock)
    # Whoever forgets a user must know of it before anything of one stands there.
    note = Once(lambda: generations.note(name, embedder.model, embedder.dimensions))
    return Tables(
        open_table(session, history_schema(project), clock),
        table_of(embeddings, name, note),
        tuple(open_table(session, s, clock) for s in legacy_schemas(project)),
        (open_table(session, legacy_cache_schema(project), clock),),
        tables_elsewhere(embeddings, generations, name),
    )


def _check_native(settings: Settings) -> None:
    if settings.index_generation:
        raise SettingsError(
            f"The table's own vector index has no generation '{settings.index_generation}': it "
            "holds vectors of the unnamed one alone.",
            "Set `vector_search` to segments, or `index_generation` to default.",
        )


def _context_cache(options: Options, model: tuple[str, int], clock: Clock) -> ContextCache | None:
    if options.redis_url is None:
        return None
    source = f"{model[0]}/{model[1]} at {options.where}{suffix_of(options.generation)}"
    return open_context_cache(
        options.redis_url, options.project, source, options.context_cache_s, clock
    )
