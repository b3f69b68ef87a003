"""Pulling from databases: a real Postgres and SQLite files, each through ADBC and through SQLAlchemy."""

from __future__ import annotations

import datetime as dt
import fcntl
import sqlite3
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL

from headwater.errors import HeadwaterError, InvalidInputError, NotFoundError, UnavailableError
from headwater.ingest import adbc_reading, history, plan, pull, reach_source, read_proof
from headwater.ingest import table_changes as changes_of
from headwater.ingest.kinds import make_source
from headwater.ingest.row_files import RowFile
from headwater.lake import find_head, iter_files, scan
from headwater.project import LocalProject
from tests.peaks import PEAK_MIB

KINDS = ("sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg")
PASSWORD = "pass-word 4711%"
PASSWORD_IN_URL = "pass-word%204711%25"


class Database:
    """A database to pull from, and the project's one source of it."""

    def __init__(self, kind: str, url: str, execute: Callable[[str], Any]) -> None:
        self.kind = kind
        self.url = url
        self.execute = execute

    def declare(self, project: LocalProject, **settings: Any) -> None:
        given = {"name": "orders", "kind": "sql", "dataset": "orders", "url": "env:ORDERS_URL", **settings}
        lines = [f"{name} = {_toml(value)}" for name, value in given.items()]
        file = root_of(project) / "headwater.toml"
        text = file.read_text().partition("[[source]]")[0]
        file.write_text("\n".join([text, "[[source]]", *lines, ""]))


def root_of(project: LocalProject) -> Path:
    assert project.root is not None
    return project.root


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f"'''{value}'''" if isinstance(value, str) else str(value).lower()


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    found = open_database(request.param, request, tmp_path)
    monkeypatch.setenv("ORDERS_URL", found.url)
    return found


def open_database(kind: str, request: pytest.FixtureRequest, folder: Path) -> Database:
    if kind.startswith("sqlite"):
        path = folder / "orders.sqlite"
        connection = sqlite3.connect(path, isolation_level=None)
        request.addfinalizer(connection.close)
        return Database(kind, f"{kind}:///{path}", connection.execute)
    url = request.getfixturevalue("postgres_url")
    server = psycopg.connect(url, autocommit=True)
    request.addfinalizer(server.close)
    return Database(kind, url.replace("postgresql", kind), lambda text: server.execute(SQL(text)))


def rows(project: LocalProject, columns: str = "*", order: str = "id") -> list[tuple[Any, ...]]:
    return scan(project, "orders", sql=f"SELECT {columns} FROM data ORDER BY {order}").fetchall()


def paths(project: LocalProject) -> list[str]:
    return [entry.path for entry in iter_files(project, "orders")]


ONE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
TWO = pytest.mark.parametrize("database", ["sqlite", "postgresql+psycopg"], indirect=True)


def two_orders(database: Database) -> None:
    database.execute("CREATE TABLE orders (id integer PRIMARY KEY, item varchar(20), updated_at timestamp)")
    database.execute(
        "INSERT INTO orders VALUES (1, 'tea', '2026-01-01 10:00:00'), (2, 'coffee', '2026-01-02 10:00:00')"
    )


def test_a_table_becomes_a_version_and_an_unchanged_one_none(sqlite_project: LocalProject, database: Database) -> None:
    two_orders(database)
    database.declare(sqlite_project, table="orders", key="id")

    assert reach_source(sqlite_project, "orders").found.endswith("answers")
    assert [each.why for each in plan(sqlite_project, "orders").planned] == ["every row"]
    first, second = pull(sqlite_project, "orders"), pull(sqlite_project, "orders")

    assert rows(sqlite_project, "id, item") == [(1, "tea"), (2, "coffee")]
    assert (first.outcome, second.outcome, second.number) == ("published", "unchanged", 1)
    head = find_head(sqlite_project, "orders")
    assert head is not None and head.source == "sql:env:ORDERS_URL orders"
    database.execute("DELETE FROM orders WHERE id = 1")
    assert pull(sqlite_project, "orders").number == 2
    assert rows(sqlite_project, "id") == [(2,)]


