"""Steps of a migration for a process of its own, that is killed somewhere in them."""

from __future__ import annotations

from pathlib import Path

from tests.migrating import Moving


def main(endpoint_url: str, project: str, folder: str, step: str) -> None:
    """Takes one step to its end."""
    take(Moving.at(endpoint_url, project, Path(folder)), step)


def take(moving: Moving, step: str) -> None:
    """Takes a step as it is taken by hand: repeated until it says that it is done."""
    migrator = moving.migrator()
    if step == "run":
        migrator.run()
    elif step == "verify":
        migrator.verify(sample=0, repair=True, folder=moving.folder)
    elif step == "cutover":
        migrator.cut_over()
    else:
        migrator.roll_back()
