from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.duck import connect, exact
from headwater.errors import InvalidInputError
from headwater.ingest.row_files import copy_to_parquet
from headwater.lake import add_table, scan
from headwater.project import LocalProject

SOURCE = Path(__file__).parent.parent / "src" / "headwater"
BARS = "print(c.execute(\"SELECT current_setting('enable_progress_bar')\").fetchone(), end=' ')"


def opened_elsewhere(text: str) -> bool:
    return re.search(r"duckdb\s*\.\s*connect\s*\(|from duckdb import .*\bconnect\b", text) is not None


def test_a_process_without_a_main_file_draws_no_progress_bar() -> None:
    code = f"import duckdb; from headwater.duck import connect\nc = duckdb.connect(); {BARS}\nc = connect(); {BARS}"
    code += f"\nc = c.cursor(); {BARS}"

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)

    assert said.stdout == "(True,) (False,) (False,) "  # DuckDB's own would, ours does not, nor do its cursors


def test_duckdb_is_opened_in_one_place() -> None:
    assert opened_elsewhere("with duckdb.connect() as c:") and not opened_elsewhere("with connect() as c:")

    assert [
        str(path.relative_to(SOURCE)) for path in sorted(SOURCE.rglob("*.py")) if opened_elsewhere(path.read_text())
    ] == ["duck.py"]


LARGE = 9_007_199_254_740_993  # 2**53 + 1, which no DOUBLE holds


def test_a_sum_keeps_its_digits_in_parquet(tmp_path: Path) -> None:
    file = str(tmp_path / "a.parquet")
    select = f'SELECT sum(x) AS "the ""sum", [sum(x)] AS many, 1 AS one FROM (VALUES ({LARGE}::BIGINT)) v(x)'
    with connect() as connection:
        connection.execute(f"COPY ({select}) TO '{file}' (FORMAT parquet)")
        rounded = connection.execute("SELECT * FROM read_parquet(?)", (file,)).fetchone()
        assert rounded is not None and int(rounded[0]) != LARGE  # what is lost without it

        connection.execute(f"COPY ({exact(connection, select)}) TO '{file}' (FORMAT parquet)")

        assert connection.execute("SELECT * FROM read_parquet(?)", (file,)).fetchone() == (LARGE, [LARGE], 1)
        assert exact(connection, "SELECT 1 AS one") == "SELECT 1 AS one"


def test_sums_go_into_a_dataset_and_out_of_a_query_as_they_are(sqlite_project: LocalProject, tmp_path: Path) -> None:
    with connect() as connection:
        add_table(sqlite_project, "sums", "a", connection.sql(f"SELECT sum({LARGE}::HUGEINT * 1000) AS s"))
    copy_to_parquet(f"SELECT sum({LARGE}::BIGINT) AS s", tmp_path / "b.parquet")

    assert scan(sqlite_project, "sums@v1").fetchall() == [(LARGE * 1000,)]
    with connect() as connection:
        assert connection.execute(f"SELECT s FROM '{tmp_path / 'b.parquet'}'").fetchall() == [(LARGE,)]


def test_a_number_of_more_than_38_digits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"cannot be written as Parquet: .*DECIMAL\(38,0\)"):
        copy_to_parquet("SELECT 170141183460469231731687303715884105727 AS n", tmp_path / "a.parquet")
