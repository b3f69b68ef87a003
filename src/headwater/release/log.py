"""What is and was released: which version was in production on a date, who approved it, on what evidence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headwater.errors import InvalidInputError, NotFoundError
from headwater.operation import operation
from headwater.project import Project

from .rows import RELEASE, REQUEST, read_request, releases_of, requests_of
from .values import Release, ReleaseRequest

if TYPE_CHECKING:
    from headwater.ledger import Row, Tx


@operation("release.log", needs="release:read")
def release_log(
    project: Project,
    model: str | None = None,
    channel: str | None = None,
    *,
    at: int | str | None = None,
    limit: int = 50,
    before: str | None = None,
) -> list[Release]:
    """Return releases, newest first, with approvals and what each gate found; ``before`` is the id to continue behind.

    With ``at`` (UTC microseconds, or ``2026-11-01`` or ``2026-11-01T12:00`` in UTC): the one release in force then
    for each model and channel, by name.

    Raises:
        InvalidInputError: ``at`` is not a time.
    """
    clauses, values = _filters(model=model, channel=channel)
    with project.ledger.read() as tx:
        if at is not None:
            return releases_of(tx, _in_force(tx, clauses, values, at_us(at)))
        if before is not None:
            clauses.append("id < ?")
            values.append(before)
        where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
        rows = tx.all(f"SELECT {RELEASE} FROM releases {where} ORDER BY id DESC LIMIT ?", (*values, limit))
        return releases_of(tx, rows)


@operation("release.get", needs="release:read")
def get_release(project: Project, release: str) -> Release:
    """Return one release by id or ref.

    Raises:
        NotFoundError: there is none of that id.
    """
    identifier = release.removeprefix("release:")
    with project.ledger.read() as tx:
        row = tx.one(f"SELECT {RELEASE} FROM releases WHERE id = ?", (identifier,))
        if row is None:
            raise NotFoundError(f"there is no release '{identifier}'. 'hw release log' lists them.", release=identifier)
        return releases_of(tx, [row])[0]


@operation("release.requests.get", needs="release:read")
def get_release_request(project: Project, request: str) -> ReleaseRequest:
    """Return one request by id or ref, with its gates and decisions.

    Raises:
        NotFoundError: there is none of that id.
    """
    with project.ledger.read() as tx:
        return read_request(tx, request)


@operation("release.requests.list", needs="release:read")
def list_release_requests(
    project: Project,
    model: str | None = None,
    *,
    status: str | None = None,
    limit: int = 50,
    before: str | None = None,
) -> list[ReleaseRequest]:
    """Return requests, newest first; ``before`` is the id to continue behind."""
    clauses, values = _filters(model=model, status=status)
    if before is not None:
        clauses.append("id < ?")
        values.append(before)
    where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
    with project.ledger.read() as tx:
        rows = tx.all(f"SELECT {REQUEST} FROM release_requests {where} ORDER BY id DESC LIMIT ?", (*values, limit))
        return requests_of(tx, rows)


def at_us(at: int | str) -> int:
    """Return a moment as UTC microseconds: a number as it is, a date at 00:00, a time without zone as UTC.

    Raises:
        InvalidInputError: the text is neither.
    """
    if isinstance(at, int):
        return at
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as error:
        raise InvalidInputError(f"'{at}' is no time: write 2026-11-01 or 2026-11-01T12:00 (UTC).", at=at) from error
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _in_force(tx: Tx, clauses: list[str], values: list[Any], at: int) -> list[Row]:
    where = " AND ".join([*clauses, "released_at <= ?"])
    return tx.all(
        f"SELECT {RELEASE} FROM (SELECT {RELEASE}, ROW_NUMBER() OVER (PARTITION BY model, channel ORDER BY seq DESC) "
        f"AS place FROM releases WHERE {where}) AS ordered WHERE place = 1 ORDER BY model, channel",
        (*values, at),
    )


def _filters(**wanted: str | None) -> tuple[list[str], list[Any]]:
    given = {name: value for name, value in wanted.items() if value is not None}
    return [f"{name} = ?" for name in given], list(given.values())
