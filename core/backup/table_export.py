"""One table by DynamoDB's own export to S3: a snapshot, and no read units."""

from __future__ import annotations

import uuid
from typing import Any

from core.aws.session import AwsSession
from core.backup import manifest
from core.backup.plans import TablePlan
from core.backup.progress import Observer, Progress
from core.clock import Clock
from core.errors import AwsError, InterruptedRunError, NotFoundError
from core.transfer.patience import Stop

_FIRST_POLL_S = 1.0
_LONGEST_POLL_S = 30.0
_FINISHED = ("COMPLETED", "FAILED")


class TableExport:
    """Exports one table; asked for again it follows the export that was begun."""

    def __init__(
        self,
        session: AwsSession,
        bucket: str,
        prefix: str,
        clock: Clock,
        observe: Observer,
        stop: Stop,
    ) -> None:
        """`prefix` is that of the table's folder, from the bucket's root."""
        self._dynamodb = session.client("dynamodb")
        self._s3 = session.client("s3")
        self._bucket, self._prefix = bucket, prefix
        self._clock, self._observe, self._stop = clock, observe, stop

    def run(self, plan: TablePlan, until_s: float | None = None) -> str:
        """Exports, and waits for the end; answers the export's id.

        Args:
            plan: the table; an incremental one begins at `plan.since`.
            until_s: where an incremental export ends, in seconds since the epoch.

        Raises:
            AwsError: it failed, or is said to be complete and wrote nothing.
            InterruptedRunError: somebody asked to stop; the export itself goes on.
        """
        asked = self._dynamodb.export_table_to_point_in_time(
            TableArn=plan.arn,
            S3Bucket=self._bucket,
            S3Prefix=self._prefix,
            ExportFormat="DYNAMODB_JSON",
            # The same token means the same export: a killed run finds it again.
            ClientToken=str(uuid.uuid5(uuid.NAMESPACE_URL, self._prefix)),
            **_increment(plan, until_s),
        )
        about = self._awaited(plan, str(asked["ExportDescription"]["ExportArn"]))
        if about["ExportStatus"] == "FAILED":
            raise AwsError(
                f"The export of the table '{plan.table}' failed: "
                f"{about.get('FailureMessage', 'no reason given')}",
                "Take the backup with `--method scan`, or look at the export in the console.",
                code=str(about.get("FailureCode", "")),
            )
        export = str(about["ExportArn"]).rpartition("/")[2]
        self._check_written(plan, export)
        return export

    def _awaited(self, plan: TablePlan, arn: str) -> dict[str, Any]:
        delay = _FIRST_POLL_S
        while True:
            about: dict[str, Any] = self._dynamodb.describe_export(ExportArn=arn)[
                "ExportDescription"
            ]
            if about["ExportStatus"] in _FINISHED:
                return about
            if self._stop():
                raise InterruptedRunError("Interrupted.")
            words = f"AWS exports it: {str(about['ExportStatus']).lower()}"
            of = (plan.items or None, plan.bytes or None)
            self._observe(Progress(plan.table, "exporting", 0, 0, 0.0, *of, words))
            self._clock.sleep(delay)
            delay = min(delay * 1.5, _LONGEST_POLL_S)

    def _check_written(self, plan: TablePlan, export: str) -> None:
        key = f"{self._prefix}/{manifest.EXPORTS}/{export}/{manifest.SUMMARY}.json"
        try:
            self._s3.head_object(Bucket=self._bucket, Key=key)
        except NotFoundError as error:
            raise AwsError(
                f"The export of the table '{plan.table}' is said to be complete, but there is no "
                f"'s3://{self._bucket}/{key}': this endpoint does not write exports.",
                "Take the backup with `--method scan`.",
                code="ExportNotWritten",
            ) from error


def _increment(plan: TablePlan, until_s: float | None) -> dict[str, Any]:
    if plan.kind == "full" or plan.since is None or until_s is None:
        return {}
    return {
        "ExportType": "INCREMENTAL_EXPORT",
        "IncrementalExportSpecification": {
            "ExportFromTime": manifest.seconds_of(plan.since),
            "ExportToTime": until_s,
            "ExportViewType": "NEW_AND_OLD_IMAGES",
        },
    }
