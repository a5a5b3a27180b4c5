"""What the readers make of files, good and bad."""

from __future__ import annotations

import io
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from core.errors import IalError, RecordError, StorageError, UsageError
from core.memory.importing.arrays import objects
from core.memory.importing.chatgpt import _latest_leaf
from core.memory.importing.drafts import STEP_US, UNDATED_US, Defaults, MessageMaker
from core.memory.importing.formats import choose_format, read
from core.memory.importing.importer import Importer, ImportPlan, ImportResult
from core.memory.importing.records import Bad, Draft, UnusableError, parse_time
from core.memory.importing.source import open_source
from core.memory.model import Message


def _read(content: bytes, wanted: str = "auto", sample: str | None = None) -> list[Draft | Bad]:
    with open_source("-", io.BytesIO(content)) as source:
        return list(read(source, choose_format(wanted, source), sample))


def _line(**record: Any) -> bytes:
    return json.dumps({"role": "user", "content": "hello", **record}).encode() + b"\n"


def _drafts(content: bytes) -> list[Draft]:
    return [draft for draft in _read(content) if isinstance(draft, Draft)]


def test_a_bad_line_in_the_middle_is_told_with_its_number() -> None:
    """Good lines around a bad one are read; blank lines count as lines."""
    found = _read(_line(content="a") + b"\n{broken\n" + _line(content="b"))
    assert [type(f) for f in found] == [Draft, Bad, Draft]
    assert isinstance(found[1], Bad)
    assert found[1].number == 3
    assert "not JSON" in found[1].reason


def test_a_half_last_line_is_told_as_cut_off() -> None:
    """The reason says that the file ends in the middle."""
    found = _read(_line() + b'{"role": "user", "con')
    assert isinstance(found[1], Bad)
    assert "file ends in the middle" in found[1].reason


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_byte_order_mark_and_windows_lines(ending: bytes) -> None:
    """A BOM and CRLF change nothing in what is read."""
    content = b"\xef\xbb\xbf" + _line(content="é").replace(b"\n", ending) * 2
    assert [d.content for d in _drafts(content)] == ["é", "é"]


def test_control_characters_stay_in_the_data() -> None:
    """NUL and escapes are kept, written out or raw."""
    raw = b'{"role":"user","content":"a\x01b"}\n'
    assert [d.content for d in _drafts(raw + _line(content="\x00\x1b[31m"))] == [
        "a\x01b",
        "\x00\x1b[31m",
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[1]\n", "a list"),
        (b"7\n", "a number"),
        (b'{"content":"x"}\n', "no 'role'"),
        (b'{"role":"user"}\n', "no 'content'"),
        (b'{"role":"user","content":5}\n', "the content is a number"),
        (b'{"role":"user","content":"x","timestamp":"soon"}\n', "not ISO 8601"),
        (b'{"role":"user","content":"x","timestamp":true}\n', "neither a text nor a number"),
        (b'{"role":"user","content":"x","tokens":-1}\n', "'tokens'"),
        (b'{"role":"user","content":"x","metadata":[]}\n', "'metadata'"),
        (b'{"role":"user","content":"x","id":[]}\n', "'message_id'|'id'"),
        (b'{"role":"user","content":"\xff"}\n', "not UTF-8"),
    ],
)
def test_reasons_name_what_is_wrong(line: bytes, reason: str) -> None:
    """A record that can't be used says which of its members is at fault."""
    found = _read(_line() + line)[1]
    assert isinstance(found, Bad)
    assert any(part in found.reason for part in reason.split("|"))


@pytest.mark.parametrize(
    ("value", "microseconds"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T01:00:00.000001+01:00", 1),
        ("1970-01-01", 0),
        (1_600_000_000, 1_600_000_000_000_000),
        (1_600_000_000.5, 1_600_000_000_500_000),
        (1_600_000_000_123, 1_600_000_000_123_000),
        (1_600_000_000_123_456, 1_600_000_000_123_456),
        (1_600_000_000_123_456_789, 1_600_000_000_123_456),
        ("1600000000", 1_600_000_000_000_000),
        (-1, -1_000_000),
    ],
)
def test_times_in_any_unit(value: object, microseconds: int) -> None:
    """ISO texts and numbers from seconds to nanoseconds are told apart by their size."""
    assert parse_time(value) == microseconds


@pytest.mark.parametrize("value", ["", "yesterday", None, [], True, 1e300, float("nan")])
def test_what_is_no_time(value: object) -> None:
    """Anything else is refused."""
    with pytest.raises(UnusableError):
        parse_time(value)


