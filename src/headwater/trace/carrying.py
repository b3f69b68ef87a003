"""Runs made elsewhere, on a train for instance, brought to the project of the team: facts, points, lines and bytes.

A run's bytes and the versions that it read go first, its points and lines next, its facts last, in one transaction:
what was cut short goes on where it stood, and a run that has arrived is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.durable import crash_point
from headwater.errors import InvalidInputError
from headwater.lake.origins import Origin, get_origin
from headwater.lake.refs import get_version
from headwater.lake.sending import history_of, send_objects, send_versions
from headwater.operation import operation
from headwater.project import LocalProject, Project
from headwater.track.listing import chosen_runs
from headwater.track.logs import read_log
from headwater.track.metrics import STREAM, fold_metrics
from headwater.track.receiving import (
    LARGEST_BATCH,
    WrittenPoint,
    receive_lines,
    receive_points,
    taken_of,
)

if TYPE_CHECKING:
    from headwater.ledger import Tx

Rows = dict[str, list[dict[str, Any]]]
Progress = Callable[[int, int], None]
"""Called with runs done and runs in all."""

_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_MOST_LINES = 10_000_000
# What belongs to a run, in the order in which it is written: each table with what finds a run's rows in it.
_TABLES = {
    "snapshots": "digest IN (SELECT code FROM runs WHERE id = ?)",
    "ingredients": "digest IN (SELECT r.ingredients FROM results r JOIN tasks t ON t.result = r.id WHERE t.run = ?)",
    "results": "id IN (SELECT result FROM tasks WHERE run = ?)",
    "runs": "id = ?",
    "run_params": "run = ?",
    "run_tags": "run = ?",
    "artefacts": "run = ?",
    "tasks": "run = ?",
    "edges": "child = 'run:' || ? OR parent = 'run:' || ?",
}
_SHARED = ("snapshots", "ingredients", "results", "edges")


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What a merge brought: runs, those that were there already, and what travelled for them."""

    runs: tuple[str, ...]
    known: tuple[str, ...]
    under_way: tuple[str, ...]
    versions: int
    objects: int
    bytes: int


def merge_runs(
    source: Project, target: Project, runs: Sequence[str] = (), *, filter: str = "", progress: Progress | None = None
) -> Carried:
    """Bring ended runs of ``source``, a folder's project, to ``target``, which may be opened by URL; all by default.

    Ids, times and authors stay; a search or a parent run comes with its children. A run that is under way is left.

    Raises:
        InvalidInputError: the source was opened by URL, or both are the same project.
        NotFoundError: a run does not exist, or bytes that it needs are not in the source any more.
        ConflictError: somebody else merges the same run just now.
    """
    if not isinstance(source, LocalProject):
        raise InvalidInputError("runs are merged from a project's own folder: give its path, not its URL.")
    if source.id == target.id:
        raise InvalidInputError(f"'{source.name}' and '{target.name}' are the same project: there is nothing to merge.")
    chosen = chosen_runs(source, runs, filter or ("" if runs else "archived = true or archived = false"))
    chosen = _with_parents(source, chosen)
    with source.ledger.read() as tx:
        going = [run for run in chosen if tx.value("SELECT status FROM runs WHERE id = ?", (run,)) == "running"]
    unknown = set(unknown_runs(target, chosen))
    new = [run for run in chosen if run in unknown and run not in going]
    versions = objects = size = 0
    for done, run in enumerate(new):
        rows = _rows_of(source, run)
        sent = [_send_version(source, target, version) for version in _versions_read(rows)]
        sent.append(send_objects(source, target, _digests(source, rows)))
        _send_streams(source, target, run)
        crash_point("run.merge.sent")
        receive_run(target, run, rows, get_origin(source))
        versions += sum(len(each.versions) for each in sent)
        objects += sum(each.objects for each in sent)
        size += sum(each.bytes for each in sent)
        if progress is not None:
            progress(done + 1, len(new))
    known = tuple(run for run in chosen if run not in unknown)
    return Carried(runs=tuple(new), known=known, under_way=tuple(going), versions=versions, objects=objects, bytes=size)


@operation("run.unknown", needs="run:read")
def unknown_runs(project: Project, runs: list[str]) -> list[str]:
    """Return those of the runs that this project does not have."""
    with project.ledger.read() as tx:
        return [run for run in runs if tx.one("SELECT id FROM runs WHERE id = ?", (run,)) is None]