@TWO
def test_a_query_keeps_its_colons_percents_and_comments(sqlite_project: LocalProject, database: Database) -> None:
    two_orders(database)
    database.declare(
        sqlite_project, query="SELECT id, 'a:b :c 100%' AS odd FROM orders WHERE item LIKE 'te%' -- only tea"
    )

    pull(sqlite_project, "orders")

    assert rows(sqlite_project) == [(1, "a:b :c 100%")]


@pytest.mark.parametrize("database", ["postgresql", "sqlite+pysqlite"], indirect=True)
def test_rows_that_come_late_with_an_equal_time_are_appended_once(
    sqlite_project: LocalProject, database: Database
) -> None:
    two_orders(database)
    database.declare(sqlite_project, table="orders", mode="append", cursor="updated_at")
    pull(sqlite_project, "orders")
    database.execute("INSERT INTO orders VALUES (3, 'milk', '2026-01-02 10:00:00')")
    pull(sqlite_project, "orders")
    database.execute("INSERT INTO orders VALUES (4, 'tea', '2026-01-03 10:00:00')")
    pull(sqlite_project, "orders")
    nothing = pull(sqlite_project, "orders")

    assert rows(sqlite_project, "id") == [(1,), (2,), (3,), (4,)]
    assert paths(sqlite_project) == [f"orders/part-{number:08d}.parquet" for number in (1, 2, 3)]
    assert nothing.outcome == "unchanged"


