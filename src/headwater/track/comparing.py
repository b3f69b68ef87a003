"""Runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headwater.errors import InvalidInputError
from headwater.operation import operation

from .metrics import fold_metrics
from .runs import find_id, read_runs
from .values import Comparison, Row, Run

if TYPE_CHECKING:
    from headwater.project import Project

_MOST = 200


@operation("run.compare", needs="run:read")
def compare_runs(project: Project, runs: list[str]) -> Comparison:
    """Return runs side by side in the order given, each key once, what differs marked.

    Raises:
        NotFoundError: a run does not exist.
        InvalidInputError: fewer than two runs, or more than 200.
    """
    if not 2 <= len(runs) <= _MOST:
        raise InvalidInputError(f"2 to {_MOST} runs can be compared, not {len(runs)}.")
    ids = [find_id(project, run) for run in runs]
    fold_metrics(project, ids)
    with project.ledger.read() as tx:
        found = read_runs(tx, ids, artefacts=True)
    return Comparison(
        runs=tuple(found),
        params=_rows(found, lambda run: run.params),
        metrics=_rows(found, lambda run: {key: summary.last for key, summary in run.metrics.items()}),
        tags=_rows(found, lambda run: run.tags),
        facts=_rows(found, _facts),
    )


def _facts(run: Run) -> dict[str, Any]:
    return {"status": run.status, "author": run.author, "seconds": run.seconds, "code": run.code, **run.environment}


def _rows(runs: Sequence[Run], part: Callable[[Run], Mapping[str, Any]]) -> tuple[Row, ...]:
    columns = [part(run) for run in runs]
    keys = list(dict.fromkeys(key for column in columns for key in column))
    rows = []
    for key in sorted(keys):
        values = tuple(column.get(key) for column in columns)
        rows.append(Row(key=key, values=values, differs=len({repr(value) for value in values}) > 1))
    return tuple(rows)
