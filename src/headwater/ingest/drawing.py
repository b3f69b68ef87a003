"""Drawing a masked sample where the data is: raw rows and the key stay there, only pseudonyms leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from ..errors import InvalidInputError, RefusedError
from ..lake import Entry, Origin, Table, Version, iter_files, put_table, resolve
from ..lake.media import table_format
from ..lake.origins import get_origin
from ..lake.scanning import open_views
from ..lake.table import quote, refusal
from ..operation import operation
from ..project import Project
from .leaking import personal_columns, unmasked_copies
from .masking import mask_table
from .masks import kind_of, mask_key

if TYPE_CHECKING:
    import duckdb

MOST_ROWS = 10_000_000


class Related(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset whose rows go with the sampled ones: those whose ``column`` is among the values of ``of``."""

    ref: str
    column: str
    of: str


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """A sample as it was drawn: masked tables in the store of ``origin``, the versions that they were drawn from.

    ``masks`` are kinds by table and column; ``key`` tells two keys apart and nothing of them.
    """

    origin: Origin
    text: str
    tables: tuple[Entry, ...]
    versions: tuple[str, ...]
    rows: dict[str, int]
    masks: dict[str, dict[str, str]]
    key: str
    seed: int
    warnings: tuple[str, ...]


def parse_related(text: str) -> Related:
    """Return the relation written ``items@main:order_id=id``: a dataset, its column, the sampled dataset's column.

    Raises:
        InvalidInputError: it is not written so.
    """
    ref, colon, columns = text.rpartition(":")
    column, equals, of = columns.partition("=")
    if not (ref and colon and column and equals and of):
        raise InvalidInputError(
            f"'{text}' is not a relation: write DATASET@VERSION:COLUMN=COLUMN, as in items@main:order_id=id.", text=text
        )
    return Related(ref=ref, column=column, of=of)


@operation("data.sample.draw", needs="data:read", audited=True)
def draw(
    project: Project,
    ref: str,
    *,
    rows: int = 10_000,
    by: str | None = None,
    mask: Mapping[str, str] | None = None,
    related: Sequence[Related] = (),
    seed: int = 0,
    leave: Sequence[str] = (),
) -> Drawn:
    """Return a masked sample of a version's rows, put into this project's store and named by nothing yet.

    About ``rows`` rows: with ``by`` whole groups of one key, as many as fit (one at least). ``related`` datasets give
    the rows that belong to the sampled ones. ``mask`` gives kinds by column ("": chosen by name and type), with
    ``table.column`` for one dataset only; a column that a relation joins is masked on both sides. The same seed,
    version and key give the same bytes. ``leave`` are columns that may hold what is masked elsewhere.

    Raises:
        RefusedError: an unmasked column holds values that are masked in another.
        InvalidInputError: a column does not exist, or a mask does not fit it.
        NotFoundError: a ref names nothing.
    """
    if not 1 <= rows <= MOST_ROWS:
        raise InvalidInputError(f"a sample has 1 to {MOST_ROWS:,} rows, not {rows:,}.", rows=rows)
    import duckdb

    chosen = {version.dataset: version for version in (resolve(project, each) for each in (ref, *_refs(related)))}
    if len(chosen) != 1 + len(related):
        raise InvalidInputError("each dataset can be in a sample once: a relation names one that is there already.")
    names = list(chosen)
    entries = {name: _tables_in(project, version) for name, version in chosen.items()}
    connection = open_views(project, {f"all_{name}": some for name, some in entries.items()})
    try:
        return _draw(project, connection, names, chosen, related, rows, by, dict(mask or {}), seed, leave)
    except duckdb.Error as error:
        raise refusal(error) from error
    finally:
        connection.close()


def _refs(related: Sequence[Related]) -> list[str]:
    return [each.ref for each in related]


def _tables_in(project: Project, version: Version) -> list[Entry]:
    found = [entry for entry in iter_files(project, version.id) if table_format(entry)]
    if not found:
        raise InvalidInputError(f"{version.ref} holds no table to sample: none of its files is one.", ref=version.ref)
    return found


