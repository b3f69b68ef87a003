"""Runs as facts: started, given parameters and tags, ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import ConflictError, GoneError, InvalidInputError, NotFoundError
from headwater.ids import new_id
from headwater.ledger.values import escape_text, float_value, unescape_text
from headwater.operation import operation

from . import params as parameters
from .liveness import host, notice_killed, process_mark
from .values import Artefact, MetricSummary, Run, Status

if TYPE_CHECKING:
    from headwater.ledger import Tx, WriteTx
    from headwater.project import Project

_COLUMNS = (
    "id, kind, name, flow, status, started_at, ended_at, author, parent, code, environment, host, process, "
    "heartbeat_at, error, traceback, shelf, shelved_at, shelved_by"
)
LONGEST_ERROR = 20_000
LISTED, ARCHIVED, DELETED = 0, 1, 2
"""Where a run lies: the column ``shelf``."""


@operation("run.start", needs="run:write")
def start_run(
    project: Project,
    name: str,
    params: dict[str, Any] | None = None,
    *,
    kind: str = "track",
    flow: str = "",
    tags: dict[str, str] | None = None,
    parent: str | None = None,
    code: str = "",
    environment: dict[str, str] | None = None,
    run: str | None = None,
    where: str | None = None,
) -> Run:
    """Record a run that starts now and return it.

    ``run`` is an id made beforehand. ``where`` is ``host|process`` of the process that runs it (this one when
    left out), by which a killed run is noticed.

    Raises:
        InvalidInputError: the name or a key cannot be kept.
        NotFoundError: there is no such parent.
        ConflictError: a run of that id exists.
    """
    parameters.check_key(name)
    identifier = run or new_id(project.clock())
    with project.ledger.write() as tx:
        insert_run(
            tx, identifier, name, author=project.actor.name, params=params, kind=kind, flow=flow, tags=tags,
            parent=parent, code=code, environment=environment, where=where,
        )  # fmt: skip
        return read_runs(tx, [identifier])[0]


def insert_run(
    tx: WriteTx,
    identifier: str,
    name: str,
    *,
    author: str,
    params: Mapping[str, Any] | None = None,
    kind: str = "track",
    flow: str = "",
    tags: Mapping[str, str] | None = None,
    parent: str | None = None,
    code: str = "",
    environment: Mapping[str, str] | None = None,
    where: str | None = None,
    started_at: int | None = None,
) -> None:
    """Write the row of a run that starts, with its parameters and tags; raises as ``start_run`` does."""
    machine, _, process = (where or f"{host()}|{process_mark()}").partition("|")
    if tx.one("SELECT id FROM runs WHERE id = ?", (identifier,)) is not None:
        raise ConflictError(f"a run {identifier} exists already.", run=identifier)
    if parent is not None:
        _require(tx, parent)
        tx.edge(f"run:{identifier}", "parent", f"run:{parent}")
    tx.insert(
        "runs",
        id=identifier,
        kind=kind,
        name=name,
        flow=flow,
        status="running",
        started_at=tx.now if started_at is None else started_at,
        ended_at=None,
        author=author,
        parent=parent,
        code=code,
        environment=msgspec.json.encode(dict(environment or {}), order="sorted").decode(),
        host=machine,
        process=process,
        heartbeat_at=tx.now,
        error="",
        traceback="",
    )
    if params:
        tx.insert_many("run_params", parameters.COLUMNS, parameters.rows(identifier, params))
    if tags:
        write_tags(tx, identifier, tags)


@operation("run.params", needs="run:write", audited=False)
def log_params(project: Project, run: str, params: dict[str, Any]) -> None:
    """Add parameters to a run.

    Raises:
        NotFoundError: there is no such run.
        ConflictError: a key has another value already: a parameter does not change during a run.
    """
    rows = parameters.rows(run, params)
    with project.ledger.write() as tx:
        _require(tx, run)
        for row in rows:
            before = tx.one("SELECT kind, text FROM run_params WHERE run = ? AND key = ?", (run, row[1]))
            if before is None:
                tx.insert("run_params", **dict(zip(parameters.COLUMNS, row, strict=True)))
            elif (before.kind, before.text) != (row[2], row[3]):
                raise ConflictError(
                    f"parameter '{row[1]}' of run {run} is {before.text} already, not {row[3]}: a parameter does not "
                    "change during a run. Log it as a metric, or under another name.",
                    run=run,
                    key=row[1],
                )


@operation("run.tags", needs="run:write")
def set_tags(project: Project, run: str, tags: dict[str, str | None]) -> None:
    """Set tags of a run; None removes one. A tag may change at any time, also after the end."""
    with project.ledger.write() as tx:
        _require(tx, run)
        for key in [key for key, value in tags.items() if value is None]:
            tx.execute("DELETE FROM run_tags WHERE run = ? AND key = ?", (run, key))
        write_tags(tx, run, {key: value for key, value in tags.items() if value is not None})


def write_tags(tx: WriteTx, run: str, tags: Mapping[str, str]) -> None:
    """Write tags of a run in this transaction."""
    for key, value in tags.items():
        tx.execute(
            "INSERT INTO run_tags (run, key, value) VALUES (?, ?, ?) "
            "ON CONFLICT (run, key) DO UPDATE SET value = excluded.value",
            (run, parameters.check_key(key), escape_text(str(value))),
        )


@operation("run.end", needs="run:write")
def end_run(project: Project, run: str, status: Status = "done", error: str = "", traceback: str = "") -> Run:
    """Record how a run ended, bring its summaries up to date, and return it.

    Raises:
        NotFoundError: there is no such run.
        ConflictError: it has ended already, otherwise than being noticed as killed.
        InvalidInputError: the status is not an end.
    """
    if status == "running":
        raise InvalidInputError("a run ends as done, failed or killed, not as running.", status=status)
    from .metrics import fold_metrics

    fold_metrics(project, [run])
    with project.ledger.write() as tx:
        finish_run(tx, run, status, error, traceback)
        return read_runs(tx, [run])[0]


def finish_run(tx: WriteTx, run: str, status: str, error: str = "", traceback: str = "") -> None:
    """Write the end of a run and announce it; raises as ``end_run`` does."""
    row = _require(tx, run)
    if row.status not in ("running", "killed"):
        raise ConflictError(f"run {run} ended as '{row.status}' already.", run=run, status=row.status)
    tx.execute(
        "UPDATE runs SET status = ?, ended_at = ?, heartbeat_at = ?, error = ?, traceback = ? WHERE id = ?",
        (status, tx.now, tx.now, _bounded(error), _bounded(traceback), run),
    )
    tx.announce("run", f"run:{run}")


@operation("run.get", needs="run:read")
def get_run(project: Project, run: str) -> Run:
    """Return a run with its parameters, tags, metric summaries and artefacts.

    ``run`` is an id, ``run:<id>``, or the first characters of an id where they name one run only.

    Raises:
        NotFoundError: there is none, or more than one.
        GoneError: it was deleted.
    """
    notice_killed(project)
    identifier = find_id(project, run)
    from .metrics import fold_metrics

    with project.ledger.read() as tx:
        running = tx.value("SELECT status FROM runs WHERE id = ?", (identifier,)) != "done"
    if running:
        fold_metrics(project, [identifier])
    with project.ledger.read() as tx:
        return read_runs(tx, [identifier], artefacts=True)[0]


def find_id(project: Project, run: str) -> str:
    """Return the id that a ref or the beginning of an id names; raises as ``get_run`` does."""
    text = run.removeprefix("run:").upper()
    with project.ledger.read() as tx:
        row = tx.one("SELECT id, shelf, shelved_at, shelved_by FROM runs WHERE id = ?", (text,)) if text else None
        if row is not None:
            _require_kept(row)
            return text
        sql = f"SELECT id FROM runs WHERE id >= ? AND id < ? AND shelf <> {DELETED} ORDER BY id LIMIT 3"
        found = tx.all(sql, (text, text + "~"))
    if text and len(found) == 1:
        return str(found[0].id)
    why = "names more than one run" if len(found) > 1 else "names no run"
    raise NotFoundError(f"'{run}' {why}. 'hw runs list' shows them.", run=run)


def read_runs(tx: Tx, ids: Sequence[str], *, artefacts: bool = False) -> list[Run]:
    """Return the runs of these ids in this order, with what belongs to them, in five queries at most."""
    if not ids:
        return []
    marks = ", ".join("?" * len(ids))
    rows = {row.id: row for row in tx.all(f"SELECT {_COLUMNS} FROM runs WHERE id IN ({marks})", ids)}
    params: dict[str, dict[str, Any]] = {each: {} for each in ids}
    for row in tx.all(
        f"SELECT run, key, kind, text, bits FROM run_params WHERE run IN ({marks}) ORDER BY run, key", ids
    ):
        params[row.run][row.key] = parameters.value_of(row.kind, row.text, row.bits)
    tags: dict[str, dict[str, str]] = {each: {} for each in ids}
    for row in tx.all(f"SELECT run, key, value FROM run_tags WHERE run IN ({marks}) ORDER BY run, key", ids):
        tags[row.run][row.key] = unescape_text(row.value)
    metrics: dict[str, dict[str, MetricSummary]] = {each: {} for each in ids}
    for row in tx.all(f"SELECT * FROM metric_summary WHERE run IN ({marks}) ORDER BY run, key", ids):
        metrics[row.run][row.key] = summary_of(row)
    left: dict[str, list[Artefact]] = {each: [] for each in ids}
    if artefacts:
        for row in tx.all(f"SELECT * FROM artefacts WHERE run IN ({marks}) ORDER BY run, name", ids):
            left[row.run].append(artefact_of(row))
    return [
        _run_of(rows[each], params[each], tags[each], metrics[each], tuple(left[each])) for each in ids if each in rows
    ]


def summary_of(row: Any) -> MetricSummary:
    """Return the summary of a row of ``metric_summary``."""
    last = float_value(row.last_bits)
    assert last is not None
    return MetricSummary(
        key=row.key,
        points=row.points,
        last=last,
        last_step=row.last_step,
        last_at=row.last_at,
        least=row.least,
        greatest=row.greatest,
    )


def artefact_of(row: Any) -> Artefact:
    """Return the artefact of a row of ``artefacts``."""
    return Artefact(
        run=row.run, name=row.name, digest=row.digest, size=row.size, media=row.media, recorded_at=row.recorded_at
    )


def _run_of(
    row: Any,
    params: dict[str, Any],
    tags: dict[str, str],
    metrics: dict[str, MetricSummary],
    artefacts: tuple[Artefact, ...],
) -> Run:
    return Run(
        id=row.id,
        kind=row.kind,
        name=row.name,
        flow=row.flow,
        status=row.status,
        started_at=row.started_at,
        ended_at=row.ended_at,
        author=row.author,
        parent=row.parent,
        code=row.code,
        error=unescape_text(row.error),
        traceback=unescape_text(row.traceback),
        host=row.host,
        heartbeat_at=row.heartbeat_at,
        environment=msgspec.json.decode(row.environment, type=dict[str, str]),
        params=params,
        tags=tags,
        metrics=metrics,
        artefacts=artefacts,
        archived=row.shelf == ARCHIVED,
    )


def _require_kept(row: Any) -> None:
    if row.shelf == DELETED:
        when = datetime.fromtimestamp(row.shelved_at / 1e6, UTC).strftime("%Y-%m-%d %H:%M")
        raise GoneError(
            f"run {row.id} was deleted on {when} UTC by {row.shelved_by}: its parameters, metrics and files are gone; "
            f"'hw trace run:{row.id}' shows what came of it.",
            run=row.id,
        )


def _bounded(text: str) -> str:
    half = LONGEST_ERROR // 2
    return escape_text(text if len(text) <= LONGEST_ERROR else f"{text[:half]}\n…\n{text[-half:]}")


def _require(tx: Tx, run: str) -> Any:
    row = tx.one("SELECT id, status, shelf, shelved_at, shelved_by FROM runs WHERE id = ?", (run,))
    if row is None:
        raise NotFoundError(f"there is no run {run}. 'hw runs list' shows those there are.", run=run)
    _require_kept(row)
    return row
