"""What a person wants to know of each thing in a lineage: a title and a few facts, asked for in bulk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import NotFoundError
from headwater.lake import list_files

if TYPE_CHECKING:
    from headwater.ledger import Row, Tx
    from headwater.project import Project

FILES_SHOWN = 20


class About(msgspec.Struct, frozen=True, kw_only=True):
    """A title and facts."""

    title: str
    facts: dict[str, Any]


class Kind(msgspec.Struct, frozen=True):
    """Where things of a kind are facts: their table, the columns shown, and how a title is made of a row."""

    table: str
    columns: str
    title: Callable[[Any], str]


def _run_title(row: Any) -> str:
    return f"{row.flow or row.name} ({row.kind}, {row.status})"


KINDS: dict[str, Kind] = {
    "version": Kind(
        "versions", "dataset, number, message, author, source, files, bytes, rows, created_at",
        lambda row: f"{row.dataset}@v{row.number}",
    ),
    "modelversion": Kind(
        "model_versions", "model, number, flavour, description, author, run, created_at",
        lambda row: f"{row.model}@v{row.number}",
    ),
    "run": Kind("runs", "kind, name, flow, status, author, code, started_at, ended_at", _run_title),
    "pull": Kind(
        "pulls", "source, parameters, origin, outcome, files, bytes, proof, actor, started_at, ended_at",
        lambda row: f"pull of {row.source} ({row.outcome})",
    ),
    "task": Kind("tasks", "step, outcome, why, seconds, run, started_at", lambda row: f"{row.step} ({row.outcome})"),
    "result": Kind("results", "step, output, seconds, created_at", lambda row: f"result of {row.step}"),
    "evidence": Kind("evidence", "kind, subject, maker, created_at", lambda row: row.kind),
    "verdict": Kind("verdicts", "outcome, dataset, version, author, created_at", lambda row: f"checks {row.outcome}"),
    "release": Kind(
        "releases", "model, number, channel, kind, person, reason, released_at",
        lambda row: f"{row.kind} of {row.model}@v{row.number} to {row.channel}",
    ),
    "request": Kind(
        "release_requests", "model, number, channel, status, requested_by, reason, requested_at",
        lambda row: f"request for {row.model}@v{row.number} on {row.channel} ({row.status})",
    ),
    "question": Kind(
        "questions", "title, run, status, asked_by, decided_by, reason, asked_at",
        lambda row: f"{row.title} ({row.status})",
    ),
    "approval": Kind("approvals", "person, decision, reason, at", lambda row: f"{row.decision} by {row.person}"),
    "alarm": Kind("alarms", "title, kind, monitor, start_at, end_at, created_at", lambda row: row.title),
    "window": Kind(
        "monitor_windows", "monitor, kind, rows, start_at, end_at", lambda row: f"{row.kind} window of {row.monitor}"
    ),
    "job": Kind(
        "jobs", "operation, status, trigger_name, cause, actor, created_at",
        lambda row: f"{row.operation} ({row.status})",
    ),
}  # fmt: skip
"""The kinds of refs that name facts, each by the id behind the colon."""


def kind_of(ref: str) -> str:
    """Return the kind of a ref: what stands before its colon."""
    return ref.partition(":")[0]


def describe(project: Project, refs: Iterable[str]) -> dict[str, About | None]:
    """Return what is known of each ref; None where it names a fact that this project does not have.

    A ref of a kind that is not kept as facts (``source:``, ``object:``) speaks for itself.
    """
    by_kind: dict[str, list[str]] = {}
    for ref in refs:
        by_kind.setdefault(kind_of(ref), []).append(ref)
    found: dict[str, About | None] = {}
    with project.ledger.read() as tx:
        for kind, some in by_kind.items():
            if kind in KINDS:
                found |= _facts(tx, kind, some)
            else:
                found |= {ref: About(title=ref.partition(":")[2] or ref, facts={}) for ref in some}
    for ref in by_kind.get("version", ()):
        about = found[ref]
        if about is not None:
            about.facts["shown_files"] = _files(project, ref)
    return found


def _facts(tx: Tx, kind: str, refs: Sequence[str]) -> dict[str, About | None]:
    what = KINDS[kind]
    ids = [ref.partition(":")[2] for ref in refs]
    rows = tx.all_in(f"SELECT id, {what.columns} FROM {what.table} WHERE id IN (??)", ids)
    abouts = {row.id: About(title=what.title(row), facts=_shown(row)) for row in rows}
    return {ref: abouts.get(identifier) for ref, identifier in zip(refs, ids, strict=True)}


def _shown(row: Row) -> dict[str, Any]:
    facts: Mapping[str, Any] = row.as_dict()
    return {key: value for key, value in facts.items() if key != "id" and value not in (None, "")}


def _files(project: Project, ref: str) -> list[dict[str, Any]]:
    """Return the first files of a version: where its rows are, by path and digest."""
    try:
        page = list_files(project, ref, limit=FILES_SHOWN)
    except NotFoundError:  # collected or erased: the facts stay, the manifest went
        return []
    return [{"path": each.path, "digest": each.digest, "rows": each.rows} for each in page.files]
