"""Opens contenders at a target; told in values alone, so that another process can do the same."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from core.aws.session import AwsSession
from core.benchmark.layouts.contenders import (
    CountingEmbedder,
    Home,
    LegacyContender,
    OptimizedContender,
)
from core.benchmark.layouts.exchanges import Exchanges
from core.clock import SYSTEM_CLOCK, Clock, Random
from core.llm.choosing import open_embedder
from core.memory.parts import Options
from core.settings import Settings


@dataclass(frozen=True)
class Target:
    """Where a benchmark runs: the settings and the endpoint, and the folder for its notes."""

    settings: Settings
    endpoint_url: str | None
    folder: Path

    @property
    def project(self) -> str:
        """The project's name."""
        return self.settings.project

    def session(self, clock: Clock, exchanges: Exchanges | None = None) -> AwsSession:
        """Clients of the target."""
        if exchanges is None:
            return AwsSession(self.settings, self.endpoint_url, clock)
        return AwsSession(self.settings, self.endpoint_url, clock, around=exchanges)


@dataclass(frozen=True)
class Opener:
    """Opens contenders over the tables under `prefix`.

    `rtt_ms` is waited before each request, `embedding_ms` at each call of the model. `redis_url`
    is where contexts are shared (None: nowhere).
    """

    target: Target
    prefix: str
    seed: int = 1
    rtt_ms: float = 0.0
    embedding_ms: float = 0.0
    redis_url: str | None = None
    clock: Clock = SYSTEM_CLOCK

    def legacy(self) -> LegacyContender:
        """The legacy engine."""
        return LegacyContender(self.home())

    def whole(self, messages: int) -> LegacyContender:
        """A legacy engine that searches histories of so many messages whole."""
        return self.legacy().whole(messages)

    def inline(self) -> LegacyContender:
        """A legacy engine over items that carry their vectors."""
        return self.legacy().inline()

    def optimized(self) -> OptimizedContender:
        """The optimized engine."""
        return OptimizedContender(self.home())

    def home(self) -> Home:
        """What a contender lives on: a client and a model of its own."""
        rng = Random(self.seed)
        exchanges = Exchanges(self.clock, rng, self.rtt_ms / 1000)
        session = self.target.session(self.clock, exchanges)
        embedder = open_embedder(self.target.settings, session, self.clock).inner
        model = CountingEmbedder(embedder, self.clock, self.embedding_ms / 1000)
        options = dataclasses.replace(
            Options.of(self.target.settings),
            project=self.prefix,
            generation="",
            redis_url=self.redis_url,
        )
        return Home(session, exchanges, self.prefix, model, options, self.clock)
