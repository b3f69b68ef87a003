"""Who gives up bytes holds a lease: it is renewed while the work runs, and whoever lost it records nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from headwater.durable import on_crash_point
from headwater.errors import ConflictError
from headwater.lake.collecting import delete
from headwater.lake.needles import Needles
from headwater.ledger.leases import Lease, take_lease
from headwater.project import LocalProject
from headwater.trace import collecting, verify
from headwater.trace.collecting import LEASE, collect
from headwater.trace.erasing import erase
from headwater.trace.finding import places
from tests.trace.test_collecting import age, version
from tests.trace.test_erasing import ID, MAIL, NAME, SUBJECT, WHY, plant

_BESIDE = {"audit", "leases", "counters", "packs"}


def taken_by_another(project: LocalProject) -> Lease:
    """Let the lease run out, as it does while its holder is paused, and take it for somebody else."""
    with project.ledger.write() as tx:
        tx.execute("UPDATE leases SET expires_at = 0 WHERE name = ?", (LEASE,))
        taken = take_lease(tx, LEASE, "bob", ttl_s=60)
    assert taken is not None
    return taken


def recorded(project: LocalProject) -> dict[str, list[tuple[Any, ...]]]:
    with project.ledger.read() as tx:
        return {
            table: sorted((tuple(row) for row in tx.all(f'SELECT * FROM "{table}"')), key=repr)
            for table in tx.tables()
            if table not in _BESIDE
        }


class Paused:
    """Stands at a crash point as a process that is paused there until somebody else took its lease."""

    def __init__(self, project: LocalProject, at: str) -> None:
        self.project, self.at = project, at
        self.then: dict[str, list[tuple[Any, ...]]] | None = None

    def __call__(self, name: str) -> None:
        if name == self.at and self.then is None:
            self.then = {}
            taken_by_another(self.unfenced())
            self.then = recorded(self.project)

    def unfenced(self) -> LocalProject:
        from headwater.project import open_project

        other = open_project(self.project.folder, actor="bob")
        assert isinstance(other, LocalProject)
        return other


ERASING = (
    "erase.versions.durable",
    "erase.fact",
    *(
        pytest.param(name, marks=pytest.mark.long)
        for name in ("erase.sealed", "erase.versions.recorded", "erase.derived", "erase.rewritten", "erase.packs")
    ),
)


@pytest.mark.parametrize("point", ERASING)
def test_an_erasure_that_was_paused_past_its_lease_records_nothing_when_it_wakes(
    sqlite_project: LocalProject, tmp_path: Path, point: str
) -> None:
    plant(sqlite_project, tmp_path)
    paused = Paused(sqlite_project, point)
    on_crash_point(paused)
    try:
        with pytest.raises(ConflictError, match=f"lease '{LEASE}' .* is lost: 'bob' holds it"):
            erase(sqlite_project, SUBJECT, why=WHY, carry_out=True)
    finally:
        on_crash_point(None)

    assert paused.then and recorded(sqlite_project) == paused.then
    with sqlite_project.ledger.write() as tx:
        tx.execute("UPDATE leases SET expires_at = 0")
    erase(sqlite_project, SUBJECT, why=WHY, carry_out=True)
    assert list(places(sqlite_project, Needles([NAME, MAIL, ID]))) == []
    assert [each for each in verify(sqlite_project) if each.severity == "error"] == []


def test_a_collection_that_was_paused_past_its_lease_records_nothing_when_it_wakes(
    sqlite_project: LocalProject,
) -> None:
    delete(sqlite_project, version(sqlite_project, "ab").ref, "over")
    age(sqlite_project, 2)
    paused = Paused(sqlite_project, "collect.rewritten")
    on_crash_point(paused)
    try:
        with pytest.raises(ConflictError, match="is lost"):
            collect(sqlite_project, free=True)
    finally:
        on_crash_point(None)

    assert paused.then and recorded(sqlite_project) == paused.then


@pytest.mark.long
def test_the_lease_of_an_erasure_is_renewed_for_as_long_as_it_runs(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(sqlite_project, tmp_path)
    monkeypatch.setattr(collecting, "LEASE_S", 0.3)
    met: list[Lease | None] = []

    def slowly(name: str) -> None:
        if name == "erase.versions.recorded":
            time.sleep(0.8)
            with Paused(sqlite_project, "").unfenced().ledger.write() as tx:
                met.append(take_lease(tx, LEASE, "bob", ttl_s=60))

    on_crash_point(slowly)
    try:
        done = erase(sqlite_project, SUBJECT, why=WHY, carry_out=True)
    finally:
        on_crash_point(None)

    assert met == [None] and done.left == ()


def test_a_fence_is_of_the_thread_and_the_block_that_it_was_made_for(sqlite_project: LocalProject) -> None:
    with sqlite_project.ledger.write() as tx:
        lease = take_lease(tx, "work", "ann", ttl_s=60)
        assert lease is not None
        tx.execute("UPDATE leases SET token = token + 1 WHERE name = 'work'")

    with (
        sqlite_project.ledger.fenced("work", lease.token),
        pytest.raises(ConflictError, match="is lost"),
        sqlite_project.ledger.write() as tx,
    ):
        tx.next("seen")
    with sqlite_project.ledger.write() as tx:
        assert tx.next("seen") == 1