@operation("run.receive", needs="run:write")
def receive_run(project: Project, run: str, rows: Rows, origin: Origin) -> None:
    """Record a run of another project whose bytes, points and lines are here already.

    Raises:
        InvalidInputError: the rows are not those of one run, or bytes that they name are missing.
    """
    unknown = sorted(set(rows) - set(_TABLES))
    if unknown or [row.get("id") for row in rows.get("runs", ())] != [run]:
        raise InvalidInputError(f"these are not the facts of run {run}.", run=run, unknown=unknown)
    absent = project.objects.missing(sorted({row["digest"] for row in rows.get("artefacts", ())}))
    if absent:
        raise InvalidInputError(
            f"{len(absent)} files of run {run} are not in the store. Send them first.", missing=absent
        )
    fold_metrics(project, [run])
    with project.ledger.write() as tx:
        if tx.one("SELECT id FROM runs WHERE id = ?", (run,)) is not None:
            return
        columns = tx.tables()
        for table in _TABLES:
            for row in rows.get(table, ()):
                _require_columns(table, row, columns[table])
                if table == "edges":
                    tx.edge(row["child"], row["role"], row["parent"])
                elif table not in _SHARED or not _is_there(tx, table, row):
                    tx.insert(table, **row)
        tx.edge(f"run:{run}", "import", origin.ref)
        tx.announce("run", f"run:{run}")


def _require_columns(table: str, row: dict[str, Any], known: Sequence[str]) -> None:
    unknown = sorted(set(row) - set(known))
    if unknown:
        raise InvalidInputError(
            f"the sender's table '{table}' has columns that are not known here: {', '.join(unknown)}. "
            "Use the same version of Headwater on both sides."
        )


def _is_there(tx: Tx, table: str, row: dict[str, Any]) -> bool:
    key = "id" if table == "results" else "digest"
    return tx.one(f"SELECT {key} AS key FROM {table} WHERE {key} = ?", (row[key],)) is not None


def _with_parents(source: LocalProject, runs: Sequence[str]) -> list[str]:
    """Return runs with those that they belong to, parents before children."""
    found: dict[str, None] = {}
    with source.ledger.read() as tx:
        for run in runs:
            line = [run]
            while (parent := tx.value("SELECT parent FROM runs WHERE id = ?", (line[-1],))) and parent not in line:
                line.append(str(parent))
            found.update(dict.fromkeys(reversed(line)))
    return list(found)


def _rows_of(source: LocalProject, run: str) -> Rows:
    with source.ledger.read() as tx:
        found: Rows = {}
        for table, where in _TABLES.items():
            rows = tx.all(f"SELECT * FROM {table} WHERE {where}", (run,) * where.count("?"))
            found[table] = [row.as_dict() for row in rows]
    return found


def _versions_read(rows: Rows) -> Iterator[str]:
    for row in rows["edges"]:
        if row["child"].startswith("run:") and row["parent"].startswith("version:"):
            yield row["parent"].removeprefix("version:")


def _send_version(source: LocalProject, target: Project, version: str) -> Any:
    with source.ledger.read() as tx:
        known = get_version(tx, version)
    return send_versions(source, target, history_of(source, known.id))


def _digests(source: LocalProject, rows: Rows) -> list[str]:
    """Return the objects that rows name, and those that a code snapshot lists; a result whose bytes went stays out."""
    named = [value for table in rows.values() for row in table for value in row.values() if isinstance(value, str)]
    found = {digest for value in named for digest in _DIGEST.findall(value)}
    for row in rows["snapshots"]:
        found |= set(_DIGEST.findall(source.objects.get(row["manifest"]).decode("utf-8", "replace")))
    absent = set(source.objects.missing(sorted(found)))
    return sorted(found - absent)


def _send_streams(source: LocalProject, target: Project, run: str) -> None:
    taken = taken_of(target, run)
    sql = "SELECT key, step, occurred_at, value, writer, seq FROM metrics WHERE run = ? ORDER BY writer, seq"
    points = [WrittenPoint(*row) for row in source.events.query(sql, [run], streams=[STREAM]).fetchall()]
    points = [point for point in points if point.seq > taken.writers.get(point.writer, 0)]
    for start in range(0, len(points), LARGEST_BATCH):
        receive_points(target, run, points[start : start + LARGEST_BATCH])
    lines = read_log(source, run, limit=_MOST_LINES)
    for start in range(taken.lines, len(lines), LARGEST_BATCH):
        receive_lines(target, run, start, lines[start : start + LARGEST_BATCH])
