"""Runs: the table, one run with its charts, several side by side."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headwater.project import Project
from headwater.track import Run, archive_runs, compare_runs, list_runs, metric_series

from ..forms import checked_pairs
from ..rendering import page
from .common import asked, colour_of, lines, read

_PAGE = 50
_CHARTS = 12
_COLUMNS = 6


async def list_page(request: Request) -> Response:
    """GET /runs: filtered, sorted and paged by the server."""
    condition, order = asked(request, "filter"), asked(request, "order", "-started_at")
    after = asked(request, "after") or None

    found = await read(
        request, lambda project: list_runs(project, filter=condition, order=order, limit=_PAGE, after=after)
    )
    return page(
        request,
        "runs.html",
        title="Runs",
        runs=found.runs,
        told=found.told,
        archived=bool(found.runs) and all(run.archived for run in found.runs),
        after=found.after,
        condition=condition,
        order=order,
        metrics=_common(found.runs, "metrics"),
        params=_common(found.runs, "params"),
        colour_of=colour_of,
    )


async def archive_form(request: Request) -> Response:
    """POST /runs/archive and /runs/unarchive: leave the picked runs out of lists, or bring them back."""
    picked = [value for name, value in await checked_pairs(request) if name == "run"]
    archived = request.url.path.endswith("/archive")
    if picked:
        await read(request, lambda project: archive_runs(project, picked, archived=archived))
    return RedirectResponse("/runs" if archived else "/runs?filter=archived+%3D+true", status_code=303)


async def compare_page(request: Request) -> Response:
    """GET /runs/compare?run=…&run=…: what differs between runs."""
    chosen = request.query_params.getlist("run")
    everything = asked(request, "all") == "1"
    if len(chosen) < 2:
        return page(request, "compare.html", title="Compare runs", comparison=None, rows=[], drawn=[], everything=False)

    def look(project: Project) -> dict[str, Any]:
        comparison = compare_runs(project, chosen)
        shared = [key for key in comparison.runs[0].metrics if all(key in r.metrics for r in comparison.runs)]
        series = {
            key: [metric_series(project, run.id, key, 300) for run in comparison.runs]
            for key in sorted(shared)
            if any(run.metrics[key].points > 1 for run in comparison.runs)
        }
        return {"comparison": comparison, "series": series}

    found = await read(request, look)
    comparison = found["comparison"]
    names = {run.id: f"{run.name} …{run.id[-5:]}" for run in comparison.runs}
    drawn = [
        (
            key,
            lines(
                [{"step": p.step, "value": p.value, "run": names[s.run]} for s in several for p in s.points],
                "step",
                "value",
                colour="run",
                title=key,
            ),
        )
        for key, several in list(found["series"].items())[:_CHARTS]
    ]
    kinds = (("parameter", comparison.params), ("metric", comparison.metrics), ("tag", comparison.tags))
    rows = [(kind, row) for kind, part in (*kinds, ("", comparison.facts)) for row in part if everything or row.differs]
    return page(
        request,
        "compare.html",
        title="Compare runs",
        comparison=comparison,
        rows=rows,
        drawn=drawn,
        charts=bool(drawn),
        everything=everything,
        colour_of=colour_of,
    )


def _common(runs: tuple[Run, ...], part: str) -> list[str]:
    """Return the keys that most of these runs have, at most a few, for columns."""
    counts: dict[str, int] = {}
    for run in runs:
        for key in getattr(run, part):
            counts[key] = counts.get(key, 0) + 1
    return sorted(counts, key=lambda key: (-counts[key], key))[:_COLUMNS]
