"""A project whose machine loses power after any acknowledgement still has all that was acknowledged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.crash import writer
from tests.crash.cases import Cases, running
from tests.crash.power import Disk, record, replay

SYNCS = [
    "project.create.sync_directory",
    "project.settings.sync",
    "project.settings.sync_directory",
    "ledger.create.sync",
    "ledger.create.sync_directory",
    "objects.folder.sync_directory",
    "objects.pack.sync",
    "objects.pack.sync_directory",
    "events.folder.sync_directory",
    "events.segment.sync_directory",
    "events.append.sync",
    "sqlite",
]
QUICK = ("objects.pack.sync", "objects.pack.sync_directory", "events.append.sync", "sqlite")
"""Those that are left out in the normal run too; the rest are left out in the long one."""

REDUNDANT = {"ledger.create.sync": "SQLite syncs the file itself when its last connection closes"}


def lost(place: Path, left_out: str = "", rounds: int = 1) -> list[str]:
    """Cut the power at each acknowledgement; return what was lost, or had gone wrong, the first time it was."""
    folder = place / "written"
    writer.prepare(folder)
    trace = record(folder, left_out, rounds)
    with running(place) as cases:
        count = 0
        for acks, disk in replay(folder, trace):
            count += 1
            for entries in ("synced", "seen"):
                found = _after(cases, place / f"{count}-{entries}", acks, disk, entries)
                if found:
                    return found
    assert count > 12
    return []


def _after(cases: Cases, folder: Path, acks: bytes, disk: Disk, entries: str) -> list[str]:
    disk.leave(folder, entries=entries)
    (folder / "acks.jsonl").write_bytes(acks)
    found = cases.check(folder)
    shutil.rmtree(folder)
    return found


@pytest.mark.parametrize("rounds", [1, pytest.param(2, marks=pytest.mark.long)])
def test_nothing_acknowledged_is_lost_with_the_power(tmp_path: Path, rounds: int) -> None:
    assert lost(tmp_path, rounds=rounds) == []


@pytest.mark.parametrize(
    "sync", [each if each in QUICK else pytest.param(each, marks=pytest.mark.long) for each in SYNCS]
)
def test_each_sync_is_needed(tmp_path: Path, sync: str) -> None:
    found = lost(tmp_path, sync)

    assert bool(found) != (sync in REDUNDANT), REDUNDANT.get(sync, "nothing was lost without it")
