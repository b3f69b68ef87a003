"""Data: datasets, versions with their verdicts, and what differs between two."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater.check import find_verdict, quarantine
from headwater.errors import HeadwaterError
from headwater.lake import describe_dataset, diff, list_datasets, list_files, log, resolve, scan
from headwater.project import Project

from ..rendering import page
from .common import asked, colour_of, read

_PREVIEW_ROWS = 20
_FILES = 100


async def list_page(request: Request) -> Response:
    """GET /data: the datasets, searched by name and description, and what waits in quarantine."""
    words = asked(request, "q").lower()

    def look(project: Project) -> dict[str, Any]:
        datasets = [d for d in list_datasets(project) if words in f"{d.name} {d.description}".lower()]
        return {"datasets": datasets, "quarantined": quarantine(project)}

    return page(request, "data.html", title="Data", colour_of=colour_of, **await read(request, look))


async def dataset_page(request: Request) -> Response:
    """GET /data/{dataset}: its versions, branches and tags."""
    name, before = request.path_params["dataset"], asked(request, "before") or None

    def look(project: Project) -> dict[str, Any]:
        versions = log(project, name, asked(request, "branch") or None, 50, before)
        verdicts = {v.id: find_verdict(project, v.id) for v in versions}
        return {"dataset": describe_dataset(project, name), "versions": versions, "verdicts": verdicts}

    found = await read(request, look)
    rows = [
        {"version": f"v{v.number}", "rows": v.rows, "MiB": v.bytes / 2**20}
        for v in reversed(found["versions"])
        if v.rows is not None
    ]
    return page(request, "dataset.html", title=name, charts=True, growth=rows, colour_of=colour_of, **found)


async def version_page(request: Request) -> Response:
    """GET /data/{dataset}/{version}: one version: where it came from, its verdict, files, and the first rows."""
    dataset, name = request.path_params["dataset"], request.path_params["version"]
    prefix, after = asked(request, "prefix"), asked(request, "after")

    def look(project: Project) -> dict[str, Any]:
        version = resolve(project, f"{dataset}@{name}")
        parent = version.parents[0] if version.parents else None
        return {
            "version": version,
            "parent": resolve(project, f"{dataset}@{parent}") if parent else None,
            "verdict": find_verdict(project, version.id),
            "files": list_files(project, version.id, prefix, after, _FILES),
            "preview": _preview(project, version.id),
        }

    found = await read(request, look)
    return page(request, "version.html", title=found["version"].ref, prefix=prefix, colour_of=colour_of, **found)


async def diff_page(request: Request) -> Response:
    """GET /data/{dataset}/diff?a=v1&b=v2: what differs between two versions."""
    dataset = request.path_params["dataset"]

    def look(project: Project) -> dict[str, Any]:
        versions = log(project, dataset, None, 100)
        b = asked(request, "b") or (f"v{versions[0].number}" if versions else "main")
        a = asked(request, "a") or (f"v{versions[1].number}" if len(versions) > 1 else b)
        return {"versions": versions, "diff": diff(project, f"{dataset}@{a}", f"{dataset}@{b}", 200), "a": a, "b": b}

    found = await read(request, look)
    return page(request, "diff.html", title=f"{dataset}: {found['a']} → {found['b']}", dataset=dataset, **found)


def _preview(project: Project, version: str) -> dict[str, Any] | None:
    """Return the first rows of a version's tables; None where it has none."""
    try:
        table = scan(project, version)
        return {
            "columns": list(table.columns),
            "rows": table.sql(f"SELECT * FROM data LIMIT {_PREVIEW_ROWS}").fetchall(),
        }
    except HeadwaterError:
        return None
