"""How much a memory is used, and on what terms it is paid: what a user of the model states.

A month is 730 hours, as in AWS's own calculator: 30 days and 10 hours.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from core.errors import UsageError

HOURS_A_MONTH = 730.0
DAYS_A_MONTH = HOURS_A_MONTH / 24
_MOST = 1e12
BILLINGS = ("on-demand", "provisioned", "standard-ia")
EMBEDDERS = ("hashing", "titan")


@dataclass(frozen=True)
class Usage:
    """What all users do, every day alike, once the history has its full length.

    Attributes:
        users: how many there are.
        messages_per_day: of one user, both sides of the talk counted.
        history_days: days after which a message expires.
        contexts_per_message: 0.5 is one for each thing that a user says.
        cold_share: 0 to 1: contexts built by a process that does not know the user yet.
        searches_per_day: of one user, beside the contexts.
        recents_per_day: of one user: reads of the newest messages, beside the contexts.
    """

    users: float
    messages_per_day: float
    history_days: float
    contexts_per_message: float = 0.5
    cold_share: float = 0.1
    searches_per_day: float = 1.0
    recents_per_day: float = 1.0

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            UsageError: a figure is negative or no number, or a share above 1.
        """
        for name, value in dataclasses.asdict(self).items():
            _at_least_0(name, value)
        if self.cold_share > 1:
            raise UsageError(
                f"The share of cold contexts is {self.cold_share:g}.", "Name one from 0 to 1."
            )

    @property
    def messages(self) -> float:
        """Messages a month, of all users."""
        return self.users * self.messages_per_day * DAYS_A_MONTH

    @property
    def contexts(self) -> float:
        """Contexts a month, of all users."""
        return self.messages * self.contexts_per_message

    @property
    def searches(self) -> float:
        """Searches a month, of all users."""
        return self.users * self.searches_per_day * DAYS_A_MONTH

    @property
    def recents(self) -> float:
        """Reads of the newest messages a month, of all users."""
        return self.users * self.recents_per_day * DAYS_A_MONTH

    @property
    def history(self) -> float:
        """Messages that stand of one user."""
        return self.messages_per_day * self.history_days

    @property
    def standing(self) -> float:
        """Messages that stand, of all users."""
        return self.users * self.history


@dataclass(frozen=True)
class Terms:
    """On what terms it is paid, and what is switched on.

    Attributes:
        billing: on-demand, provisioned (standard tables), or standard-ia (on demand).
        embedder: hashing costs nothing; titan is Titan V2 on Bedrock, by tokens.
        peak_to_mean: how many times the mean rate is provisioned for.
        utilisation: the share of provisioned capacity that autoscaling aims at.
        pitr: whether point-in-time recovery is on, as the templates have it.
        exports_per_month: full backups by AWS's own export.
        exports_kept: how many of them stay in the bucket.
        alarms: of the optimized layout; 15 are deployed. The legacy one has none.
        dashboards: likewise; 1 is deployed.
        free_tier: whether the account's free tier is taken off.
    """

    billing: str = "on-demand"
    embedder: str = "hashing"
    peak_to_mean: float = 3.0
    utilisation: float = 0.7
    pitr: bool = True
    exports_per_month: float = 0.0
    exports_kept: float = 4.0
    alarms: int = 15
    dashboards: int = 1
    free_tier: bool = False

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            UsageError: a choice that does not exist, a figure that can't be.
        """
        _one_of("terms", self.billing, BILLINGS)
        _one_of("embedder", self.embedder, EMBEDDERS)
        _at_least_0("exports_per_month", self.exports_per_month)
        _at_least_0("exports_kept", self.exports_kept)
        if not 1 <= self.peak_to_mean <= _MOST:
            raise UsageError(
                f"The peak is {self.peak_to_mean:g} times the mean.", "Name 1 or more."
            )
        if not 0 < self.utilisation <= 1:
            raise UsageError(
                f"The utilisation is {self.utilisation:g}.", "Name a share above 0, up to 1."
            )


def _at_least_0(name: str, value: float) -> None:
    if not 0 <= value <= _MOST:
        option = "--" + name.replace("_", "-")
        raise UsageError(f"{option} is {value:g}.", f"Name a number from 0 to {_MOST:g}.")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"--{name} is '{value}'.", f"Choose one of {', '.join(allowed)}.")