def test_undated_records_follow_the_one_before() -> None:
    """A record without a time stands a millisecond after its predecessor, every time."""
    drafts = [Draft(1, "user", "a"), Draft(2, "user", "b", timestamp_us=5), Draft(3, "user", "b")]
    maker = MessageMaker(Defaults("u"))
    made = [m for m in map(maker.make, drafts) if isinstance(m, Message)]
    assert [m.timestamp_us for m in made] == [UNDATED_US, 5, 5 + STEP_US]
    again = MessageMaker(Defaults("u"))
    assert [again.make(d) for d in drafts] == made
    assert len({m.session_id for m in made}) == 1


@pytest.mark.parametrize("when", [-1, 10**16, 10**18])
def test_times_out_of_range_are_bad_records(when: int) -> None:
    """A time before 1970 or after 2286 is told, not stored."""
    made = MessageMaker(Defaults("u")).make(Draft(9, "user", "x", timestamp_us=when))
    assert isinstance(made, Bad)
    assert "1970 to 2286" in made.reason


SAMPLE = {
    "sample_id": "c1",
    "conversation": {
        "speaker_a": "Ada",
        "speaker_b": "Bob",
        "session_2_date_time": "1:56 pm on 8 May, 2023",
        "session_2": [{"speaker": "Bob", "dia_id": "D2:1", "text": "later"}],
        "session_1_date_time": "1:56 pm on 7 May, 2023",
        "session_1": [
            {"speaker": "Ada", "dia_id": "D1:1", "text": "look", "blip_caption": "a dog"},
            {"speaker": "Bob", "dia_id": "D1:2"},
        ],
    },
}


def test_locomo_turns_have_times_captions_and_speakers() -> None:
    """A turn's time is its session's and its place there; a caption stands after the text."""
    found = _read(json.dumps([SAMPLE]).encode())
    first, bad, last = found
    assert isinstance(first, Draft)
    assert (first.content, first.role) == ("look [shares a dog]", "user")
    assert (first.session_id, first.message_id) == ("c1-session-1", "c1-D1:1")
    assert first.timestamp_us == 1_683_467_760_000_000
    assert isinstance(bad, Bad)
    assert "session 1, turn 2" in bad.reason
    assert isinstance(last, Draft)
    assert (last.role, last.metadata["speaker"]) == ("assistant", "Bob")


def test_locomo_takes_one_sample_where_asked() -> None:
    """Other samples are left out."""
    content = json.dumps([SAMPLE, {**SAMPLE, "sample_id": "c2"}]).encode()
    found = [d for d in _read(content, sample="c2") if isinstance(d, Draft)]
    assert {draft.session_id for draft in found} == {"c2-session-1", "c2-session-2"}


def _chatgpt() -> list[dict[str, Any]]:
    def node(name: str, parent: str | None, role: str, *parts: Any) -> dict[str, Any]:
        message = {
            "id": name,
            "author": {"role": role},
            "create_time": 1_700_000_000.25,
            "content": {"content_type": "text", "parts": list(parts)},
        }
        return {"id": name, "parent": parent, "message": message, "children": []}

    mapping = {
        "root": {"id": "root", "parent": None, "message": None},
        "a": node("a", "root", "system", ""),
        "b": node("b", "a", "user", "hi", {"content_type": "image_asset_pointer"}),
        "old": node("old", "b", "assistant", "first try"),
        "new": node("new", "b", "assistant", "second try"),
    }
    return [{"id": "conv", "title": "T", "current_node": "new", "mapping": mapping}]


def test_chatgpt_gives_the_branch_that_was_last_shown() -> None:
    """Empty system messages and abandoned answers are left out."""
    found = _read(json.dumps(_chatgpt()).encode())
    drafts = [draft for draft in found if isinstance(draft, Draft)]
    assert [d.content for d in drafts] == ["hi\n[image_asset_pointer]", "second try"]
    assert drafts[0].timestamp_us == 1_700_000_000_250_000
    assert drafts[0].metadata == {"title": "T"}


def test_a_circle_of_parents_ends() -> None:
    """A broken tree is read as far as it goes."""
    export = _chatgpt()
    export[0]["mapping"]["b"]["parent"] = "new"
    assert len(_read(json.dumps(export).encode())) == 2


@pytest.mark.parametrize("cut", [30, 200, 300])
def test_a_cut_array_is_told(cut: int) -> None:
    """What is whole before the cut is read; the cut is a bad record."""
    found = _read(json.dumps([SAMPLE, SAMPLE]).encode()[:-cut], "locomo")
    assert isinstance(found[-1], Bad)
    assert sum(isinstance(f, Draft) for f in found) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"  \n",
        b"PK\x03\x04xxxx",
        b"\xff\xfe{\x00",
        b'{\x00"\x00',
        b"just prose\n",
        b"<html>",
    ],
)
def test_files_of_other_kinds_are_refused(content: bytes) -> None:
    """Empty, archived, UTF-16 or unknown content is a sentence with a cure."""
    with pytest.raises(UsageError) as caught:
        _read(content)
    assert caught.value.cure


