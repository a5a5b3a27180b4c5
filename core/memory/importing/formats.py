"""Which format a file has, told by its content, and the reader for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

from core.errors import UsageError
from core.memory.importing import chatgpt, jsonl, locomo
from core.memory.importing.records import Bad, Draft, UnusableError
from core.memory.importing.source import Source

Format: TypeAlias = Literal["jsonl", "locomo", "chatgpt"]
FORMATS: Mapping[str, Format] = {"jsonl": "jsonl", "locomo": "locomo", "chatgpt": "chatgpt"}


def choose_format(wanted: str, source: Source) -> Format:
    """The format asked for; for "auto", what the content shows.

    Raises:
        UsageError: an unknown name, or content that is none of the formats.
    """
    if wanted != "auto":
        if wanted not in FORMATS:
            raise UsageError(
                f"There is no import format '{wanted}'.",
                "Choose auto, jsonl, locomo or chatgpt.",
            )
        return FORMATS[wanted]
    found = _detect(source.head)
    if found is None:
        raise UsageError(
            f"The format of {source.name} is not recognised.",
            "Name it with `--format jsonl`, `locomo` or `chatgpt`.",
        )
    return found


def read(source: Source, file_format: Format, sample: str | None = None) -> Iterator[Draft | Bad]:
    """The drafts of a source, in the order of the file."""
    if file_format == "locomo":
        return locomo.read_locomo(source.stream, sample)
    if file_format == "chatgpt":
        return chatgpt.read_chatgpt(source.stream)
    if source.head.lstrip().startswith(b"["):
        return jsonl.read_array(source.stream)
    return jsonl.read_lines(source.stream)


def _detect(head: bytes) -> Format | None:
    text = head.lstrip()
    first, _, _ = text.partition(b"\n")
    if text.startswith(b"{") and _is_message(first):
        return "jsonl"
    # In a text a quote would have a backslash before it: these can only be members' names.
    if b'"mapping"' in text:
        return "chatgpt"
    if b'"conversation"' in text and (b'"session_1' in text or b'"speaker_a"' in text):
        return "locomo"
    if any(_is_message(line) for line in text.splitlines()):
        return "jsonl"
    named = b'"content"' in text or b'"role"' in text
    return "jsonl" if named and text.startswith((b"{", b"[")) else None


def _is_message(line: bytes) -> bool:
    try:
        value = jsonl.parse_line(line)
    except UnusableError:
        return False
    return isinstance(value, dict) and ("content" in value or "role" in value or "text" in value)
