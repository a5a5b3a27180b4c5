"""Other libraries that keep conversations in DynamoDB, measured beside ours: extra `bench-peers`.

LangChain's `DynamoDBChatMessageHistory` keeps a session in one item, which it reads and writes
whole for each message. LangGraph's `DynamoDBSaver` writes the state of a graph, all messages
included, as a new checkpoint a step. Neither searches, so what is compared is what they do have:
appending a message, and reading the last 20.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from core.aws.capacity import TableSchema
from core.aws.session import AwsSession
from core.benchmark.layouts.contenders import READ, Outcome, Saying
from core.benchmark.layouts.peer_meter import PeerMeter
from core.benchmark.layouts.plan import Plan, Scenario
from core.benchmark.layouts.samples import Sample, measured, summary
from core.benchmark.layouts.stand import Stand
from core.clock import Clock
from core.errors import UsageError

_PACKAGES = ("langchain_community", "langgraph", "langgraph_checkpoint_aws")
SESSION = "benchmark"


def check_peers() -> None:
    """Refuses where a peer is not installed, before anything runs.

    Raises:
        UsageError: one is not.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"--peers needs {', '.join(missing)}, which is not installed.",
            'Install them: `pip install "ialctl[bench-peers]"`; or leave --peers out.',
        )


class Peer(ABC):
    """A library that is measured, over a table of its own."""

    name: str

    def __init__(
        self, session: AwsSession, schema: TableSchema, clock: Clock, delay_s: float = 0.0
    ) -> None:
        self.exchanges = PeerMeter(clock, delay_s)
        self.model = self.exchanges.no_model
        self._boto = session.boto3_session()
        self.exchanges.listen(self._boto)
        self._where = session.endpoint_url
        self._table = schema.name
        self._open()

    @staticmethod
    @abstractmethod
    def schema(prefix: str) -> TableSchema:
        """The table that it wants."""

    @abstractmethod
    def load(self, texts: Iterable[tuple[str, str]]) -> None:
        """Stores `(role, text)`, one after the other, in as few steps as it can."""

    @abstractmethod
    def append(self, role: str, text: str) -> None:
        """Stores one more."""

    @abstractmethod
    def recent(self) -> int:
        """Reads the last 20; how many there were."""

    @abstractmethod
    def _open(self) -> None:
        """Opens it over its table."""


class LangChain(Peer):
    """A session in an item."""

    name = "LangChain"

    @staticmethod
    def schema(prefix: str) -> TableSchema:
        """An item a session."""
        return TableSchema(f"{prefix}-langchain", "SessionId")

    def _open(self) -> None:
        from langchain_community.chat_message_histories import DynamoDBChatMessageHistory

        self._history = DynamoDBChatMessageHistory(
            self._table, SESSION, endpoint_url=self._where, boto3_session=self._boto
        )

    def load(self, texts: Iterable[tuple[str, str]]) -> None:
        """In one item."""
        self._history.add_messages([_message(*text) for text in texts])

    def append(self, role: str, text: str) -> None:
        """Reads all, writes all."""
        self._history.add_messages([_message(role, text)])

    def recent(self) -> int:
        """Reads all."""
        return len(self._history.messages[-READ:])


class LangGraph(Peer):
    """A checkpoint a step."""

    name = "LangGraph"
    compressed = False

    @staticmethod
    def schema(prefix: str) -> TableSchema:
        """Checkpoints and writes by thread."""
        return TableSchema(f"{prefix}-langgraph", "PK", "SK")

    def _open(self) -> None:
        from langgraph.graph import END, START, MessagesState, StateGraph
        from langgraph_checkpoint_aws import DynamoDBSaver

        saver = DynamoDBSaver(
            self._table,
            session=self._boto,
            endpoint_url=self._where,
            enable_checkpoint_compression=self.compressed,
        )
        graph = StateGraph(MessagesState)
        graph.add_node("said", lambda _: {"messages": []})
        graph.add_edge(START, "said")
        graph.add_edge("said", END)
        self._graph = graph.compile(checkpointer=saver)
        self._config = {"configurable": {"thread_id": f"{SESSION}-{self.compressed}"}}

    def load(self, texts: Iterable[tuple[str, str]]) -> None:
        """In one step."""
        self._graph.update_state(self._config, {"messages": [_message(*t) for t in texts]})

    def append(self, role: str, text: str) -> None:
        """Reads the state, writes the next."""
        self.load([(role, text)])

    def recent(self) -> int:
        """Reads the state."""
        return len(self._graph.get_state(self._config).values["messages"][-READ:])


class CompressedLangGraph(LangGraph):
    """Checkpoints compressed."""

    name = "LangGraph, compressed"
    compressed = True


PEERS: tuple[type[Peer], ...] = (LangChain, LangGraph, CompressedLangGraph)


def peer_rows(
    stand: Stand,
    scenario: Scenario,
    plan: Plan,
    clock: Clock,
    check: Callable[[], None],
) -> Iterator[dict[str, Any]]:
    """A row of a result for each peer and operation, over the scenario's first history."""
    conversation = scenario.histories[0].conversation
    texts = [(m.role, m.content) for m in conversation.messages]
    for kind in PEERS:
        check()
        peer = kind(stand.session, kind.schema(stand.opener.prefix), clock, plan.rtt_ms / 1000)
        peer.load(texts)
        saying = Saying(conversation)
        for operation in ("recent", "append"):
            samples = [
                _sample(peer, partial(_call, peer, operation, saying), clock)
                for _ in range(plan.effort.append_calls * 2)
            ]
            yield {
                "layout": peer.name,
                "operation": operation,
                "scenario": scenario.label,
                "messages": scenario.messages,
                **summary([samples]),
                "times": [],
                "reference": [],
            }


def peer_schemas(prefix: str) -> tuple[TableSchema, ...]:
    """The tables that they want, each once."""
    return tuple(dict.fromkeys(kind.schema(prefix) for kind in PEERS))


def _call(peer: Peer, operation: str, saying: Saying) -> None:
    if operation == "recent":
        peer.recent()
    else:
        peer.append(*saying.next())


def _sample(peer: Peer, call: Callable[[], object], clock: Clock) -> Sample:
    def outcome() -> Outcome:
        call()
        return Outcome(peer.exchanges.consumed())

    return measured(peer, outcome, clock)


def _message(role: str, text: str) -> Any:
    from langchain_core.messages import AIMessage, HumanMessage

    return HumanMessage(text) if role == "user" else AIMessage(text)
