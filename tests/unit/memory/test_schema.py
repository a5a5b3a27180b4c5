"""The code's idea of the tables and the templates' are one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.deploy.template import read_template
from core.memory.schema import history_schema, legacy_history_schema

PHASES = Path(__file__).parents[3] / "phases/00-foundation"
PHASE = PHASES / "07-conversation-memory-optimized.yaml"
LEGACY_PHASE = PHASES / "07-conversation-memory.yaml"


def _keys(described: Any) -> list[str]:
    return [key["AttributeName"] for key in described["KeySchema"]]


def test_the_phase_deploys_the_schema_that_the_store_reads() -> None:
    """Keys, indexes and their projections are the same in both."""
    properties = read_template(PHASE).resources["ConversationHistory"]["Properties"]
    schema = history_schema("${ProjectName}")
    assert properties["TableName"] == {"Fn::Sub": schema.name}
    assert _keys(properties) == list(schema.keys)
    described = {index["IndexName"]: index for index in properties["GlobalSecondaryIndexes"]}
    assert set(described) == {index.name for index in schema.indexes}
    for index in schema.indexes:
        assert _keys(described[index.name]) == [index.hash_key, index.range_key]
        projection = described[index.name]["Projection"]
        assert tuple(projection["NonKeyAttributes"]) == index.projected


def test_the_legacy_phase_deploys_the_schema_that_the_legacy_engine_reads() -> None:
    """Name and keys are the same in both, and neither has an index."""
    properties = read_template(LEGACY_PHASE).resources["ConversationHistory"]["Properties"]
    schema = legacy_history_schema("${ProjectName}")
    assert properties["TableName"] == {"Fn::Sub": schema.name}
    assert _keys(properties) == list(schema.keys)
    assert "GlobalSecondaryIndexes" not in properties
    assert schema.indexes == ()
