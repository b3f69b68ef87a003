"""Lists of runs: filtered, ordered by any parameter or metric, page after page without counting to the end."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import InvalidInputError
from headwater.operation import operation

from .filters import Condition, parse_filter, split_field
from .liveness import notice_killed
from .metrics import fold_live
from .naming import tell_runs
from .runs import find_id, read_runs
from .values import RunPage

if TYPE_CHECKING:
    from headwater.ledger import Tx
    from headwater.project import Project

_OWN = ("started_at", "ended_at", "name", "status", "author", "flow", "kind")
_TABLES = {"metrics": ("metric_summary", "last"), "params": ("run_params", "number"), "tags": ("run_tags", "value")}
LARGEST_PAGE = 1000


class _Order(msgspec.Struct, frozen=True):
    group: str
    key: str
    falling: bool


@operation("run.list", needs="run:read")
def list_runs(
    project: Project, *, filter: str = "", order: str = "-started_at", limit: int = 50, after: str | None = None
) -> RunPage:
    """Return one page of runs.

    ``filter`` is described in ``headwater.track.filters``. ``order`` is a field (``started_at``, ``metrics.auc``,
    ``params.depth``, ``tags.x``, ...), with ``-`` in front for the greatest first; runs without the value come
    last, newest first. ``after`` is the mark that the page before gave.

    Raises:
        InvalidInputError: the filter, the order, the limit (1 to 1,000) or the mark cannot be used.
    """
    if not 1 <= limit <= LARGEST_PAGE:
        raise InvalidInputError(f"a page holds 1 to {LARGEST_PAGE:,} runs, not {limit}.", limit=limit)
    condition = parse_filter(filter)
    wanted = _parse_order(order)
    start = _parse_mark(after)
    notice_killed(project)
    fold_live(project)
    with project.ledger.read() as tx:
        found = _page(tx, condition, wanted, start, limit)
        runs = read_runs(tx, [identifier for _, identifier in found])
        told = tell_runs(tx, runs)
    mark = _mark(found[-1]) if len(found) == limit else None
    return RunPage(runs=tuple(runs), after=mark, told=told)


def chosen_runs(project: Project, runs: Sequence[str], filter: str) -> list[str]:
    """Return the ids of runs named one by one, or of all that a filter holds for.

    Raises:
        InvalidInputError: both are given, or neither is.
        NotFoundError: a run does not exist.
    """
    if bool(runs) == bool(filter.strip()):
        raise InvalidInputError("name runs, or give a filter such as metrics.auc < 0.6: one of the two.")
    if runs:
        return list(dict.fromkeys(find_id(project, run) for run in runs))
    condition = parse_filter(filter)
    fold_live(project)
    with project.ledger.read() as tx:
        return [row.id for row in tx.all(f"SELECT r.id AS id FROM runs r WHERE {condition.sql}", condition.params)]


def _page(
    tx: Tx, condition: Condition, order: _Order, start: tuple[Any, str] | None, limit: int
) -> list[tuple[Any, str]]:
    """Return (value, id) of a page: first the runs that have the value, along its index, then the others."""
    found: list[tuple[Any, str]] = []
    if start is None or start[0] is not None:
        found = _with_value(tx, condition, order, start, limit)
        start = None
    if len(found) < limit and (order.group or order.key == "ended_at"):
        found += _without_value(tx, condition, order, start, limit - len(found))
    return found


def _with_value(
    tx: Tx, condition: Condition, order: _Order, start: tuple[Any, str] | None, limit: int
) -> list[tuple[Any, str]]:
    sign, way = ("<", "DESC") if order.falling else (">", "ASC")
    if order.group:
        table, column = _TABLES[order.group]
        source, value, params = f"{table} o JOIN runs r ON r.id = o.run", f"o.{column}", [order.key]
        where, tie = f"o.key = ? AND {value} IS NOT NULL", "o.run"
    else:
        source, value, params = "runs r", f"r.{order.key}", []
        where, tie = f"{value} IS NOT NULL", "r.id"
    if start is not None:
        where += f" AND ({value}, {tie}) {sign} (?, ?)"
        params += [start[0], start[1]]
    sql = f"SELECT {value} AS value, r.id AS id FROM {source} WHERE {where} AND {condition.sql}"
    sql += f" ORDER BY {value} {way}, {tie} {way} LIMIT ?"
    return [(row.value, row.id) for row in tx.all(sql, [*params, *condition.params, limit])]


def _without_value(
    tx: Tx, condition: Condition, order: _Order, start: tuple[Any, str] | None, limit: int
) -> list[tuple[Any, str]]:
    params: list[Any]
    if order.group:
        table, column = _TABLES[order.group]
        where = f"NOT EXISTS (SELECT 1 FROM {table} o WHERE o.run = r.id AND o.key = ? AND o.{column} IS NOT NULL)"
        params = [order.key]
    else:
        where, params = f"r.{order.key} IS NULL", []
    if start is not None:
        where += " AND r.id < ?"
        params.append(start[1])
    sql = f"SELECT r.id AS id FROM runs r WHERE {where} AND {condition.sql} ORDER BY r.id DESC LIMIT ?"
    return [(None, row.id) for row in tx.all(sql, [*params, *condition.params, limit])]


def _parse_order(text: str) -> _Order:
    falling = text.startswith("-")
    group, key = split_field(text.lstrip("+-"))
    if (not group and key not in _OWN) or (group and group not in _TABLES) or not key:
        raise InvalidInputError(
            f"runs cannot be ordered by '{text}': use {', '.join(_OWN)}, metrics.X, params.X or tags.X, "
            "with '-' in front for the greatest first.",
            order=text,
        )
    return _Order(group, key, falling)


def _mark(last: tuple[Any, str]) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(last)).decode().rstrip("=")


def _parse_mark(text: str | None) -> tuple[Any, str] | None:
    if text is None:
        return None
    try:
        value, identifier = msgspec.msgpack.decode(
            base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=tuple[Any, str]
        )
    except (ValueError, msgspec.DecodeError) as error:
        raise InvalidInputError(f"'{text}' is not the mark of a page of runs.", after=text) from error
    return value, identifier
