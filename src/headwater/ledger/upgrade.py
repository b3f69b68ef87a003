"""Upgrading a ledger to this program's schema: never by opening it, always with a backup first.

A migration is a file ``migrations/NNNN_what_changes.sql`` in the portable SQL of the schema, named by the schema it
leads to. All that are needed run in one transaction that keeps everybody else out, so a ledger is wholly of one
schema or wholly of the next. Each later transaction of an older program, however long it has been running, finds
the new number and stops with UpgradeNeededError.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ..errors import RefusedError, UpgradeNeededError
from .dialect import DEFAULT_TIMEOUT_S, Dialect, SQLite, dialect_of
from .ledger import SCHEMA, Clock, Ledger, upgrade_needed
from .statements import split

_MIGRATIONS = Path(__file__).parent / "migrations"


class Upgraded(msgspec.Struct, frozen=True, kw_only=True):
    """What an upgrade did: from one schema to the other; ``backup`` is the copy it made first, if it made one."""

    before: int
    after: int
    backup: str | None


def list_migrations() -> dict[int, str]:
    """Return the script that leads to each schema number, as released with this program."""
    return {int(file.name[:4]): file.read_text("utf-8") for file in sorted(_MIGRATIONS.glob("[0-9]*.sql"))}


def upgrade(
    url: str | Path,
    clock: Clock,
    *,
    backup: Path | None = None,
    backed_up: bool = False,
    migrations: Mapping[int, str] | None = None,
    to: int = SCHEMA,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> Upgraded:
    """Bring a ledger to schema ``to``, keeping out all others meanwhile; one that has it already stays as it is.

    An SQLite ledger is first copied to ``backup`` (by default beside it, named by its schema and the time). A
    Postgres database is its owner's to copy: ``backed_up`` says that it was done.

    Raises:
        RefusedError: a Postgres ledger without ``backed_up``.
        UpgradeNeededError: the ledger is newer than the program, or a migration on the way is not known.
        UnavailableError: others did not let go of the ledger in time.
        ConflictError: the backup's name is taken.
    """
    dialect = dialect_of(url, timeout_s)
    before = schema_number(dialect)
    if before == to:
        return Upgraded(before=before, after=to, backup=None)
    scripts = _way(dialect, before, to, list_migrations() if migrations is None else migrations)
    if not (isinstance(dialect, SQLite) or backed_up):
        raise RefusedError(
            f"'{dialect.shown}' was not upgraded from schema {before} to {to}: a Postgres ledger is backed up by its "
            "owner. Run pg_dump --format=custom --file=FILE DATABASE, then 'hw upgrade --backed-up'.",
            found=before,
            wanted=to,
        )
    with contextlib.closing(Ledger(dialect, clock, schema=before)) as ledger, ledger.write() as tx:
        tx.exclude_others()
        copy = _back_up(dialect, before, tx.now, backup) if isinstance(dialect, SQLite) else None
        for script in scripts:
            for statement in split(script):
                tx.execute(dialect.ddl(statement))
        tx.execute("UPDATE ledger_meta SET schema = ?", (to,))
    return Upgraded(before=before, after=to, backup=copy)


def schema_number(dialect: Dialect) -> int:
    """Return the schema number of a ledger, whatever it is."""
    try:
        with contextlib.closing(dialect.connect(writing=False)) as connection:
            number = dialect.begin(connection, "read")
            dialect.rollback(connection)
            return number
    except dialect.errors as error:
        raise dialect.error(error) from error


def _way(dialect: Dialect, before: int, to: int, migrations: Mapping[int, str]) -> list[str]:
    if before > to:
        raise upgrade_needed(dialect.shown, before, to)
    missing = [number for number in range(before + 1, to + 1) if number not in migrations]
    if missing:
        raise UpgradeNeededError(
            f"this program cannot bring '{dialect.shown}' from schema {before} to {to}: it has no migration to "
            f"{missing[0]}. Upgrade with an older release of Headwater first, then with this one.",
            found=before,
            wanted=to,
        )
    return [migrations[number] for number in range(before + 1, to + 1)]


def _back_up(dialect: SQLite, schema: int, now: int, target: Path | None) -> str:
    # The write lock is held already, so the copy is exactly what the migration will find.
    path = target or dialect.path.with_name(f"{dialect.path.name}.schema{schema}.{now}.backup")
    dialect.backup(path)
    return str(path)
