"""S3's objects on disk: none acknowledged that was not written, none kept in memory beside it.

The emulator writes every object's body to a file before it answers, but takes a disk that refuses
for a warning, and keeps the bodies of a versioned bucket in memory as well.
"""

from __future__ import annotations

import errno
from contextvars import ContextVar
from typing import Any

failures: ContextVar[list[OSError]] = ContextVar("failures")
"""What this request could not write; each request has a list of its own."""


def guard_objects(module: Any) -> None:
    """Lays this around the functions of the emulator's `s3` that write objects."""
    write, persist = module._atomic_write, module._persist_object

    def atomic_write(*arguments: Any, **options: Any) -> None:
        try:
            write(*arguments, **options)
        except OSError as error:
            _note(error)
            raise

    def persist_object(bucket: str, key: str, obj: Any) -> None:
        persist(bucket, key, obj)
        if not isinstance(obj, dict):
            return
        if obj.get("body") is not None:  # let go of only once it is on disk
            _note(OSError(errno.EIO, "an object's file can't be written"))
            return
        version = obj.get("version_id") or "null"
        for entry in module._object_versions.get((bucket, key)) or ():
            if entry["version_id"] == version:
                entry["data"] = None  # read from the object's file from now on

    module._atomic_write = atomic_write
    module._persist_object = persist_object


def _note(error: OSError) -> None:
    found = failures.get(None)
    if found is not None:
        found.append(error)
