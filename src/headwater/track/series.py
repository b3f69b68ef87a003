"""Series as charts take them: downsampled on the server, the least and greatest of each stretch kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.errors import InvalidInputError, NotFoundError
from headwater.operation import operation

from .metrics import STREAM
from .values import Series, SeriesPoint

if TYPE_CHECKING:
    from headwater.project import Project

_ALL = "SELECT step, occurred_at, value FROM metrics WHERE run = ? AND key = ? ORDER BY step, occurred_at, seq"
_SAMPLE = """
WITH numbered AS (
    SELECT step, occurred_at, value, row_number() OVER (ORDER BY step, occurred_at, seq) - 1 AS place
    FROM metrics WHERE run = ? AND key = ?
), stretches AS (
    SELECT
        arg_min(place, value) FILTER (WHERE NOT isnan(value)) AS least,
        arg_max(place, value) FILTER (WHERE NOT isnan(value)) AS greatest,
        min(place) FILTER (WHERE isnan(value)) AS lost,
        min(place) AS first, max(place) AS final, place * ? // ? AS stretch
    FROM numbered GROUP BY stretch
)
SELECT step, occurred_at, value FROM numbered WHERE place IN (
    SELECT least FROM stretches UNION SELECT greatest FROM stretches UNION SELECT lost FROM stretches
    UNION SELECT min(first) FROM stretches UNION SELECT max(final) FROM stretches
) ORDER BY place
"""


@operation("run.series", needs="run:read")
def metric_series(project: Project, run: str, key: str, max_points: int = 1000) -> Series:
    """Return the points of a series by step, at most ``max_points``.

    A longer series is cut into equal stretches; of each the least and the greatest point stay, and its first NaN;
    so do the first and the last point of all.

    Raises:
        NotFoundError: the run has no such series.
        InvalidInputError: ``max_points`` is below 10.
    """
    if max_points < 10:
        raise InvalidInputError(f"a series needs at least 10 points to be drawn, not {max_points}.")
    identifier = run.removeprefix("run:")
    counted = "SELECT count(*) FROM metrics WHERE run = ? AND key = ?"
    total = project.events.query(counted, [identifier, key], streams=[STREAM]).fetchall()[0][0]
    if not total:
        known = ", ".join(metric_keys(project, identifier)) or "none"
        raise NotFoundError(f"run {identifier} has no metric '{key}'. It has: {known}.", run=identifier, key=key)
    if total <= max_points:
        found = project.events.query(_ALL, [identifier, key], streams=[STREAM]).fetchall()
    else:
        stretches = (max_points - 2) // 3 or 1
        found = project.events.query(_SAMPLE, [identifier, key, stretches, total], streams=[STREAM]).fetchall()
    return Series(run=identifier, key=key, total=total, points=tuple(SeriesPoint(*row) for row in found))


@operation("run.series.keys", needs="run:read")
def metric_keys(project: Project, run: str) -> list[str]:
    """Return the names of a run's series, in order."""
    from .metrics import fold_metrics

    identifier = run.removeprefix("run:")
    fold_metrics(project, [identifier])
    with project.ledger.read() as tx:
        rows = tx.all("SELECT key FROM metric_summary WHERE run = ? ORDER BY key", (identifier,))
    return [row.key for row in rows]
