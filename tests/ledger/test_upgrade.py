"""Opening never migrates; upgrading does, with a backup first and everybody else kept out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.errors import (
    ConflictError,
    RefusedError,
    StorageError,
    UnavailableError,
    UpgradeNeededError,
)
from headwater.ledger import SCHEMA, Ledger, create_ledger, open_ledger, verify_chain
from headwater.ledger.upgrade import list_migrations, upgrade

pytestmark = pytest.mark.usefixtures("own_database")

# A planted next schema: a new column with a default, a new table, and facts rewritten into it.
NEXT = SCHEMA + 1
MIGRATIONS = {
    NEXT: """
    ALTER TABLE packs ADD COLUMN kept_until INTEGER; -- a comment; with a semicolon
    CREATE TABLE IF NOT EXISTS places (name TEXT PRIMARY KEY, bytes BLOB) WITHOUT ROWID;
    INSERT INTO places (name) SELECT child || ';' FROM edges;
    """
}
BROKEN = {NEXT: "CREATE TABLE places (name TEXT PRIMARY KEY); INSERT INTO nowhere (name) VALUES ('x')"}


def set_schema(ledger: Ledger, number: int) -> None:
    with ledger.write() as tx:
        tx.execute("UPDATE ledger_meta SET schema = ?", (number,))


def test_a_newer_ledger_is_not_opened(ledger: Ledger, ledger_url: str, clock: Callable[[], int]) -> None:
    set_schema(ledger, SCHEMA + 1)

    with pytest.raises(UpgradeNeededError, match=r"is newer.*hw upgrade") as caught:
        open_ledger(ledger_url, clock)
    assert caught.value.values == {"found": SCHEMA + 1, "wanted": SCHEMA}
    with pytest.raises(UpgradeNeededError, match="is newer"):
        upgrade(ledger_url, clock, backed_up=True)


def test_an_older_ledger_is_not_opened_and_stays_as_it_is(
    ledger: Ledger, ledger_url: str, clock: Callable[[], int]
) -> None:
    set_schema(ledger, SCHEMA - 1)

    for _ in range(2):
        with pytest.raises(UpgradeNeededError, match="is older: run 'hw upgrade'"):
            open_ledger(ledger_url, clock)
    with pytest.raises(UpgradeNeededError, match="no migration"):
        upgrade(ledger_url, clock, backed_up=True, migrations={})


def test_a_program_that_was_running_stops_when_the_ledger_is_upgraded(ledger: Ledger) -> None:
    set_schema(ledger, SCHEMA + 1)

    with pytest.raises(UpgradeNeededError), ledger.write() as tx:
        tx.edge("a", "b", "c")
    with pytest.raises(UpgradeNeededError), ledger.read():
        pass


def test_an_upgrade_backs_up_and_changes_everything_at_once(
    ledger: Ledger, ledger_url: str, clock: Callable[[], int]
) -> None:
    with ledger.write() as tx:
        tx.edge("a", "made from", "b")
        tx.govern("release", "release:1", {"x": 1})
    done = upgrade(ledger_url, clock, backed_up=True, migrations=MIGRATIONS, to=NEXT)

    assert (done.before, done.after) == (SCHEMA, NEXT)
    upgraded = Ledger(ledger._dialect, clock, schema=NEXT)
    with upgraded.read() as tx2:
        assert tx2.all("SELECT name FROM places") == [("a;",)]
        assert tx2.all("SELECT kept_until FROM packs") == []
        assert list(verify_chain(tx2)) == []
    upgraded.close()
    if ledger.dialect == "sqlite":
        assert done.backup is not None
        with contextlib.closing(open_ledger(done.backup, clock)) as before, before.read() as tx2:
            assert tx2.all("SELECT child FROM edges") == [("a",)]
    else:
        assert done.backup is None
    again = upgrade(ledger_url, clock, migrations=MIGRATIONS, to=NEXT)
    assert (again.before, again.after, again.backup) == (NEXT, NEXT, None)


def test_an_upgrade_that_fails_changes_nothing(ledger: Ledger, ledger_url: str, clock: Callable[[], int]) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        upgrade(ledger_url, clock, backed_up=True, migrations=BROKEN, to=NEXT)

    with contextlib.closing(open_ledger(ledger_url, clock)) as same, same.write() as tx:
        tx.edge("a", "b", "c")
    with pytest.raises(StorageError, match="places"), ledger.read() as tx2:
        tx2.all("SELECT * FROM places")


def test_an_upgrade_waits_for_writers_and_says_who_is_in_the_way(
    ledger: Ledger, ledger_url: str, clock: Callable[[], int]
) -> None:
    with ledger.write(alone=False) as tx:
        tx.edge("a", "b", "c")
        with pytest.raises(UnavailableError, match="busy"):
            upgrade(ledger_url, clock, backed_up=True, migrations=MIGRATIONS, to=NEXT, timeout_s=0.3)

    with ledger.read() as tx2:
        assert tx2.value("SELECT schema FROM ledger_meta") == SCHEMA


@pytest.mark.parametrize("ledger_url", ["postgres"], indirect=True)
def test_a_postgres_ledger_is_backed_up_by_its_owner(ledger: Ledger, ledger_url: str, clock: Callable[[], int]) -> None:
    with pytest.raises(RefusedError, match="pg_dump"):
        upgrade(ledger_url, clock, migrations=MIGRATIONS, to=NEXT)

    open_ledger(ledger_url, clock).close()


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_an_upgrade_whose_backup_cannot_be_written_does_not_begin(
    ledger: Ledger, ledger_url: str, clock: Callable[[], int], tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(ConflictError, match="never overwrites"):
        upgrade(ledger_url, clock, backup=taken, migrations=MIGRATIONS, to=NEXT)

    assert taken.read_text() == "mine"
    open_ledger(ledger_url, clock).close()


def test_a_migration_leads_to_every_schema_after_the_first() -> None:
    assert sorted(list_migrations()) == list(range(2, SCHEMA + 1))


def test_a_backup_is_a_ledger_with_the_same_facts(ledger: Ledger, tmp_path: Path, clock: Callable[[], int]) -> None:
    with ledger.write() as tx:
        tx.insert_many("edges", ["child", "role", "parent"], ((f"é{n}", "r", "x") for n in range(3_000)))
        tx.govern("release", "release:1", {"x": float("nan")})
        tx.announce("release", "release:1")
        tx.move_pointer("branch", "b", expected=None, new="v1")
    path = tmp_path / "copies" / "one.db"
    ledger.backup(path)

    copy = open_ledger(path, clock)
    assert (copy.project_id, copy.export_head()) == (ledger.project_id, ledger.export_head())
    with copy.read() as theirs, ledger.read() as ours:
        assert list(verify_chain(theirs, ledger.export_head())) == []
        for table in ("edges", "chain", "chain_bodies", "counters", "announcements", "pointers", "pointer_moves"):
            sql = f"SELECT * FROM {table} ORDER BY 1, 2"
            assert theirs.all(sql) == ours.all(sql)
    copy.close()
    with pytest.raises(ConflictError):
        ledger.backup(path)


def test_both_databases_have_the_same_tables(tmp_path: Path, postgres_url: str, clock: Callable[[], int]) -> None:
    ledgers = [create_ledger(url, clock, "p", "n") for url in (tmp_path / "ledger.db", postgres_url)]
    shapes = []
    for ledger in ledgers:
        with ledger.read() as tx:
            shapes.append(ledger._dialect.table_columns(tx._open()))
        ledger.close()

    assert shapes[0] == shapes[1]
    assert {"ledger_meta", "edges", "pointers", "leases"} <= set(shapes[0])
