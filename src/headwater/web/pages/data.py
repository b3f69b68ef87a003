"""Data: datasets found by search, versions with their verdicts, what differs between two, and who uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from headwater.check import find_verdict, quarantine
from headwater.errors import HeadwaterError, InvalidInputError
from headwater.lake import (
    Column,
    compare_columns,
    compare_rows,
    describe_dataset,
    describe_usage,
    diff,
    list_columns,
    list_datasets,
    list_files,
    log,
    resolve,
    scan,
    search,
)
from headwater.project import Project

from ..rendering import page
from .common import asked, bars, colour_of, read

T = TypeVar("T")

_PREVIEW_ROWS = 20
_FILES = 100
_DATASETS = 200
_ROWS = 50
_COMPARED_BYTES = 64 * 2**20  # larger versions are compared by their columns when somebody asks for it


async def list_page(request: Request) -> Response:
    """GET /data: the datasets, all or those that a search finds, and what waits in quarantine."""
    words, after = asked(request, "q"), asked(request, "after")

    def look(project: Project) -> dict[str, Any]:
        waiting = quarantine(project)
        if words:
            answer = search(project, words)
            datasets = [describe_dataset(project, found.dataset) for found in answer.found]
            places = {found.dataset: found.matches for found in answer.found}
            return {"datasets": datasets, "places": places, "unread": answer.unread, "quarantined": waiting, "more": ""}
        datasets = list_datasets(project, after, _DATASETS + 1)
        more = datasets[_DATASETS - 1].name if len(datasets) > _DATASETS else ""
        return {
            "datasets": datasets[:_DATASETS],
            "places": {},
            "unread": 0,
            "quarantined": waiting if not after else [],
            "more": more,
        }

    return page(request, "data.html", title="Data", colour_of=colour_of, **await read(request, look))


async def dataset_page(request: Request) -> Response:
    """GET /data/{dataset}: its columns, versions, branches and tags."""
    name, before = request.path_params["dataset"], asked(request, "before") or None

    def look(project: Project) -> dict[str, Any]:
        versions = log(project, name, asked(request, "branch") or None, 50, before)
        verdicts = {v.id: find_verdict(project, v.id) for v in versions}
        dataset = describe_dataset(project, name)
        newest = dataset.head or dataset.latest
        return {
            "dataset": dataset,
            "versions": versions,
            "verdicts": verdicts,
            "columns": _columns(project, newest.id) if newest else (),
        }

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
    """GET /data/{dataset}/diff?a=v1&b=v2: what differs between two versions: files, columns, and rows by ``key``."""
    dataset, key = request.path_params["dataset"], [name for name in asked(request, "key").split(",") if name.strip()]

    def look(project: Project) -> dict[str, Any]:
        versions = log(project, dataset, None, 100)
        b = asked(request, "b") or (f"v{versions[0].number}" if versions else "main")
        a = asked(request, "a") or (f"v{versions[1].number}" if len(versions) > 1 else b)
        refs = f"{dataset}@{a}", f"{dataset}@{b}"
        found = diff(project, *refs, 200)
        small = found.a.bytes + found.b.bytes <= _COMPARED_BYTES
        return {
            "versions": versions,
            "diff": found,
            "a": a,
            "b": b,
            "statistics": _or_none(lambda: compare_columns(project, *refs))
            if small or asked(request, "columns")
            else None,
            "small": small,
            **_rows_by(project, refs, [name.strip() for name in key]),
        }

    found = await read(request, look)
    return page(
        request,
        "diff.html",
        title=f"{dataset}: {found['a']} → {found['b']}",
        dataset=dataset,
        key=", ".join(name.strip() for name in key),
        **found,
    )


def _rows_by(project: Project, refs: tuple[str, str], key: list[str]) -> dict[str, Any]:
    """Return the rows that differ by key, or why they cannot be told: the key was typed by a person."""
    if not key:
        return {"rows": None, "refused": ""}
    try:
        return {"rows": compare_rows(project, *refs, key, limit=_ROWS), "refused": ""}
    except InvalidInputError as error:
        return {"rows": None, "refused": error.message}


async def usage_page(request: Request) -> Response:
    """GET /data/{dataset}/usage: who read which version, what came of it, and what each version adds in space."""
    name = request.path_params["dataset"]
    found = await read(request, lambda project: describe_usage(project, name, 50))
    added = {f"v{each.version.number}": each.added_bytes for each in reversed(found.versions)}
    known = {version: size for version, size in added.items() if size is not None}
    unit, scale = ("MiB", 2**20) if max(known.values(), default=0) >= 2**20 else ("KiB", 2**10)
    rows = [{"version": version, unit: size / scale} for version, size in known.items()]
    space = bars(rows, "version", unit, f"{unit} added") if len(rows) > 1 else None
    return page(request, "usage.html", title=f"{name}: usage", dataset=name, usage=found, space=space, charts=True)


def _columns(project: Project, version: str) -> tuple[Column, ...]:
    """Return a version's columns; none where its tables cannot be read."""
    return _or_none(lambda: list_columns(project, version)) or ()


def _or_none(look: Callable[[], T]) -> T | None:
    try:
        return look()
    except HeadwaterError:
        return None


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