@ONE
def test_a_greater_than_loses_the_row_that_greater_or_equal_finds(
    sqlite_project: LocalProject, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The planted failure: a reader that asks for what is later than the mark only.
    two_orders(database)
    wrapped = adbc_reading._wrapped
    monkeypatch.setattr(adbc_reading, "_wrapped", lambda *given: wrapped(*given).replace(" >= ", " > "))
    monkeypatch.setattr(changes_of.TableChanges, "write_new", lambda self, target, since: self.write(target, []))
    database.declare(sqlite_project, table="orders", mode="append", cursor="updated_at")
    pull(sqlite_project, "orders")
    database.execute("INSERT INTO orders VALUES (3, 'milk', '2026-01-02 10:00:00')")
    pull(sqlite_project, "orders")

    assert rows(sqlite_project, "id") == [(1,), (2,)]


@ONE
def test_equal_rows_are_kept_as_often_as_they_are_there(sqlite_project: LocalProject, database: Database) -> None:
    database.execute("CREATE TABLE clicks (page varchar(9), at_s integer)")
    database.execute("INSERT INTO clicks VALUES ('a', 1), ('a', 2), ('a', 2)")
    database.declare(sqlite_project, table="clicks", mode="append", cursor="at_s")
    pull(sqlite_project, "orders")
    database.execute("INSERT INTO clicks VALUES ('a', 2), ('b', 2)")
    pull(sqlite_project, "orders")

    assert rows(sqlite_project, order="at_s, page") == [("a", 1), ("a", 2), ("a", 2), ("a", 2), ("b", 2)]


def test_an_overlap_finds_what_was_committed_late(sqlite_project: LocalProject, request: pytest.FixtureRequest,
                                                  tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    database = open_database("postgresql", request, tmp_path)
    monkeypatch.setenv("ORDERS_URL", database.url)
    two_orders(database)
    database.declare(sqlite_project, table="orders", mode="append", cursor="updated_at", overlap_s=60)
    pull(sqlite_project, "orders")
    database.execute("INSERT INTO orders VALUES (3, 'late', '2026-01-02 09:59:30'), (4, 'lost', '2026-01-02 09:58:00')")
    pull(sqlite_project, "orders")
    assert pull(sqlite_project, "orders").outcome == "unchanged"

    assert rows(sqlite_project, "id") == [(1,), (2,), (3,)]


@TWO
def test_rows_are_put_over_those_of_their_key(sqlite_project: LocalProject, database: Database) -> None:
    two_orders(database)
    database.declare(sqlite_project, table="orders", mode="upsert", key="id", cursor="updated_at")
    pull(sqlite_project, "orders")
    database.execute("UPDATE orders SET item = 'oat milk', updated_at = '2026-01-05 00:00:00' WHERE id = 1")
    database.execute("INSERT INTO orders VALUES (3, 'milk', '2026-01-02 10:00:00')")
    second = pull(sqlite_project, "orders")
    again = pull(sqlite_project, "orders")

    assert rows(sqlite_project, "id, item") == [(1, "oat milk"), (2, "coffee"), (3, "milk")]
    assert paths(sqlite_project) == ["orders.parquet"]
    assert (second.number, again.outcome) == (2, "unchanged")
    proof = read_proof(sqlite_project, second.id)
    assert [each["rows_read"] for each in proof.files] == [3]


@ONE
def test_a_key_that_is_twice_there_is_refused(sqlite_project: LocalProject, database: Database) -> None:
    database.execute("CREATE TABLE orders (id integer, item varchar(20))")
    database.execute("INSERT INTO orders VALUES (7, 'tea'), (7, 'coffee')")
    database.declare(sqlite_project, table="orders", mode="upsert", key=["id"])

    with pytest.raises(InvalidInputError, match="2 rows have the same id, 7"):
        pull(sqlite_project, "orders")


@ONE
def test_a_row_without_a_cursor_is_refused_and_not_forgotten(sqlite_project: LocalProject, database: Database) -> None:
    two_orders(database)
    database.declare(sqlite_project, table="orders", mode="append", cursor="updated_at")
    pull(sqlite_project, "orders")
    database.execute("INSERT INTO orders VALUES (3, 'milk', NULL)")

    with pytest.raises(InvalidInputError, match="1 of 2 rows have no 'updated_at'"):
        pull(sqlite_project, "orders")


@ONE
def test_too_many_rows_of_one_time_are_refused(
    sqlite_project: LocalProject, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.execute("CREATE TABLE clicks (page integer, at_s integer)")
    database.execute("INSERT INTO clicks VALUES (1, 2), (2, 2), (3, 2)")
    database.declare(sqlite_project, table="clicks", mode="append", cursor="at_s")
    monkeypatch.setattr(changes_of, "LARGEST_OVERLAP_ROWS", 2)

    with pytest.raises(InvalidInputError, match="more than 2 rows"):
        pull(sqlite_project, "orders")


@ONE
def test_another_cursor_is_refused(sqlite_project: LocalProject, database: Database) -> None:
    two_orders(database)
    database.declare(sqlite_project, table="orders", mode="append", cursor="updated_at")
    pull(sqlite_project, "orders")
    database.declare(sqlite_project, table="orders", mode="append", cursor="id")

    with pytest.raises(InvalidInputError, match="was 'updated_at' and is 'id'"):
        pull(sqlite_project, "orders")


@TWO
def test_an_empty_table_has_its_columns(sqlite_project: LocalProject, database: Database) -> None:
    database.execute("CREATE TABLE orders (id integer, item varchar(20))")
    database.declare(sqlite_project, table="orders")
    pull(sqlite_project, "orders")

    assert scan(sqlite_project, "orders").columns == ["id", "item"]
    assert rows(sqlite_project) == []


@pytest.mark.parametrize("kind", ["postgresql", "postgresql+psycopg"])
def test_the_types_of_postgres_come_through(
    sqlite_project: LocalProject,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    database = open_database(kind, request, tmp_path)
    monkeypatch.setenv("ORDERS_URL", database.url)
    database.execute(
        "CREATE TABLE orders (id bigint, price numeric(10,2), wide numeric, at timestamptz, local timestamp, day date, "
        "clock time, took interval, doc jsonb, raw bytea, tags text[], who uuid, ok boolean, ratio real, nothing int)"
    )
    database.execute(
        "INSERT INTO orders VALUES (1, 1.50, 12345678901234567890.123, '2026-01-01 00:00:00.123456+02', "
        "'2026-01-01 00:00:00.5', '2026-01-01', '12:00:01', '1 day 2 hours', '{\"a\": [1]}', '\\x00ff', '{a,NULL}', "
        "'123e4567-e89b-12d3-a456-426614174000', true, 1.5, NULL), (2)".replace("(2)", "(2" + ", NULL" * 14 + ")")
    )
    database.declare(sqlite_project, table="orders")
    pull(sqlite_project, "orders")

    first, second = scan(sqlite_project, "orders").to_dicts()
    assert first["price"] == Decimal("1.50") and first["wide"] == Decimal("12345678901234567890.123")
    assert first["at"] == dt.datetime(2025, 12, 31, 22, 0, 0, 123456, tzinfo=dt.UTC)
    assert first["local"] == dt.datetime(2026, 1, 1, 0, 0, 0, 500000)  # noqa: DTZ001  # a time without a zone is meant
    assert (first["day"], first["clock"]) == (dt.date(2026, 1, 1), dt.time(12, 0, 1))
    assert first["took"] == dt.timedelta(days=1, hours=2)
    assert first["doc"].replace(" ", "") == '{"a":[1]}' and first["raw"] == b"\x00\xff"
    assert first["tags"] in (["a", None], '["a",null]')
    assert first["who"] == uuid.UUID("123e4567-e89b-12d3-a456-426614174000")
    assert (first["ok"], first["ratio"], first["nothing"]) == (True, 1.5, None)
    assert set(second.values()) == {2, None}
    if kind == "postgresql":
        types = scan(sqlite_project, "orders").types
        assert (types["price"], types["wide"], types["tags"]) == ("DECIMAL(10,2)", "DECIMAL(38,3)", "VARCHAR[]")


def test_what_arrow_has_no_type_for_comes_as_postgres_writes_it(
    sqlite_project: LocalProject, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_URL", postgres_url)
    database = Database("postgresql", postgres_url, lambda text: None)
    query = (
        "SELECT 1 AS id, inet '10.0.0.1' AS host, money '12.50' AS paid, int4range(1, 5) AS span, "
        "'NaN'::numeric AS odd, timestamptz 'infinity' AS ends, timestamp '-infinity' AS began, date 'infinity' AS day"
    )
    database.declare(sqlite_project, query=query)
    pull(sqlite_project, "orders")

    assert rows(sqlite_project, "host, paid, span, odd, ends::VARCHAR, began::VARCHAR, day::VARCHAR") == [
        ("10.0.0.1/32", "$12.50", "[1,5)", "nan", "infinity", "-infinity", "infinity")
    ]


def test_a_failing_database_says_what_to_do(
    sqlite_project: LocalProject, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database("postgresql", request, tmp_path)
    two_orders(database)
    good, guarded = database.url, guarded_url(database, request)
    cases: list[tuple[str, dict[str, Any], type[HeadwaterError], str]] = [
        (good, {"table": "nowhere"}, NotFoundError, 'relation "nowhere" does not exist.*Check the name'),
        (good, {"query": "SELEC 1"}, InvalidInputError, "syntax error.*Correct 'query'"),
        (good, {"query": "SELECT nope FROM orders"}, NotFoundError, "nope.*names of the columns"),
        (good, {"query": "SELECT 1; DROP TABLE orders"}, InvalidInputError, "Correct 'query'"),
        (good, {"query": "DELETE FROM orders RETURNING id"}, InvalidInputError, "syntax error|only reads"),
        (good, {"query": "SELECT pg_sleep(9)", "timeout_s": 0.2}, UnavailableError, "larger timeout_s"),
        (guarded, {"table": "orders"}, InvalidInputError, "permission denied.*SELECT"),
        (guarded.replace("4711", "4711-no"), {"table": "orders"}, InvalidInputError, "check the user and the password"),
        (f"{good}nope", {"table": "orders"}, NotFoundError, "name of the database"),
        ("postgresql://x:y@127.0.0.1:1/z", {"table": "orders"}, UnavailableError, "refused.*is up"),
        ("oracle+nope://x", {"table": "orders"}, HeadwaterError, "."),
    ]
    for scheme in ("postgresql", "postgresql+psycopg"):
        for url, settings, kind, says in cases if scheme == "postgresql" else cases[5:8]:
            monkeypatch.setenv("ORDERS_URL", url.replace("postgresql:", f"{scheme}:"))
            database.declare(sqlite_project, **settings)
            with pytest.raises(kind, match=says) as failed:
                pull(sqlite_project, "orders")
            assert "4711" not in failed.value.message, (scheme, settings)
    assert database.execute("SELECT count(*) FROM orders").fetchone() == (2,)


@pytest.mark.parametrize("kind", ["sqlite", "sqlite+pysqlite"])
def test_a_failing_sqlite_file_says_what_to_do(
    sqlite_project: LocalProject,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    database = open_database(kind, request, tmp_path)
    two_orders(database)
    monkeypatch.setenv("ORDERS_URL", database.url)
    cases: list[tuple[dict[str, Any], type[HeadwaterError], str]] = [
        ({"table": "nowhere"}, NotFoundError, "no such table"),
        ({"query": "SELEC 1"}, InvalidInputError, "syntax error"),
        ({"query": "SELECT nope FROM orders"}, NotFoundError, "no such column"),
        ({"query": "DELETE FROM orders RETURNING id"}, InvalidInputError, "."),
        ({"table": "orders", "mode": "append", "cursor": "nope"}, HeadwaterError, "nope"),
    ]
    for settings, error, says in cases:
        database.declare(sqlite_project, **settings)
        with pytest.raises(error, match=says):
            pull(sqlite_project, "orders")
    monkeypatch.setenv("ORDERS_URL", f"{kind}:////no/where.sqlite")
    with pytest.raises(NotFoundError, match="Check the path"):
        pull(sqlite_project, "orders")
    assert database.execute("SELECT count(*) FROM orders").fetchone() == (2,)


def test_a_column_of_several_kinds_in_sqlite_is_told_and_then_read(
    sqlite_project: LocalProject, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database("sqlite", request, tmp_path)
    database.execute("CREATE TABLE orders (id, item)")
    connection_rows = [(number, number) for number in range(70_000)]
    with sqlite3.connect(tmp_path / "orders.sqlite") as connection:
        connection.executemany("INSERT INTO orders VALUES (?, ?)", connection_rows)
        connection.execute("INSERT INTO orders VALUES (70000, 'seventy')")
    connection.close()
    database.declare(sqlite_project, table="orders")
    monkeypatch.setenv("ORDERS_URL", database.url)

    with pytest.raises(InvalidInputError, match="several kinds"):
        pull(sqlite_project, "orders")

    monkeypatch.setenv("ORDERS_URL", database.url.replace("sqlite:", "sqlite+pysqlite:"))
    pull(sqlite_project, "orders")
    assert rows(sqlite_project, "item, typeof(item)")[-1] == ("seventy", "VARCHAR")


def guarded_url(database: Database, request: pytest.FixtureRequest) -> str:
    """Return the database's URL for a new role that the server, which trusts all others, asks for its password."""
    role = f"guarded_{uuid.uuid4().hex}"
    database.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    request.addfinalizer(lambda: database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}"))
    (hba,) = database.execute("SHOW hba_file").fetchone()
    with open(hba, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the run's workers share the server
        rules = f"host all {role} 127.0.0.1/32 scram-sha-256\n{file.read()}"
        file.seek(0)
        file.write(rules)
    database.execute("SELECT pg_reload_conf()")
    return database.url.replace("postgres@", f"{role}:{PASSWORD_IN_URL}@")


def test_the_password_is_nowhere_in_the_project(
    sqlite_project: LocalProject, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database("postgresql", request, tmp_path)
    two_orders(database)
    guarded = guarded_url(database, request)
    database.execute("GRANT SELECT ON orders TO PUBLIC")
    for scheme in ("postgresql", "postgresql+psycopg"):
        url = guarded.replace("postgresql:", f"{scheme}:")
        monkeypatch.setenv("ORDERS_URL", url)
        database.declare(sqlite_project, table="orders")
        done = pull(sqlite_project, "orders")
        assert done.outcome in ("published", "unchanged")
        monkeypatch.setenv("ORDERS_PASSWORD", PASSWORD_IN_URL)
        database.declare(
            sqlite_project, table="orders", url=url.replace(PASSWORD_IN_URL, "{env:ORDERS_PASSWORD}"), key="id"
        )
        pull(sqlite_project, "orders")
        database.declare(sqlite_project, table="orders")
        monkeypatch.setenv("ORDERS_URL", url + "nope")
        with pytest.raises(NotFoundError):
            pull(sqlite_project, "orders")
    assert [each.outcome for each in history(sqlite_project, "orders")].count("failed") == 2

    assert found_in(root_of(sqlite_project), "4711") == []
    (root_of(sqlite_project) / "planted").write_text(url)
    assert found_in(root_of(sqlite_project), "4711") == ["planted"]


def found_in(folder: Path, text: str) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.relative_to(folder).as_posix() for path in files if text.encode() in path.read_bytes()]


def test_settings_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"url": "env:A"}, "either a 'query' or a 'table'"),
        ({"url": "env:A", "table": "t", "query": "SELECT 1"}, "either"),
        ({"url": "env:A", "table": "t", "mode": "append"}, "needs 'cursor'"),
        ({"url": "env:A", "table": "t", "mode": "upsert"}, "needs 'key'"),
        ({"url": "env:A", "table": "t", "cursor": "id"}, "writes all of them"),
        ({"url": "postgresql://u:secret@h/d", "table": "t"}, "holds a password"),
        ({"url": "env:A", "table": "t", "wrong": 1}, "no setting 'wrong'.*query, table"),
    ]
    for settings, says in cases:
        with pytest.raises(InvalidInputError, match=says) as refused:
            make_source("sql", settings, root=tmp_path)
        assert "secret" not in refused.value.message


def test_types_follow_from_all_values_of_a_column(tmp_path: Path) -> None:
    columns: list[tuple[list[Any], str]] = [
        ([1, None, 2**63], "DECIMAL(38, 0)"),
        ([1, 2.5], "DOUBLE"),
        ([2**60, 2.5], "VARCHAR"),
        ([Decimal("1.25"), 10], "DECIMAL(38, 2)"),
        ([Decimal("NaN"), Decimal("1.5")], "VARCHAR"),
        ([dt.date(2026, 1, 1), dt.datetime(2026, 1, 1)], "TIMESTAMP"),  # noqa: DTZ001  # without a zone
        ([b"\xff", "text"], "VARCHAR"),
        ([{"a": 1}, [1]], "JSON"),
        ([None, None], "INTEGER"),
    ]
    for values, expected in columns:
        with RowFile(tmp_path, {"c": None}) as written:
            for value in values:
                written.add([value])
            assert written.write(tmp_path / "t.parquet") == {"c": expected}, values


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sqlite", "sqlite+pysqlite"])
def test_three_million_rows_do_not_fill_the_memory(tmp_path: Path, kind: str) -> None:
    import subprocess
    import sys

    path = tmp_path / "wide.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE wide (id integer, a text, b text, c real)")
        made = ((n, f"text of row {n}" * 8, f"{n * 7919 % 1_000_003:x}" * 8, n / 3) for n in range(3_000_000))
        connection.executemany("INSERT INTO wide VALUES (?, ?, ?, ?)", made)
    connection.close()
    code = (
        "import sys; from pathlib import Path; from headwater.project import create_project;"
        "from headwater.ingest import pull; p = create_project(sys.argv[1]); pull(p, 'wide');"
        f"print({PEAK_MIB})"
    )
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "headwater.toml").write_text(
        f'[[source]]\nname="wide"\nkind="sql"\ndataset="wide"\ntable="wide"\nurl="{kind}:///{path}"\n'
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)

    assert int(done.stdout) < 560, "MiB at most, of a table of 650 MB (300 as a rule, 500 beside other work)"
