"""What people ask about sources: which there are, how their pulls went, what a pull would do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..errors import HeadwaterError, InvalidInputError, NotFoundError
from ..jobs import list_triggers
from ..operation import operation
from ..project import Project
from .declared import Declared, bind, declared_sources, find_declared
from .history import find_start, last_pulls, page_of_pulls, read_pull
from .pulling import opened
from .secrets import bare_url, scrubbed
from .values import Plan, Pull, Reached, SourceInfo, Waiting

_PULL = "ingest.pull"
_MOST = 1000
_FILES = 1000


@operation("ingest.list", needs="data:read")
def list_sources(project: Project) -> list[SourceInfo]:
    """Return the declared sources in their order, each with its last pull and when it is due next.

    Raises:
        InvalidInputError: a declaration cannot be read.
    """
    declared = declared_sources(project)
    with project.ledger.read() as tx:
        last = last_pulls(tx, [each.name for each in declared]) if declared else {}
    schedules = _schedules(project)
    return [_info(project, each, last.get(each.name), schedules.get(each.name, ())) for each in declared]


@operation("ingest.show", needs="data:read")
def show_source(project: Project, name: str) -> SourceInfo:
    """Return one declared source; raises NotFoundError where there is none of that name."""
    declared = find_declared(project, name)
    with project.ledger.read() as tx:
        last = last_pulls(tx, [name]).get(name)
    return _info(project, declared, last, _schedules(project).get(name, ()))


@operation("ingest.history", needs="data:read")
def history(
    project: Project,
    name: str | None = None,
    parameters: dict[str, str] | None = None,
    *,
    limit: int = 50,
    before: str | None = None,
) -> list[Pull]:
    """Return pulls, newest first: of all sources, of one, or of one with these parameters.

    ``before`` is the last id of the page before. A source that is no longer declared keeps its history.
    """
    if not 1 <= limit <= _MOST:
        raise InvalidInputError(f"a page of pulls holds 1 to {_MOST:,}, not {limit}.")
    with project.ledger.read() as tx:
        return page_of_pulls(tx, name, parameters, limit=limit, before=before)


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """Where the files of a pull came from: for each its path, digest, size and what its source knows of it.

    ``total`` counts all files; ``files`` holds at most a thousand of them.
    """

    pull: Pull
    files: tuple[dict[str, Any], ...]
    removed: tuple[str, ...]
    total: int


@operation("ingest.proof", needs="data:read")
def read_proof(project: Project, pull: str) -> Proof:
    """Return a pull (an id, ``pull:<id>``, or the id of the version it made) with where its files came from.

    Raises:
        NotFoundError: there is no such pull.
    """
    bare = pull.removeprefix("pull:").removeprefix("version:")
    with project.ledger.read() as tx:
        found = read_pull(tx, bare)
        if found is None:
            made = tx.value("SELECT id FROM pulls WHERE version = ? AND proof IS NOT NULL ORDER BY id LIMIT 1", (bare,))
            found = read_pull(tx, made) if made else None
    if found is None:
        raise NotFoundError(f"there is no pull '{pull}'. 'hw ingest history' lists them.", pull=pull)
    if found.proof is None:
        return Proof(pull=found, files=(), removed=(), total=0)
    document = msgspec.json.decode(project.objects.get(found.proof))
    files = document["files"]
    return Proof(pull=found, files=tuple(files[:_FILES]), removed=tuple(document["removed"][:_FILES]), total=len(files))


@operation("ingest.plan", needs="data:write")
def plan(project: Project, name: str, parameters: dict[str, str] | None = None) -> Plan:
    """Return what a pull would do now; records nothing, puts nothing.

    Raises:
        NotFoundError: no source of that name is declared.
        InvalidInputError: a parameter or setting cannot be used.
    """
    bound = bind(project, find_declared(project, name), parameters or {})
    with project.ledger.read() as tx:
        start = find_start(tx, bound.declared.name, bound.parameters, bound.dataset, bound.branch)
    with opened(project, bound, start) as into:
        planned = bound.source.plan(start.state(project), into.current)
    since = f"goes on from {start.base.ref}" if start.base else "nothing was pulled yet"
    return Plan(
        source=name,
        dataset=bound.dataset,
        branch=bound.branch,
        origin=f"{bound.declared.kind}:{scrubbed(bound.source.text)}",
        since=since,
        planned=tuple(planned),
    )


@operation("ingest.test", needs="data:write")
def reach_source(project: Project, name: str, parameters: dict[str, str] | None = None) -> Reached:
    """Return what was found where a source points: its settings are read and its place is reached, nothing is pulled.

    Raises:
        InvalidInputError: a setting cannot be used, or a secret is not set.
        UnavailableError: nothing answers there.
    """
    bound = bind(project, find_declared(project, name), parameters or {})
    try:
        found = bound.source.test()
    except HeadwaterError as error:
        error.message = scrubbed(error.message)
        error.args = (error.message,)
        raise
    return Reached(source=name, origin=f"{bound.declared.kind}:{scrubbed(bound.source.text)}", found=scrubbed(found))


def _info(project: Project, declared: Declared, last: Pull | None, schedules: tuple[Waiting, ...]) -> SourceInfo:
    origin, problem = f"{declared.kind}:", ""
    try:
        if declared.parameters:
            origin += _shown(declared)
        else:
            origin += bind(project, declared, {}).source.text
    except HeadwaterError as error:
        problem = error.message
    return SourceInfo(
        name=declared.name,
        kind=declared.kind,
        dataset=declared.dataset,
        branch=declared.branch,
        under=declared.under,
        description=declared.description,
        parameters=declared.parameters,
        settings=_plain(declared.settings),
        declared_in=declared.declared_in,
        origin=scrubbed(origin),
        problem=problem,
        last=last,
        schedules=schedules,
    )


def _shown(declared: Declared) -> str:
    """Return where a source with parameters points, the parameters as they are written."""
    for key in ("url", "path", "paths", "topic", "query"):
        if key in declared.settings:
            return str(_plain(declared.settings[key]))
    return declared.name


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, str):
        return bare_url(value) if "://" in value else value
    return value if isinstance(value, int | float | bool) or value is None else str(value)


def _schedules(project: Project) -> dict[str, tuple[Waiting, ...]]:
    """Return by source the triggers that pull it by the clock."""
    found: dict[str, tuple[Waiting, ...]] = {}
    for trigger in list_triggers(project):
        if trigger.operation == _PULL and trigger.on == "schedule":
            name = str(trigger.arguments.get("name", ""))
            due = None if trigger.paused else trigger.next_at
            found[name] = (*found.get(name, ()), Waiting(trigger=trigger.name, cron=trigger.cron, next_at=due))
    return found