def _draw(
    project: Project,
    connection: duckdb.DuckDBPyConnection,
    names: list[str],
    chosen: dict[str, Version],
    related: Sequence[Related],
    rows: int,
    by: str | None,
    mask: dict[str, str],
    seed: int,
    leave: Sequence[str],
) -> Drawn:
    columns = {name: _types(connection, f"all_{name}") for name in names}
    _require_columns(names, columns, related, by, mask)
    masks = _masks(names, columns, related, mask)
    key = mask_key(project)
    warnings: list[str] = []
    _pick(connection, names[0], rows, by, seed, warnings)
    for each, name in zip(related, names[1:], strict=True):
        _follow(connection, names[0], name, each)
    picked = {name: f"picked_{name}" for name in names}
    leaks = unmasked_copies(connection, picked, masks, leave)
    if leaks:
        raise RefusedError(
            f"the sample would give away what is masked: {'; '.join(leaks[:5])}. Mask those columns too (as 'text'), "
            "drop them ('drop'), or let them be on purpose with --leave COLUMN.",
            leaks=leaks,
        )
    for place, name in enumerate(names):
        kinds = masks[name]
        subject = _subject(names[0], name, columns, by, related[place - 1] if place else None)
        mask_table(connection, picked[name], f"made_{name}", kinds, key, subject=subject, warnings=warnings)
        warnings += personal_columns(connection, name, picked[name], kinds)
    tables = tuple(
        put_table(project, name, Table(connection, f"SELECT * FROM {quote(f'made_{name}')}")) for name in names
    )
    return Drawn(
        origin=get_origin(project),
        text=_text(project, chosen[names[0]], rows, by, seed),
        tables=tables,
        versions=tuple(version.id for version in chosen.values()),
        rows={name: entry.rows or 0 for name, entry in zip(names, tables, strict=True)},
        masks=masks,
        key=key.fingerprint,
        seed=seed,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _text(project: Project, version: Version, rows: int, by: str | None, seed: int) -> str:
    grouped = f" by {by}" if by else ""
    return f"sample of {version.ref} ({version.id}) in {project.name}: {rows} rows{grouped}, seed {seed}"


def _types(connection: duckdb.DuckDBPyConnection, view: str) -> dict[str, str]:
    return {row[0]: str(row[1]) for row in connection.execute(f"DESCRIBE {quote(view)}").fetchall()}


def _require_columns(
    names: list[str],
    columns: dict[str, dict[str, str]],
    related: Sequence[Related],
    by: str | None,
    mask: dict[str, str],
) -> None:
    wanted = [(names[0], by)] if by else []
    for each, name in zip(related, names[1:], strict=True):
        wanted += [(name, each.column), (names[0], each.of)]
    for text in mask:
        name, dot, column = text.partition(".")
        if dot and name in columns:
            wanted.append((name, column))
        elif not any(text in some for some in columns.values()):
            wanted.append((names[0], text))
    for name, column in wanted:
        if column not in columns[name]:
            raise InvalidInputError(
                f"'{name}' has no column '{column}'. It has {', '.join(columns[name])}.", dataset=name, column=column
            )


def _masks(
    names: list[str], columns: dict[str, dict[str, str]], related: Sequence[Related], mask: dict[str, str]
) -> dict[str, dict[str, str]]:
    """Return the kinds by table and column; both sides of a relation are masked alike."""
    asked = {name: {c: mask[c] for c in columns[name] if c in mask} for name in names}
    for text, kind in mask.items():
        name, dot, column = text.partition(".")
        if dot and name in asked:
            asked[name][column] = kind
    for each, name in zip(related, names[1:], strict=True):
        here, there = asked[names[0]].get(each.of), asked[name].get(each.column)
        if here is None and there is None:
            continue
        one = next((kind for kind in (here, there) if kind), "")
        if not one:
            one = kind_of(each.of, "", columns[names[0]][each.of])
        asked[names[0]][each.of] = asked[name][each.column] = one
    return {
        name: {column: kind_of(column, kind, columns[name][column]) for column, kind in asked[name].items()}
        for name in names
    }


def _pick(
    connection: duckdb.DuckDBPyConnection, name: str, rows: int, by: str | None, seed: int, warnings: list[str]
) -> None:
    """Make ``picked_NAME``: the sampled rows in the order of the version."""
    view, into = quote(f"all_{name}"), quote(f"picked_{name}")
    numbered = f"SELECT *, row_number() OVER () AS of_version FROM {view}"
    if by is None:
        order = f"md5('{int(seed)}:' || of_version)"
        source = f"SELECT * FROM ({numbered}) ORDER BY {order}, of_version LIMIT {int(rows)}"
    else:
        key = quote(by)
        groups = f"SELECT {key} AS of_key, count(*) AS held FROM {view} WHERE {key} IS NOT NULL GROUP BY {key}"
        placed = f"SELECT of_key, held, md5('{int(seed)}:' || CAST(of_key AS VARCHAR)) AS place FROM ({groups})"
        summed = (
            "SELECT of_key, sum(held) OVER w AS until, row_number() OVER w AS place FROM "
            f"({placed}) WINDOW w AS (ORDER BY place, of_key ROWS UNBOUNDED PRECEDING)"
        )
        keys = f"SELECT of_key FROM ({summed}) WHERE until <= {int(rows)} OR place = 1"
        source = f"SELECT * FROM ({numbered}) WHERE {key} IN ({keys})"
        nulls = connection.execute(f"SELECT count(*) FROM {view} WHERE {key} IS NULL").fetchone()
        if nulls and nulls[0]:
            warnings.append(f"{nulls[0]:,} rows of '{name}' have no '{by}': they belong to nobody and were left out")
    connection.execute(f"CREATE TABLE {into} AS SELECT * EXCLUDE (of_version) FROM ({source}) ORDER BY of_version")


def _follow(connection: duckdb.DuckDBPyConnection, base: str, name: str, related: Related) -> None:
    """Make ``picked_NAME``: the rows of a related dataset that belong to the sampled ones."""
    connection.execute(
        f"CREATE TABLE {quote(f'picked_{name}')} AS SELECT * EXCLUDE (of_version) FROM "
        f"(SELECT *, row_number() OVER () AS of_version FROM {quote(f'all_{name}')}) WHERE {quote(related.column)} IN "
        f"(SELECT {quote(related.of)} FROM {quote(f'picked_{base}')}) ORDER BY of_version"
    )


def _subject(base: str, name: str, columns: dict[str, dict[str, str]], by: str | None, related: Related | None) -> str:
    """Return the SQL of whom a row is about: dates of one subject move together, in each of the tables."""
    if by is None:
        return "''"
    if related is None or by in columns[name]:
        return f"CAST({quote(by)} AS VARCHAR)"
    # A column of an outer query is named with its table: 'of' and 'by' may be called alike on both sides.
    here = f"{quote(f'picked_{name}')}.{quote(related.column)}"
    return (
        f"(SELECT any_value(CAST(b.{quote(by)} AS VARCHAR)) FROM {quote(f'picked_{base}')} AS b "
        f"WHERE b.{quote(related.of)} = {here})"
    )
