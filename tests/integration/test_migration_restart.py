"""Following that lost its place after the cut-over begins anew without copying anything."""

from __future__ import annotations

from pathlib import Path

from tests.legacy_tables import fill_legacy
from tests.migrating import Moving


def test_what_engines_deleted_does_not_come_back(
    endpoint_url: str, project: str, tmp_path: Path
) -> None:
    """Begun anew, it follows from then on; what differs since is found and named, not undone."""
    moving = Moving.make(endpoint_url, project, tmp_path)
    moving.note_engine("legacy")
    fill_legacy(moving.aws, project, items=20, users=2, large=0)
    moving.migrate()
    gone, changed = moving.heads()[:2]
    moving.remove(moving.history, gone, "user_date", "timestamp_type")
    moving.put(moving.history, {**changed, "archived": "yes"})
    moving.migrator().run(restart=True)
    after = {head["message_id"]: head for head in moving.heads()}
    assert gone["message_id"] not in after
    assert after[changed["message_id"]]["archived"] == "yes"
    state = moving.migrator().status().state
    assert state is not None
    assert state.status == "cut_over"
    kinds = {m.sort_key: m.kind for m in moving.verify().mismatches if m.kind != "index"}
    named = {gone["sort_key"]: "missing", changed["sort_key"]: "changed"}
    assert kinds.items() >= named.items()
