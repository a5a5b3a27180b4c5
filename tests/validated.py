"""A memory at an endpoint for tests of validation: filled, broken on purpose, looked at."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.aws.boto_table import open_table
from core.aws.codec import decode_item
from core.aws.session import AwsSession
from core.clock import SYSTEM_CLOCK, Clock
from core.llm.embedder import Embedder
from core.memory.chunks import user_chunk
from core.memory.context_engine_optimized import OptimizedContextEngine
from core.memory.model import Message
from core.memory.parts import Parts, open_parts
from core.memory.schema import embeddings_schema, history_schema
from core.settings import Settings, load_settings
from core.validation.results import Repaired, Validation
from core.validation.validator import Validator
from tests.engines import FIRST_US, conversation
from tests.forgetting import SMALLER_TEXT
from tests.tables import create_table

USERS = {"ada": 150, "bob#1": 12}
LARGE = Message("ada", "big", "large", FIRST_US + 1, "user", SMALLER_TEXT)
COMPRESSED = Message("ada", "big", "compressed", FIRST_US + 2, "user", "heron otter " * 60_000)


@dataclasses.dataclass(frozen=True)
class Memory:
    """The tables of a project, and what validation says of them."""

    aws: AwsSession
    settings: Settings

    @classmethod
    def make(cls, endpoint_url: str, project: str, folder: Path) -> Memory:
        """Empty tables."""
        flags = {"endpoint_url": endpoint_url, "project": project, "state_dir": str(folder)}
        settings = load_settings(flags, environment={}, folder=folder).settings
        aws = AwsSession(settings)
        create_table(aws, history_schema(project), numbers=("timestamp",))
        create_table(aws, embeddings_schema(project))
        return cls(aws, settings)

    def fill(self) -> None:
        """Two users' conversations, and messages that are compressed and in parts."""
        with self.engine() as engine:
            for user, count in USERS.items():
                engine.import_messages(user, conversation(user, count))
            engine.import_messages("ada", [LARGE, COMPRESSED])

    @contextmanager
    def engine(self) -> Iterator[OptimizedContextEngine]:
        """An engine, as in a new process."""
        with OptimizedContextEngine(open_parts(self.settings, self.aws)) as engine:
            yield engine

    @property
    def history(self) -> Any:
        """The history's table."""
        return open_table(self.aws, history_schema(self.settings.project))

    @property
    def embeddings(self) -> Any:
        """The embeddings' table."""
        return open_table(self.aws, embeddings_schema(self.settings.project))

    def items(self, table: Any) -> list[dict[str, Any]]:
        """All items of a table."""
        client, found, asked = self.aws.client("dynamodb"), [], {"TableName": table.schema.name}
        while True:
            answer = client.scan(**asked, ConsistentRead=True)
            found += [decode_item(item) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                return found
            asked["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def heads(self, user: str = "ada") -> list[dict[str, Any]]:
        """A user's ordinary messages, oldest first."""
        found = [i for i in self.items(self.history) if i.get("user_id") == user]
        return sorted((i for i in found if "content" in i), key=lambda i: str(i["timestamp_type"]))

    def vector(self, head: Mapping[str, Any]) -> dict[str, Any]:
        """The vector and text of a message."""
        place = str(head["timestamp_type"])
        key = {"user_chunk": user_chunk(head["user_id"], place), "embedding_id": place}
        return dict(self.embeddings.get(key, consistent=True).item)

    def remove(self, table: Any, item: Mapping[str, Any]) -> None:
        """Deletes an item."""
        table.delete({name: item[name] for name in table.schema.keys})

    def validator(self, clock: Clock = SYSTEM_CLOCK, **options: Any) -> Validator:
        """A validator that looks twice at once."""
        project = self.settings.project
        return Validator(self.aws, project, clock, **{"settle_s": 0.0, **options})

    def validate(self, clock: Clock = SYSTEM_CLOCK, **options: Any) -> Validation:
        """What a validation finds."""
        with self.validator(clock, **options) as validator:
            return validator.run()

    def found(self, clock: Clock = SYSTEM_CLOCK, **options: Any) -> dict[str, int]:
        """The findings by kind, notes among them."""
        return {f.kind: f.count for f in self.validate(clock, **options).findings}

    def repair(
        self, clock: Clock = SYSTEM_CLOCK, *, embedder: Embedder | None = None, **options: Any
    ) -> Repaired:
        """Finds and repairs."""
        with self.validator(clock, **options) as validator, self.parts(clock, embedder) as parts:
            validator.run()
            return validator.repair(parts)

    def parts(self, clock: Clock = SYSTEM_CLOCK, embedder: Embedder | None = None) -> Parts:
        """The engine's parts."""
        return open_parts(self.settings, self.aws, clock, embedder=embedder)
