"""A process may die at any instruction: what it acknowledged is there, and nothing is there by half."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater import durable
from headwater.errors import NotFoundError, StorageError
from headwater.ledger import Ledger, create_ledger, open_ledger, verify_chain
from tests.ledger.workers import now, start_worker

from .conftest import forget_everything


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
    worker = start_worker("facts", ledger_url, "f")
    assert worker.stdout is not None
    assert worker.stdout.readline() == "begun\n"
    time.sleep(random.Random(moment).random() / 5)
    worker.kill()
    acknowledged = len(worker.communicate()[0].splitlines())

    # A fact may have been committed and its acknowledgement lost with the process; never the other way round.
    assert damage(ledger, "f", acknowledged) == []
    with ledger.write() as tx:
        tx.edge("afterwards", "left", "x")


def killed_at_each_point(act: str, url: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the crash point that an act was killed at and what it had acknowledged, until it comes through."""
    for point in range(1, 50):
        worker = start_worker(act, url, str(point))
        said = worker.communicate(timeout=120)[0].splitlines()
        died = [line.removeprefix("killed at ") for line in said if line.startswith("killed at ")]
        yield (died or [""])[0], [line for line in said if line not in died]
        if not died:
            assert said[-1:] == ["finished"]
            return


def test_a_kill_at_each_crash_point_of_creating_leaves_no_half_of_a_ledger(ledger_url: str) -> None:
    reached = []
    for point, _ in killed_at_each_point("create", ledger_url):
        reached.append(point)
        try:
            with open_ledger(ledger_url, now) as ledger:
                assert damage(ledger, "f", 0) == [], point
                assert ledger.name == "n"
                break  # whole: the next worker would find it and be refused
        except NotFoundError:
            assert point, "creating was acknowledged, and there is no ledger"

    assert reached[0] == "ledger.create.commit"
    if not ledger_url.startswith("postgres"):
        assert reached[1:] == ["ledger.create.sync", "ledger.create.synced", "ledger.create.link", LINKED]


LINKED = "ledger.create.linked"


def test_a_kill_at_each_crash_point_of_writing_loses_nothing(ledger: Ledger, ledger_url: str) -> None:
    reached = []
    for point, said in killed_at_each_point("write_three", ledger_url):
        reached.append(point)
        acknowledged = len([line for line in said if line.isdigit()])
        assert damage(ledger, "f", acknowledged) == [], point
        forget_everything(ledger)

    assert reached == ["ledger.commit", "ledger.committed"] * 3 + [""]


def test_a_fact_in_two_transactions_is_torn_and_found(ledger: Ledger, ledger_url: str) -> None:
    # The planted failure: the same killing and the same check, of a writer that does it wrong.
    torn = set()
    for point, _ in killed_at_each_point("write_torn", ledger_url):
        if damage(ledger, "f", 0) == ["f/1 is half there"]:
            torn.add(point)
        forget_everything(ledger)

    assert torn == {"ledger.commit", "ledger.committed"}


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
