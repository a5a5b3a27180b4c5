"""The tables of the memory: names, keys and indexes, as the phase deploys them."""

from __future__ import annotations

from core.aws.capacity import IndexSchema, TableSchema

USER_TIME_INDEX = "UserTimeIndex"
SESSION_INDEX = "SessionIndex"
SIMILARITY_INDEX = "SimilarityIndex"


def history_schema(project: str) -> TableSchema:
    """`conversation-history-v2` of a project."""
    return TableSchema(
        f"{project}-conversation-history-v2",
        "user_date",
        "timestamp_type",
        (
            IndexSchema(
                USER_TIME_INDEX,
                "user_id",
                "timestamp",
                ("content_summary", "tokens", "role", "ttl"),
            ),
            IndexSchema(SESSION_INDEX, "session_id", "timestamp", ("content_hash", "summary")),
        ),
    )


def embeddings_schema(project: str) -> TableSchema:
    """`conversation-embeddings` of a project: vectors by chunk, and the index's partitions."""
    return TableSchema(
        f"{project}-conversation-embeddings",
        "user_chunk",
        "embedding_id",
        (
            IndexSchema(
                SIMILARITY_INDEX,
                "user_chunk",
                "similarity_hash",
                ("vector_compressed", "metadata"),
            ),
        ),
    )


def legacy_schemas(project: str) -> tuple[TableSchema, ...]:
    """The legacy tables that hold something under a user's id."""
    return (
        legacy_history_schema(project),
        TableSchema(f"{project}-user-sessions", "user_id", "session_id"),
        TableSchema(f"{project}-context-windows", "user_id", "window_id"),
        TableSchema(f"{project}-token-usage", "user_id", "date_hour"),
    )


def legacy_cache_schema(project: str) -> TableSchema:
    """`conversation-cache` of a project: its keys don't tell whose an item is."""
    return TableSchema(f"{project}-conversation-cache", "cache_key")


def legacy_history_schema(project: str) -> TableSchema:
    """`conversation-history` of a project, the legacy engine's table: a partition a user."""
    return TableSchema(f"{project}-conversation-history", "user_id", "sort_key")
