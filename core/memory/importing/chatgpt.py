"""ChatGPT's export (`conversations.json`): trees of messages; what was last shown is taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import IO, Any

from core.memory.importing.arrays import objects
from core.memory.importing.records import (
    Bad,
    Draft,
    UnusableError,
    as_object,
    optional_text,
    parse_time,
    required,
    text_of,
)


def read_chatgpt(stream: IO[bytes]) -> Iterator[Draft | Bad]:
    """The messages of all conversations; records are numbered over the whole file."""
    number = 0
    for place, value in objects(stream):
        for found in _conversation(place, value, number):
            number += 1
            yield found


def _conversation(place: int, value: Any, number: int) -> Iterator[Draft | Bad]:
    if isinstance(value, Bad):
        yield Bad(number + 1, f"conversation {place}: {value.reason}")
        return
    try:
        record = as_object(value)
        mapping = as_object(required(record, "mapping"))
        session = optional_text(record, "conversation_id", "id") or f"conversation-{place}"
        nodes = _shown(mapping, optional_text(record, "current_node"))
    except UnusableError as error:
        yield Bad(number + 1, f"conversation {place}: {error}")
        return
    title = record.get("title")
    for node in nodes:
        try:
            draft = _message(number + 1, node, session, title)
        except UnusableError as error:
            number += 1
            yield Bad(number, f"conversation {place}: {error}")
            continue
        if draft is not None:
            number += 1
            yield draft


def _shown(mapping: Mapping[str, Any], current: str | None) -> list[Mapping[str, Any]]:
    """The branch that was last shown, first message first."""
    place = current if current is not None and current in mapping else _latest_leaf(mapping)
    branch: list[Mapping[str, Any]] = []
    seen: set[str] = set()
    while place in mapping and place not in seen:  # a circle of parents must end
        seen.add(place)
        node = as_object(mapping[place])
        branch.append(node)
        place = str(node.get("parent") or "")
    return branch[::-1]


def _latest_leaf(mapping: Mapping[str, Any]) -> str:
    nodes = {key: node for key, node in mapping.items() if isinstance(node, Mapping)}
    leaves = [key for key, node in nodes.items() if not node.get("children")] or list(nodes)

    def written(key: str) -> float:
        message = nodes[key].get("message")
        time = message.get("create_time") if isinstance(message, Mapping) else None
        try:
            return float(time) if isinstance(time, int | float) else 0.0
        except OverflowError:
            return 0.0

    return max(leaves, key=written, default="")


def _message(number: int, node: Mapping[str, Any], session: str, title: object) -> Draft | None:
    message = node.get("message")
    if not isinstance(message, Mapping):
        return None  # the root of the tree
    role = optional_text(as_object(required(message, "author")), "role")
    if not role:
        raise UnusableError("a message has no author")
    content = _content(as_object(required(message, "content")))
    if not content.strip():
        return None  # placeholders that the export is full of
    when = message.get("create_time")
    metadata: dict[str, Any] = {"title": title} if isinstance(title, str) and title else {}
    about = message.get("metadata")
    model = about.get("model_slug") if isinstance(about, Mapping) else None
    if isinstance(model, str):
        metadata["model"] = model
    return Draft(
        number=number,
        role=role,
        content=content,
        session_id=session,
        timestamp_us=None if when is None else parse_time(when),
        message_id=optional_text(message, "id") or optional_text(node, "id"),
        metadata=metadata,
    )


def _content(content: Mapping[str, Any]) -> str:
    parts = content.get("parts")
    if isinstance(parts, list):
        return text_of([part for part in parts if part is not None]) if any(parts) else ""
    text = content.get("text", content.get("result", ""))
    return text if isinstance(text, str) else ""
