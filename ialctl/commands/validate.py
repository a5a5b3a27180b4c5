"""`ialctl validate`: is what is deployed, and what it holds, as it should be?"""

from __future__ import annotations

from typing import Annotated

import typer

from ialctl.command import command
from ialctl.context import AppContext

EXAMPLES = ("ialctl validate", "ialctl validate --repair --dry-run")
_Repair = Annotated[
    bool, typer.Option("--repair", help="Put right what can be put right without guessing.")
]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="With --repair: show what would be done, and stop.")
]
_User = Annotated[
    str | None,
    typer.Option("--user", help="Only what stands of this user; no structure.", metavar="ID"),
]
_MaxRcu = Annotated[
    float | None,
    typer.Option("--max-rcu", help="Read units a second at most.", metavar="N"),
]


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @command(app, "validate", examples=EXAMPLES)
    def validate(
        context: AppContext,
        repair: _Repair = False,
        dry_run: _DryRun = False,
        user: _User = None,
        max_rcu: _MaxRcu = None,
    ) -> None:
        """Check tables against the templates and data against invariants; exit 3 if violated."""
        from ialctl.validating import Wish, check_differences, run_validation, show

        wish = Wish(user, max_rcu, repair=repair, dry_run=dry_run)
        outcome = run_validation(context, wish)
        show(context, wish, outcome)
        check_differences(wish, outcome)
