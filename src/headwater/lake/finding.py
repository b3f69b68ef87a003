"""Finding versions in a dataset's history: by who made them, when, and what path they changed."""

from __future__ import annotations

from ..errors import InvalidInputError
from ..operation import operation
from ..project import Project
from .manifest import find_row
from .names import path_bytes
from .refs import get_version, parse_time_us
from .values import Version
from .versions import log

_PAGE = 500


@operation("data.log.find", needs="data:read")
def find_versions(
    project: Project,
    dataset: str,
    branch: str | None = None,
    *,
    author: str | None = None,
    since: str | None = None,
    until: str | None = None,
    path: str | None = None,
    limit: int = 50,
    before: str | None = None,
) -> list[Version]:
    """Return the versions of ``log`` that fit, newest first, at most ``limit``.

    ``since`` and ``until`` are dates or times (UTC, ``until`` excluded) of when versions were made. ``path`` takes
    those in which that file differs from their first parent, or came, or went. ``before`` is the id of the last one
    of the page before.

    Raises:
        NotFoundError: there is no such dataset, branch or version.
        InvalidInputError: a date cannot be read, a path cannot be one, or ``limit`` is not between 1 and 10,000.
    """
    if not 1 <= limit <= 10_000:
        raise InvalidInputError(f"a page of history holds 1 to 10,000 versions, not {limit}.", limit=limit)
    first = parse_time_us(since) if since else -(2**62)
    last = parse_time_us(until) if until else 2**62
    key = path_bytes(path) if path else None
    found: list[Version] = []
    while len(found) < limit:
        page = log(project, dataset, branch, _PAGE, before)
        for version in page:
            if not first <= version.created_at < last or (author is not None and version.author != author):
                continue
            if key is None or _changes(project, version, key):
                found.append(version)
                if len(found) == limit:
                    break
        if len(page) < _PAGE:
            break
        before = page[-1].id
    return found


def _changes(project: Project, version: Version, path: bytes) -> bool:
    with project.ledger.read() as tx:
        parent = get_version(tx, version.parents[0]) if version.parents else None
    if parent is not None and parent.root == version.root:
        return False
    before = find_row(project.objects, parent.root, path) if parent else None
    return find_row(project.objects, version.root, path) != before