@pytest.mark.parametrize("name", ["none.jsonl", "."])
def test_a_file_that_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    """A missing file and a folder are told as such."""
    with (
        pytest.raises(StorageError, match="can't be read"),
        open_source(str(tmp_path / name), io.BytesIO()),
    ):
        pass


def _run(content: bytes, **plan: Any) -> ImportResult:
    importer = Importer(None)
    return importer.run(_read(content), ImportPlan(Defaults("u"), dry_run=True, **plan))


def test_a_dry_run_counts_and_needs_no_store() -> None:
    """What would be imported and what is bad are counted."""
    result = _run(_line() + b"{\n" + _line(content="b"))
    assert (result.imported, result.failed, result.failures[0].number) == (2, 1, 2)


def test_stop_on_error_stops_at_the_first() -> None:
    """The error names the record and the reason."""
    with pytest.raises(RecordError, match="Record 2 can't be used"):
        _run(_line() + b"{\n" + _line(), stop_on_error=True)


def test_nothing_usable_is_an_error() -> None:
    """A file of bad records only ends with exit code 1."""
    with pytest.raises(IalError) as caught:
        _run(b'{"role":1}\n{"role":"user"}\n')
    assert caught.value.exit_code == 1


def _told(content: bytes, wanted: str = "auto") -> tuple[int, list[str]]:
    found = _read(content, wanted)
    bad = [one.reason for one in found if isinstance(one, Bad)]
    return len(found) - len(bad), bad


def test_chatgpt_records_of_odd_shapes_are_told_or_taken() -> None:
    """Metadata that are no object, and an endless time where leaves are compared, stop nothing."""
    conversation = _chatgpt()[0]
    odd = json.loads(json.dumps(conversation))
    for node in odd["mapping"].values():
        if node.get("message"):
            node["message"]["metadata"] = ["no", "object"]
    both = json.dumps([odd, conversation]).encode()
    alone = json.dumps([conversation]).encode()
    assert _told(both, "chatgpt") == (2 * _told(alone, "chatgpt")[0], [])
    assert _latest_leaf({"a": {"message": {"create_time": 10**400}}}) == "a"


def test_locomo_sessions_of_odd_names_are_taken() -> None:
    """A number with a zero before it names a session as well; one of 5,000 digits does not."""
    turn = {"speaker": "A", "dia_id": "D1:1", "text": "hello"}
    conversation = {"speaker_a": "A", "session_01": [turn], f"session_{'9' * 5000}": [turn]}
    content = json.dumps([{"sample_id": "s", "conversation": conversation}]).encode()
    assert _told(content, "locomo") == (1, [])


def test_a_time_of_many_levels_is_told() -> None:
    """What is no time is described, never written out: it may be nested without end."""
    deep = b"[" * 3000 + b"]" * 3000
    content = b'[{"role":"user","content":"x","timestamp":%s}]' % deep
    assert _told(content, "jsonl") == (0, ["the time is a list, neither a text nor a number"])


def test_a_name_that_is_not_utf8_and_a_pipe_can_be_read(tmp_path: Path) -> None:
    """Any file name works; a pipe has no size, and no position to go on from."""
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jsonl"))
    odd.write_bytes(_line(role="user", content="x"))
    with open_source(str(odd), io.BytesIO()) as source:
        assert source.resumable
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(odd.read_bytes(),))
    writer.start()
    with open_source(str(pipe), io.BytesIO()) as source:
        assert not source.resumable
        assert source.total_bytes is None
    writer.join()


@pytest.mark.parametrize(
    "more", ['"m":NaN', '"m":1e400', f'"m":{"9" * 400}', f'"tokens":{"9" * 40}']
)
def test_a_dry_run_refuses_numbers_that_no_item_can_hold(more: str) -> None:
    """What an import would refuse at the table is told before."""
    content = _line() + f'{{"role":"user","content":"x",{more}}}'.encode()
    assert _run(content).failed == 1


class OneByOne(io.BytesIO):
    """Gives a byte at a time, so that every escape is cut in two."""

    def read(self, size: int | None = -1) -> bytes:
        """At most one byte."""
        return super().read(1 if size else 0)

    def peek(self, _: int) -> bytes:
        """How it begins."""
        return self.getvalue()[:1]


def test_levels_without_end_are_told_and_not_built() -> None:
    """Brackets in brackets end where no conversation goes; brackets in texts are text."""
    ((number, value),) = objects(OneByOne(b"[" * 20_000))
    assert isinstance(value, Bad)
    assert (number, "brackets" in value.reason) == (1, True)
    many = "[" * 5000
    texts = [many, '\\"' + many, "\\" * 5, '"', "\\\\" + "}" * 5000 + many]
    found = [value for _, value in objects(OneByOne(json.dumps(texts).encode()))]
    assert found == texts
