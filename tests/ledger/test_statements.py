"""Portable SQL becomes each database's own; what lies in quotes and comments stays."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import headwater.ledger as ledger_package
from headwater.ledger.dialect import Postgres, SQLite
from headwater.ledger.dialect.postgres import postgres_query
from headwater.ledger.statements import schema_statements, split

TABLE = """CREATE TABLE t (
    text TEXT NOT NULL DEFAULT 'TEXT?', n INTEGER, x REAL, b BLOB, "REAL" TEXT
) WITHOUT ROWID"""


def test_marks_become_numbers_for_postgres() -> None:
    assert postgres_query("SELECT ? WHERE a = ?") == "SELECT $1 WHERE a = $2"
    assert postgres_query("SELECT '?', \"?\", ? -- ?\n, ? /* ? */") == "SELECT '?', \"?\", $1 -- ?\n, $2 /* ? */"
    assert postgres_query("SELECT 'it''s ?', ?") == "SELECT 'it''s ?', $1"
    assert postgres_query("SELECT a % 2, '%s'") == "SELECT a % 2, '%s'"


def test_casts_keep_64_bits_on_postgres() -> None:
    assert postgres_query("CAST(? AS INTEGER)") == "CAST($1 AS BIGINT)"
    assert postgres_query("cast(x as real)") == "cast(x AS DOUBLE PRECISION)"
    assert postgres_query("SELECT a AS integer_like, 'AS INTEGER)'") == "SELECT a AS integer_like, 'AS INTEGER)'"


def test_the_types_of_a_table_are_those_of_its_database() -> None:
    postgres = Postgres("postgresql://nowhere", 1).ddl(TABLE)
    assert "text TEXT COLLATE \"C\" NOT NULL DEFAULT 'TEXT?'" in postgres
    assert 'n BIGINT, x DOUBLE PRECISION, b BYTEA, "REAL" TEXT COLLATE "C"' in postgres
    assert postgres.endswith(")")
    sqlite = SQLite(Path("x"), 1)
    assert sqlite.ddl(TABLE) == TABLE + ", STRICT"
    assert sqlite.ddl("CREATE TABLE t (a TEXT)") == "CREATE TABLE t (a TEXT) STRICT"
    assert sqlite.ddl("CREATE INDEX i ON t (a)") == "CREATE INDEX i ON t (a)"


def test_a_script_is_cut_at_semicolons_outside_quotes() -> None:
    script = "A 'x;''y' -- no; cut\n; B \"q;--\" /* ; */;;\n C"

    assert split(script) == ["A 'x;''y'", 'B "q;--"', "C"]


def test_the_schema_may_be_made_again_without_harm() -> None:
    for statement in schema_statements():
        assert "IF NOT EXISTS" in statement, statement


def declared_twice(texts: Iterable[str]) -> list[str]:
    names = [name for text in texts for name in re.findall(r"(?i)create table if not exists (\w+)", text)]
    return sorted(name for name, count in Counter(names).items() if count > 1)


def test_no_table_of_the_schema_is_declared_twice() -> None:
    """IF NOT EXISTS would keep the first one without a word."""
    texts = [
        path.read_text("utf-8") for path in sorted((Path(str(ledger_package.__file__)).parent / "schema").glob("*.sql"))
    ]

    assert len(texts) > 5 and declared_twice(texts) == []
    assert declared_twice([*texts, "CREATE TABLE IF NOT EXISTS packs (id TEXT)"]) == ["packs"]


def keys_not_first(statements: Iterable[str]) -> list[str]:
    """Return the tables without rowid whose key does not come first: integrity_check of SQLite 3.40 calls them damaged.

    It says "NULL value in t.column" of columns that hold none.
    """
    database = sqlite3.connect(":memory:")
    for statement in statements:
        database.execute(statement)
    found = []
    for (name,) in database.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%WITHOUT ROWID%'"
    ):
        places = [place for *_, place in database.execute(f"PRAGMA table_info({name})")]
        if sorted(places[: sum(map(bool, places))]) != list(range(1, sum(map(bool, places)) + 1)):
            found.append(name)
    return found


def test_the_key_of_a_table_without_rowid_comes_first() -> None:
    planted = "CREATE TABLE planted (a TEXT NOT NULL, k TEXT PRIMARY KEY) WITHOUT ROWID"

    assert keys_not_first([*schema_statements(), planted]) == ["planted"]
