"""Tables of text and Parquet without some of their rows, every other byte or value as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .needles import Needles, in_cell
from .ranges import Row
from .table import quote

if TYPE_CHECKING:
    import duckdb

READERS = {
    ".parquet": "read_parquet",
    ".csv": "read_csv",
    ".tsv": "read_csv",
    ".jsonl": "read_json",
    ".ndjson": "read_json",
}
"""What reads a table, by the end of its path."""

SHORTEST = 4
"""Texts of fewer characters name nobody."""

SHORTEST_NUMBER = 7
"""Whole numbers of fewer digits name nobody."""


def values(connection: duckdb.DuckDBPyConnection, condition: str) -> set[str]:
    """Return the texts and long whole numbers of the rows of ``t`` that meet a condition."""
    found: set[str] = set()
    for name, kind, *_ in connection.execute("DESCRIBE t").fetchall():
        if kind == "VARCHAR" or kind in ("BIGINT", "INTEGER", "UBIGINT", "HUGEINT"):
            shortest = SHORTEST if kind == "VARCHAR" else SHORTEST_NUMBER
            text = f"{quote(name)}::VARCHAR"
            rows = connection.execute(
                f"SELECT DISTINCT {text} FROM t WHERE ({condition}) AND length({text}) >= {shortest}"
            ).fetchall()
            found |= {row[0] for row in rows}
    return found


_OPTIONS = {"read_csv": ", all_varchar=true", "read_json": ", sample_size=-1"}
HEADLESS = ", header=false"
"""The option that takes the first line of a CSV file for a row: columns are then told by their places."""


def view(connection: duckdb.DuckDBPyConnection, source: Path, reader: str, more: str = "", name: str = "t") -> None:
    """Make the view ``t`` of a table; ``more`` are further options of its reader."""
    asked = f"SELECT * FROM {reader}('{escaped(str(source))}'{_OPTIONS.get(reader, '')}{more})"
    connection.execute(f"CREATE VIEW {name} AS {asked}")


def cut_out(
    connection: duckdb.DuckDBPyConnection, source: Path, reader: str, theirs: str, target: Path, more: str = ""
) -> bool:
    """Write a text table without the subject's rows, every other byte as it was; tell whether that is proved.

    Written out anew by DuckDB, a table would change its separator, its quotes, its times and its missing keys.
    """
    import duckdb

    total = connection.execute("SELECT count(*) FROM t").fetchall()[0][0]
    numbered = "SELECT row_number() OVER () - 1 AS place__, * FROM t"
    found = connection.execute(f"SELECT place__ FROM ({numbered}) WHERE {theirs}").fetchall()
    places = {place for (place,) in found}
    first = sum(1 for _ in _records(source, reader)) - total  # the lines before the rows: a header, or none
    with target.open("wb") as file:
        for number, record in enumerate(_records(source, reader)):
            if number - first not in places:
                file.write(record)
    try:  # as many rows as there should be, and none of theirs: then exactly theirs went
        view(connection, target, reader, more, "cut")
        asked = f"SELECT count(*), count(*) FILTER (WHERE {theirs}) FROM cut"
        count, held = connection.execute(asked).fetchall()[0]
        names = [[name for name, *_ in connection.execute(f"DESCRIBE {each}").fetchall()] for each in ("t", "cut")]
    except duckdb.Error:  # other columns are found in what is left
        return False
    return bool(count == total - len(places) and not held and set(names[1]) <= set(names[0]))


def _records(source: Path, reader: str) -> Iterator[bytes]:
    """Yield the lines of a text table; in a CSV file those within one pair of quotes together."""
    waiting: list[bytes] = []
    open_quote = False
    with source.open("rb") as file:
        for line in file:
            waiting.append(line)
            open_quote ^= reader == "read_csv" and line.count(b'"') % 2 == 1
            if not open_quote:
                yield b"".join(waiting)
                waiting.clear()
    if waiting:
        yield b"".join(waiting)


def format_of(row: Row, more: str = "") -> str:
    """Return the options with which DuckDB writes a table anew."""
    suffix = Path(row.path.decode()).suffix
    if suffix == ".parquet":
        return "FORMAT parquet, COMPRESSION zstd"
    if suffix in (".csv", ".tsv"):
        return f"FORMAT csv, HEADER {str(more != HEADLESS).lower()}" + (", DELIMITER '\t'" if suffix == ".tsv" else "")
    return "FORMAT json"


def metadata(connection: duckdb.DuckDBPyConnection, source: Path, needles: Needles) -> str:
    """Return the option that keeps a Parquet file's own keys and values, apart from those that name the subject."""
    pairs = connection.execute("SELECT key, value FROM parquet_kv_metadata(?)", (str(source),)).fetchall()
    kept = {key: value for key, value in pairs if not (needles.raw.search(key) or in_cell(value, needles, 0))}
    said = ", ".join(f"'{escaped(key.decode())}': {_blob(value)}" for key, value in kept.items())
    return f", KV_METADATA {{{said}}}" if kept else ""


def _blob(data: bytes) -> str:
    return "'" + "".join(f"\\x{byte:02X}" for byte in data) + "'::BLOB"


def escaped(text: str) -> str:
    """Return a text as it stands between the quotes of an SQL text."""
    return text.replace("'", "''")
