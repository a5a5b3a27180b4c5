"""The migration without its guide: deploys the optimized tables, copies, and validates.

    python -m scripts.migrate_dynamodb_optimization              what it would do
    python -m scripts.migrate_dynamodb_optimization --execute    does it

It is the engine of `ialctl migrate`, which goes on where this ended, and cuts over.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.clock import SYSTEM_CLOCK, Clock, Ids, new_id
from core.errors import DifferenceError, IalError, InterruptedRunError, details

if TYPE_CHECKING:
    from core.aws.session import AwsSession
    from core.deploy.values import Result
    from core.migration.journal import Going
    from core.migration.migrator import Migrator, Status
    from core.migration.planning import Plan
    from core.migration.verifying import Verification
    from core.migration.wiring import Options
    from core.settings import Settings


class DynamoDBOptimizationMigrator:
    """Brings a project's legacy conversations into the optimized tables.

    Every call may be killed and made again. All raise `TargetError`s of the target.
    """

    def __init__(
        self,
        settings: Settings,
        session: AwsSession | None = None,
        options: Options | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
        ids: Ids = new_id,
    ) -> None:
        """`session` are clients of the target; None: the settings' own."""
        from core.aws.embedded import open_session
        from core.migration.migrator import Migrator
        from core.migration.wiring import Options

        self._settings, self._clock, self._ids = settings, clock, ids
        self._session = session or open_session(settings)
        self._options = options or Options()
        self.stopped = False
        self._migrator: Migrator = Migrator(
            self._session,
            settings,
            clock,
            ids,
            self._options,
            observe=_tell,
            stop=lambda: self.stopped,
        )

    def stop(self) -> None:
        """Ends what goes on at its next safe point."""
        self.stopped = True

    def plan(self) -> Plan:
        """What would be moved; changes nothing.

        Raises:
            NotFoundError: there is no legacy table.
        """
        from core.migration.planning import plan
        from core.migration.wiring import Wiring

        with Wiring(self._session, self._settings, self._clock, self._options) as wiring:
            return plan(wiring, self._settings.project)

    def deploy_optimized_tables(self) -> Result:
        """Deploys all phases, as `ialctl start` does; changes nothing that stands as described.

        Raises:
            DeployError: they can't be deployed.
            LockHeldError: another deployment goes on.
        """
        from core.deploy.service import Deployment

        made = Deployment(self._settings, self._session, clock=self._clock, ids=self._ids)
        with made.locked():
            return made.apply(made.plan())

    def migrate_conversation_data(self, *, restart: bool = False) -> Status:
        """Copies all messages, following what changes meanwhile, until both sides are level.

        Raises:
            DifferenceError: more items could not be moved than are allowed.
            LockHeldError: another migration goes on.
            UsageError: it was begun with other settings, or following lost its place.
        """
        self._migrator.run(restart=restart)
        return self._migrator.status()

    def validate_migration(self, *, sample: int | None = None) -> Verification:
        """Compares both sides; of `sample` users (None: all) also what engines would be told.

        Raises:
            UsageError: nothing was copied yet.
        """
        folder = self._settings.project_state_dir / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        return self._migrator.verify(sample=sample, folder=folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs it; returns the exit code, as `ialctl` has them."""
    given = _parser().parse_args(arguments)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return _run(given)
    except IalError as error:
        _say(json.dumps(details(error)) if given.json else f"✗ {error.what}\n  → {error.cure}")
        return error.exit_code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(given: argparse.Namespace) -> int:
    from core.migration.wiring import Options
    from core.settings import load_settings

    settings = load_settings({"project": given.project, "target": given.target}).settings
    letters = settings.state_dir / "migration" / f"{settings.project}-dead-letters.jsonl"
    options = Options(
        max_rcu=given.max_rcu,
        max_wcu=given.max_wcu,
        max_failed=given.max_failed,
        dead_letters=given.dead_letters or letters,
        embed=given.embed,
    )
    migrator = DynamoDBOptimizationMigrator(settings, options=options)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: migrator.stop())
    plan = migrator.plan()
    messages = plan.about(plan.counts.messages)
    failing = plan.about(plan.counts.unmapped)
    if not given.execute:
        _report(given, {"executed": False, "messages": messages, "not_mapped": failing})
        _say("Nothing was changed: add --execute.")
        return 0
    migrator.deploy_optimized_tables()
    if migrator.stopped:
        raise InterruptedRunError("Interrupted.", "Run the same command again.")
    status = migrator.migrate_conversation_data(restart=given.restart)
    found = migrator.validate_migration(sample=given.sample or None)
    about = {
        "executed": True,
        "copied": sum(mark.copied for mark in status.marks),
        "expired": sum(mark.expired for mark in status.marks),
        "failed": status.failed,
        "equal": found.equal,
        "mismatches": [dataclasses.asdict(one) for one in found.mismatches],
    }
    _report(given, about)
    if not found.equal:
        raise DifferenceError(
            f"{len(found.mismatches)} differences were found.",
            "Look at them: `ialctl migrate verify`; put them right: `--repair`.",
        )
    _say("Next: `ialctl migrate cutover --execute`.")
    return 0


def _report(given: argparse.Namespace, about: dict[str, Any]) -> None:
    if given.json:
        schema = {"schema": "ialctl.migrate-script/1"}
        sys.stdout.write(json.dumps(schema | about, default=str) + "\n")
        return
    for name, value in about.items():
        shown = len(value) if isinstance(value, list) else value
        sys.stdout.write(f"{name.replace('_', ' '):<12} {shown}\n")


def _tell(going: Going) -> None:
    numbers = going.numbers
    _say(f"{going.what}: {numbers.get('seen', 0):,.0f} items read, {going.rate:,.0f}/s")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="migrate_dynamodb_optimization",
        description="Copies a legacy project into the optimized tables, and validates that.",
    )
    parser.add_argument("--execute", action="store_true", help="do it; otherwise only tell")
    parser.add_argument("--project", help="prefix of the tables (default: the settings')")
    parser.add_argument("--target", help="local or aws (default: the settings')")
    parser.add_argument("--max-rcu", type=float, help="read units a second, at most")
    parser.add_argument("--max-wcu", type=float, help="write units a second, at most")
    parser.add_argument("--max-failed", type=int, default=0, help="items that may fail to map")
    parser.add_argument("--dead-letters", type=Path, help="where those are written")
    parser.add_argument("--embed", action="store_true", help="make vectors while copying")
    parser.add_argument("--restart", action="store_true", help="copy anew")
    parser.add_argument("--sample", type=int, default=200, help="users looked at (0: all)")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
