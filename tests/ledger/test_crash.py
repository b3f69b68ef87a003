"""A process may die at any instruction: what it acknowledged is there, and nothing is there by half."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from headwater import durable
from headwater.errors import NotFoundError, StorageError
from headwater.ledger import Ledger, create_ledger, open_ledger, verify_chain
from tests.ledger.workers import now, start_worker


def damage(ledger: Ledger, name: str, acknowledged: int) -> list[str]:
    """Return what is wrong with the facts of a killed writer."""
    wrong: list[str] = []
    with ledger.read() as tx:
        edges = {(row.child, row.role) for row in tx.all("SELECT child, role FROM edges")}
        facts = {child for child, _ in edges}
        wrong += [f"{fact} is half there" for fact in sorted(facts) if not {(fact, "left"), (fact, "right")} <= edges]
        wrong += [f"{name}/{n} is lost" for n in range(1, acknowledged + 1) if f"{name}/{n}" not in facts]
        announced = [(row.seq, row.ref) for row in tx.announcements_since(0, limit=1_000_000)]
        if announced != [(n, f"{name}/{n}") for n in range(1, len(facts) + 1)]:
            wrong.append(f"announced: {announced}")
        wrong += [finding.message for finding in verify_chain(tx)]
        if tx.value("SELECT count(*) FROM chain") != len(facts):
            wrong.append("the chain and the facts differ in number")
    return wrong


@pytest.mark.parametrize("moment", range(6))
def test_a_kill_at_any_moment_leaves_nothing_by_half(ledger: Ledger, ledger_url: str, moment: int) -> None:
    worker = start_worker("facts", ledger_url, "f", "whole")
    assert worker.stdout is not None
    assert worker.stdout.readline() == "begun\n"
    time.sleep(random.Random(moment).random() / 5)
    worker.kill()
    acknowledged = len(worker.communicate()[0].splitlines())

    # A fact may have been committed and its acknowledgement lost with the process; never the other way round.
    assert damage(ledger, "f", acknowledged) == []
    with ledger.write() as tx:
        tx.edge("afterwards", "left", "x")


def test_a_fact_in_two_transactions_would_be_torn(ledger: Ledger, ledger_url: str) -> None:
    # The planted failure: kill between its two commits, and the same check finds the half.
    for _ in range(40):
        worker = start_worker("facts", ledger_url, "f", "torn")
        assert worker.stdout is not None
        worker.stdout.readline()
        time.sleep(random.random() / 50)
        worker.kill()
        worker.communicate()
        if any("half there" in each for each in damage(ledger, "f", 0)):
            return
        with ledger.write() as tx:
            for table in ("edges", "announcements", "chain", "chain_bodies", "counters", "pointers", "pointer_moves"):
                tx.execute(f"DELETE FROM {table}")
    pytest.fail("no kill of 40 tore a fact that is recorded in two transactions")


def test_a_kill_at_each_crash_point_of_creating_and_writing_loses_nothing(ledger_url: str) -> None:
    killed_at: list[str] = []
    acknowledged = 0
    for point in range(1, 100):
        worker = start_worker("create_and_write", ledger_url, str(point))
        said = worker.communicate(timeout=120)[0].splitlines()
        killed_at += [line.removeprefix("killed at ") for line in said if line.startswith("killed")]
        created = "created" in said
        acknowledged = max([acknowledged, *(int(line) for line in said if line.isdigit())])
        try:
            ledger = open_ledger(ledger_url, now)
        except NotFoundError:
            assert not created, f"the ledger was acknowledged and is gone, after {killed_at[-1]}"
            continue
        assert damage(ledger, "f", acknowledged) == [], killed_at[-1:]
        with ledger.write() as tx:
            for table in ("edges", "announcements", "chain", "chain_bodies", "counters"):
                tx.execute(f"DELETE FROM {table}")
        ledger.close()
        acknowledged = 0
        if "finished" in said:
            break
    else:
        pytest.fail("the worker never finished")

    passed = {"ledger.create.commit", "ledger.commit", "ledger.committed"}
    if not ledger_url.startswith("postgres"):
        passed |= {"ledger.create.sync", "ledger.create.synced", "ledger.create.link", "ledger.create.linked"}
    assert passed <= set(killed_at)


def test_an_interrupted_creation_leaves_no_name_and_is_repeated(tmp_path: Path) -> None:
    def fail(name: str) -> None:
        if name == "ledger.create.link":
            raise OSError(28, "No space left on device")

    path = tmp_path / "project" / "ledger.db"
    durable.on_crash_point(fail)
    try:
        with pytest.raises((StorageError, OSError)):
            create_ledger(path, now, "p", "n")
    finally:
        durable.on_crash_point(None)

    assert list(path.parent.iterdir()) == []
    create_ledger(path, now, "p", "n").close()
    assert [each.name for each in path.parent.iterdir()] == ["ledger.db"]
