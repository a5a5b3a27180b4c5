"""Restores a table by AWS's own import from a bucket: a new table, at no cost of write units.

It reads what an export of AWS's looks like, which is what a backup writes. It counts what it
could not take, so its own word "completed" is checked against the counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.aws.session import AwsSession
from core.backup import manifest
from core.backup.opening import BackedUpTable, Layer
from core.backup.place import Place
from core.backup.progress import Observer, Progress
from core.backup.reading import joined
from core.backup.restore_marks import State
from core.backup.table_settings import TableSettings
from core.clock import Clock
from core.errors import (
    AlreadyExistsError,
    DifferenceError,
    IalError,
    InterruptedRunError,
    UsageError,
)
from core.transfer.patience import Stop

_POLL_S = (0.2, 20.0)
_CREATION = (
    *("AttributeDefinitions", "KeySchema", "BillingMode", "ProvisionedThroughput"),
    *("OnDemandThroughput", "SSESpecification", "GlobalSecondaryIndexes", "VectorIndexes"),
)
_COMPRESSIONS: Mapping[str, str] = {".json.gz": "GZIP", ".json.zst": "ZSTD"}


@dataclass(frozen=True)
class Import:
    """An import as it stands: items processed and imported, and how it ended, if it has."""

    arn: str
    status: str
    processed: int
    imported: int
    errors: int
    bytes: int
    failure: str


_NO_BUCKET = "the backup is not in a bucket"


def check_importable(
    session: AwsSession,
    place: Place,
    table: BackedUpTable,
    settings: TableSettings | None,
    state: State,
) -> None:
    """Refuses what AWS can't import.

    Raises:
        UsageError: says why not.
    """
    reason = _reason_against(session, place, table, settings)
    if not reason and state not in ("new", "begun"):
        reason = "an import makes a new table, and its target stands already"
    if reason:
        raise UsageError(
            f"The table '{table.table}' can't be restored by import: {reason}.",
            "Leave `--method import` out: its items are written one by one then.",
        )


class Importer:
    """Imports tables. For one thread."""

    def __init__(
        self, session: AwsSession, place: Place, clock: Clock, observe: Observer, stop: Stop
    ) -> None:
        self._client = session.client("dynamodb")
        self._place, self._clock = place, clock
        self._observe, self._stop = observe, stop

    def begin(self, table: BackedUpTable, settings: TableSettings, target: str, token: str) -> str:
        """Starts an import, or finds the one that was started with this token; answers its ARN."""
        layer = table.layers[0]
        bucket, folder = _source(self._place, layer)
        creation = {name: settings.create[name] for name in _CREATION if name in settings.create}
        try:
            answer = self._client.import_table(
                ClientToken=token,
                S3BucketSource={"S3Bucket": bucket, "S3KeyPrefix": f"{folder}/"},
                InputFormat="DYNAMODB_JSON",
                InputCompressionType=_compression(layer),
                TableCreationParameters={"TableName": target, **creation},
            )
        except AlreadyExistsError:
            known = self._known(target, token)
            if known is None:
                raise
            return known
        return str(answer["ImportTableDescription"]["ImportArn"])

    def _known(self, target: str, token: str) -> str | None:
        """The import that was asked for with this token and made the table."""
        arn = self._client.describe_table(TableName=target)["Table"]["TableArn"]
        for found in self._client.list_imports(TableArn=arn).get("ImportSummaryList") or ():
            about = self._client.describe_import(ImportArn=found["ImportArn"])
            if about["ImportTableDescription"].get("ClientToken") == token:
                return str(found["ImportArn"])
        return None

    def wait(self, arn: str, table: BackedUpTable, target: str) -> Import:
        """Returns when the import has ended well.

        Raises:
            DifferenceError: it took fewer items than there are.
            IalError: it failed; says why.
            InterruptedRunError: somebody asked to stop; the import itself goes on.
        """
        delay_s, longest_s = _POLL_S
        expected = table.layers[0].export.summary.items
        while (found := self._read(arn)).status in ("IN_PROGRESS", "CANCELLING"):
            told = Progress(target, "writing", found.imported, found.bytes, 0.0, expected)
            self._observe(told)
            if self._stop():
                raise InterruptedRunError(
                    "Interrupted; AWS goes on importing.", "The same command waits for it again."
                )
            self._clock.sleep(delay_s)
            delay_s = min(delay_s * 2, longest_s)
        _check(found, target, expected)
        return found

    def _read(self, arn: str) -> Import:
        about = self._client.describe_import(ImportArn=arn)["ImportTableDescription"]
        failure = f"{about.get('FailureCode') or ''} {about.get('FailureMessage') or ''}".strip()
        return Import(
            arn,
            str(about["ImportStatus"]),
            int(about.get("ProcessedItemCount") or 0),
            int(about.get("ImportedItemCount") or 0),
            int(about.get("ErrorCount") or 0),
            int(about.get("ProcessedSizeBytes") or 0),
            failure,
        )


def _check(found: Import, target: str, expected: int) -> None:
    cure = f"Delete the table '{target}', and restore without `--method import`."
    if found.status != "COMPLETED":
        raise IalError(
            f"The import of '{target}' ended as {found.status.lower()}: "
            f"{found.failure or 'no reason was given'}.",
            cure,
            table=target,
            arn=found.arn,
        )
    if found.errors or not found.processed == found.imported == expected:
        raise DifferenceError(
            f"The import of '{target}' took {found.imported} of {expected} items "
            f"({found.processed} processed, {found.errors} errors).",
            cure,
            table=target,
            arn=found.arn,
        )


def _reason_against(
    session: AwsSession, place: Place, table: BackedUpTable, settings: TableSettings | None
) -> str:
    layer = table.layers[0]
    reasons = {
        _NO_BUCKET: place.bucket is None,
        "it has increments, which no import knows": len(table.layers) > 1,
        "it is encrypted, which AWS can't open": layer.opener is not None,
        "the export does not say what its table was like": settings is None,
        "it has local indexes, which no import makes": bool(
            settings and settings.create.get("LocalSecondaryIndexes")
        ),
        "its files are compressed in different ways": len(_endings(layer)) > 1,
        "this endpoint imports gzip only": (
            session.endpoint_url is not None and ".json.zst" in _endings(layer)
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _endings(layer: Layer) -> set[str]:
    names = [file.name for file in layer.export.files]
    return {ending for ending in _COMPRESSIONS if any(name.endswith(ending) for name in names)}


def _compression(layer: Layer) -> str:
    return next((_COMPRESSIONS[ending] for ending in _endings(layer)), "NONE")


def _source(place: Place, layer: Layer) -> tuple[str, str]:
    """Bucket, and the folder of the data files from its root."""
    if place.bucket is None:
        raise UsageError(f"'{place.url}' can't be imported from: {_NO_BUCKET}.")
    bucket, prefix = place.bucket
    return bucket, joined(prefix, joined(layer.export.folder, manifest.DATA))
