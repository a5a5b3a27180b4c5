"""What tests of migrations share: a project's tables of both layouts, migrations of them, and plain
looks at what stands, by boto3 alone."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session

from core.aws.capacity import TableSchema
from core.aws.codec import WireItem, decode_item, encode_item
from core.aws.session import AwsSession
from core.clock import SYSTEM_CLOCK, Clock, new_id
from core.llm.choosing import open_embedder
from core.memory.active import ActiveEngine, operations_table
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.opening import open_legacy_engine
from core.memory.parts import open_parts
from core.memory.routed_engine import RoutedEngine
from core.memory.schema import embeddings_schema, history_schema
from core.migration.journal import Going
from core.migration.migrator import Migrator
from core.migration.transform import is_expired, mapped
from core.migration.verifying import Verification
from core.migration.wiring import Options
from core.settings import Settings, load_settings
from tests.legacy_tables import create_legacy_table
from tests.tables import create_table

NOTICE_S = 1.0
"""After a switch, in tests whose engines notice at once."""
OPERATIONS_KEYS = ("pk", "sk")
_PLACED = ("user_date", "timestamp_type")
_Item = dict[str, Any]


def settings_of(endpoint_url: str, project: str, folder: Path) -> Settings:
    """Settings of a project at an endpoint."""
    flags = {"endpoint_url": endpoint_url, "project": project, "state_dir": str(folder)}
    return load_settings(flags, environment={}, folder=folder).settings


@dataclasses.dataclass(frozen=True)
class Moving:
    """A project's tables, and migrations of them."""

    settings: Settings
    folder: Path

    @classmethod
    def at(cls, endpoint_url: str, project: str, folder: Path) -> Moving:
        """Tables that stand already."""
        return cls(settings_of(endpoint_url, project, folder), folder)

    @classmethod
    def make(cls, endpoint_url: str, project: str, folder: Path) -> Moving:
        """Empty tables of both layouts."""
        made = cls.at(endpoint_url, project, folder)
        create_legacy_table(made.aws, project)
        made.make_optimized()
        return made

    def make_optimized(self) -> None:
        """The tables of the optimized layout."""
        project = self.settings.project
        create_table(self.aws, history_schema(project), numbers=("timestamp",))
        create_table(self.aws, embeddings_schema(project))
        create_table(self.aws, TableSchema(operations_table(project), *OPERATIONS_KEYS))

    def note_engine(self, name: str) -> None:
        """Tells applications which engine is active."""
        self.put(self.operations, {"pk": "engine", "sk": "active", "engine": name})

    @functools.cached_property
    def aws(self) -> AwsSession:
        """Our own clients."""
        return AwsSession(self.settings)

    @functools.cached_property
    def boto(self) -> Any:
        """A client that has nothing of ours."""
        session = botocore.session.Session()
        session.set_credentials("local", "local")
        return session.create_client(
            "dynamodb", region_name="us-east-1", endpoint_url=self.settings.endpoint_url
        )

    @property
    def legacy(self) -> str:
        """The legacy history table."""
        return f"{self.settings.project}-conversation-history"

    @property
    def history(self) -> str:
        """The optimized history."""
        return history_schema(self.settings.project).name

    @property
    def embeddings(self) -> str:
        """The embeddings table."""
        return embeddings_schema(self.settings.project).name

    @property
    def operations(self) -> str:
        """The operations table."""
        return operations_table(self.settings.project)

    # Migrations ------------------------------------------------------------------------------

    def migrator(
        self,
        clock: Clock = SYSTEM_CLOCK,
        *,
        endpoint_url: str | None = None,
        observe: Callable[[Going], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
        **options: Any,
    ) -> Migrator:
        """A migration of the project, as on another machine each time."""
        settings = self.settings
        if endpoint_url is not None:
            settings = dataclasses.replace(settings, endpoint_url=endpoint_url)
        chosen = Options(**{"notice_s": NOTICE_S, **options})
        return Migrator(
            AwsSession(settings), settings, clock, new_id, chosen, observe=observe, stop=stop
        )

    def verify(self, *, repair: bool = False, sample: int | None = None) -> Verification:
        """Verifies all, and what engines would be told of every user."""
        return self.migrator().verify(sample=sample, repair=repair, folder=self.folder)

    def migrate(self, **options: Any) -> None:
        """All steps up to the cut-over."""
        migrator = self.migrator(**options)
        migrator.run()
        assert migrator.verify(sample=0, folder=self.folder).equal
        migrator.cut_over()

    # Engines ---------------------------------------------------------------------------------

    @contextmanager
    def optimized_engine(self) -> Iterator[OptimizedContextEngine]:
        """The optimized engine, as in a new process."""
        with OptimizedContextEngine(open_parts(self.settings, self.aws)) as engine:
            yield engine

    @contextmanager
    def quick_engine(self, refresh_s: float = 0.2) -> Iterator[RoutedEngine]:
        """An application's engine that notices quickly which one is active."""
        embedder = open_embedder(self.settings, self.aws, SYSTEM_CLOCK)
        active = ActiveEngine(
            self.aws.client("dynamodb"), self.settings.project, refresh_s=refresh_s
        )
        with RoutedEngine(
            lambda: OptimizedContextEngine(open_parts(self.settings, self.aws, embedder=embedder)),
            lambda: open_legacy_engine(self.aws, self.settings.project, embedder),
            active,
        ) as engine:
            yield engine

    # What stands -----------------------------------------------------------------------------

    def scan(self, table: str) -> list[WireItem]:
        """Every item of a table."""
        found: list[WireItem] = []
        asked: dict[str, Any] = {"TableName": table, "ConsistentRead": True}
        while True:
            answer = self.boto.scan(**asked)
            found += answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return found
            asked["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def items(self, table: str) -> list[_Item]:
        """Every item of a table, decoded."""
        return [decode_item(item) for item in self.scan(table)]

    def put(self, table: str, item: Mapping[str, Any]) -> None:
        """Puts an item."""
        self.boto.put_item(TableName=table, Item=encode_item(item))

    def remove(self, table: str, item: Mapping[str, Any], *names: str) -> None:
        """Deletes an item; `names` are those of its key."""
        self.boto.delete_item(TableName=table, Key=encode_item({n: item[n] for n in names}))

    def heads(self) -> list[_Item]:
        """Every message of the optimized history, in the order of its keys."""
        found = [i for i in self.items(self.history) if "timestamp" in i and "part" not in i]
        return sorted(found, key=lambda i: (i["user_date"], i["timestamp_type"]))

    def put_many(self, table: str, items: Sequence[WireItem]) -> None:
        """Puts items as they are stored."""
        for item in items:
            self.boto.put_item(TableName=table, Item=item)


def wanted_heads(items: Sequence[WireItem]) -> Counter[str]:
    """What the optimized history has to hold of legacy items: heads, but for their places."""
    now_s = SYSTEM_CLOCK.time()
    return Counter(
        _brief(mapped(item).stored.head) for item in items if not is_expired(item, now_s)
    )


def found_heads(moving: Moving) -> Counter[str]:
    """What it does hold."""
    return Counter(map(_brief, moving.heads()))


def _brief(head: Mapping[str, Any]) -> str:
    # Which of those with one time and role comes first is nobody's business.
    kept = {n: v for n, v in head.items() if n not in _PLACED}
    return repr(sorted(encode_item(kept).items()))
