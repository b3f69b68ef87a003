"""How many jobs of a kind run at once, and what is paused: looked at in the transaction that gives a job away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from headwater.errors import InvalidInputError

from .queue import is_of
from .triggers import declared_triggers
from .values import Pause

if TYPE_CHECKING:
    from headwater.ledger import Tx
    from headwater.project import Settings

_OPEN = "SELECT DISTINCT {what} AS name FROM jobs WHERE status IN ('queued', 'waiting')"


class Limits(NamedTuple):
    """How many jobs run at once: of a flow or an operation by its name, of a trigger by its name."""

    subjects: dict[str, int]
    triggers: dict[str, int]


def declared_limits(settings: Settings) -> Limits:
    """Return the limits of ``[jobs.limits]`` (flow or operation = number), and the ``limit`` of each trigger.

    Raises:
        InvalidInputError: a limit is no number above 0.
    """
    given: Any = settings.table("jobs").get("limits", {})
    if not isinstance(given, dict):
        raise InvalidInputError('[jobs.limits] in headwater.toml is a table, such as "flows:train" = 2.')
    for name, number in given.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise InvalidInputError(
                f"[jobs.limits] in headwater.toml: '{name}' is {number!r}, and a limit is 1 or more. To stop a flow "
                f"altogether, run: hw job pause --flow {name}",
                name=name,
            )
    of_triggers = {trigger.name: trigger.limit for trigger in declared_triggers(settings) if trigger.limit}
    return Limits(dict(given), of_triggers)


def list_pauses(tx: Tx) -> list[Pause]:
    """Return what is paused, by kind and name."""
    rows = tx.all("SELECT kind, name, paused_by, paused_at, reason FROM job_pauses ORDER BY kind, name")
    return [Pause(**row.as_dict()) for row in rows]


def left_out(tx: Tx, limits: Limits) -> tuple[str, list[str]]:
    """Return an SQL condition that leaves out the jobs that a limit or a pause holds up, with its values."""
    pauses = list_pauses(tx)
    if any(pause.kind == "all" for pause in pauses):
        return " AND 1 = 0", []
    condition = ""
    values: list[str] = []
    names = {pause.name for pause in pauses} | _full_subjects(tx, limits.subjects)
    if names:
        # By subject and operation: 'flow.run' holds up every flow, 'flows:train' or 'train' that one.
        held = [row.name for row in tx.all(_OPEN.format(what="subject")) if any(is_of(row.name, n) for n in names)]
        for column, found in (("subject", held), ("operation", sorted(names))):
            if found:
                condition += f" AND {column} NOT IN ({', '.join('?' * len(found))})"
                values += found
    full = _full_triggers(tx, limits.triggers)
    if full:
        condition += f" AND trigger_name NOT IN ({', '.join('?' * len(full))})"
        values += full
    return condition, values


def _full_subjects(tx: Tx, limits: dict[str, int]) -> set[str]:
    if not limits:
        return set()
    rows = tx.all(
        "SELECT subject, operation, count(*) AS jobs FROM jobs WHERE status = 'running' GROUP BY subject, operation"
    )
    running = {
        name: sum(row.jobs for row in rows if row.operation == name or is_of(row.subject, name)) for name in limits
    }
    return {name for name, most in limits.items() if running[name] >= most}


def _full_triggers(tx: Tx, limits: dict[str, int]) -> list[str]:
    sql = "SELECT count(*) AS jobs FROM jobs WHERE trigger_name = ? AND status = 'running'"
    return [name for name, most in limits.items() if int(tx.value(sql, (name,)) or 0) >= most]
