"""What manifests say of a table that was read."""

from __future__ import annotations

from core.backup import manifest
from core.backup.manifest import Summary, TableBackup
from core.backup.plans import TablePlan
from core.backup.table_scan import ScanResult


def of_scan(table: TablePlan, scan: ScanResult) -> TableBackup:
    """What `set.json` says of a table that was scanned, or whose stream was read."""
    until_s = scan.until_s
    return TableBackup(
        table=table.table,
        table_id=table.table_id,
        keys=table.keys,
        folder=table.folder,
        kind=table.kind,
        method=table.method,
        consistent=until_s is not None,
        why_not=scan.why_not,
        started_at=scan.started_at,
        finished_at=scan.finished_at,
        at=scan.finished_at if until_s is None else manifest.instant(until_s),
        items=scan.totals.items,
        item_bytes=scan.totals.item_bytes,
        files=len(scan.totals.files),
        file_bytes=scan.totals.file_bytes,
        read_units=scan.read_units,
        # Not brought to an instant: an increment replays the stream from before the scan.
        position=scan.position or table.position,
    )


def summary_of(table: TablePlan, made: TableBackup, prefix: str, files_key: str) -> Summary:
    """What the export's own manifest says of it."""
    incremental = table.kind == "incremental"
    return Summary(
        export_arn=f"{table.arn}/export/{table.export_id}",
        table_arn=table.arn,
        table_id=table.table_id,
        started_at=made.started_at,
        finished_at=made.finished_at,
        at=made.at,
        bucket="",
        prefix=prefix,
        manifest_files_key=files_key,
        item_bytes=made.item_bytes,
        items=made.items,
        export_type="INCREMENTAL_EXPORT" if incremental else "FULL_EXPORT",
        from_time=table.since if incremental else None,
        to_time=made.at if incremental else None,
    )
