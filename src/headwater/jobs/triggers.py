"""The triggers that headwater.toml declares, and what of them the ledger remembers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import InvalidInputError, NotFoundError

from .schedules import Schedule
from .values import FLOW_OPERATION, CatchUp, Trigger

if TYPE_CHECKING:
    from headwater.ledger import Tx
    from headwater.project import Project, Settings

_EVENTS = {"flow": "run"}  # the end of a flow is the end of a run of kind flow
_NAMED_SECRET = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")

DECLARERS: list[Callable[[Settings], list[Trigger]]] = []
"""What gives more triggers: a room above adds the function that reads what it declares (a stream has its schedule)."""


class _Declared(msgspec.Struct, forbid_unknown_fields=True):
    """One ``[[triggers]]`` as written."""

    name: str
    on: str
    operation: str = ""
    flow: str = ""
    arguments: dict[str, Any] = {}
    match: dict[str, str | int | bool] = {}
    cron: str = ""
    every: str = ""
    timezone: str = "UTC"
    catch_up: CatchUp = "last"
    catch_up_most: int = 100
    limit: int = 0
    secret: str = ""
    largest_kib: int = 256
    tolerance_s: int = 300
    priority: int = 0
    attempts: int = 3
    label: str = ""
    actor: str = ""
    roles: tuple[str, ...] = ("developer",)


def declared_triggers(settings: Settings) -> list[Trigger]:
    """Return the triggers of headwater.toml in their order, then those of what rooms above declare.

    Raises:
        InvalidInputError: one is not as it should be; the message names it and says how to write it.
    """
    triggers = [_read(row) for row in settings.rows("triggers")]
    triggers += [trigger for declare in DECLARERS for trigger in declare(settings)]
    names = [trigger.name for trigger in triggers]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInputError(f"headwater.toml declares two triggers called '{name}'. Rename one.", trigger=name)
    return triggers


def schedule_of(trigger: Trigger) -> Schedule:
    """Return when a trigger with ``on = "schedule"`` is due."""
    return Schedule(trigger.cron, trigger.every, trigger.timezone)


def trigger_states(tx: Tx, triggers: list[Trigger], now: int) -> list[Trigger]:
    """Return the triggers with what the ledger remembers of them: who paused them, and when they are due next."""
    states = {row.name: row for row in tx.all("SELECT name, paused, paused_by, scheduled_at FROM trigger_states")}
    found = []
    for trigger in triggers:
        state = states.get(trigger.name)
        after = now if state is None or state.scheduled_at is None else state.scheduled_at
        found.append(
            msgspec.structs.replace(
                trigger,
                paused=state is not None and bool(state.paused),
                paused_by="" if state is None else state.paused_by,
                next_at=schedule_of(trigger).next_due(after=after) if trigger.on == "schedule" else None,
            )
        )
    return found


def find_trigger(project: Project, name: str) -> Trigger:
    """Return the declared trigger of that name.

    Raises:
        NotFoundError: headwater.toml has none.
    """
    triggers = declared_triggers(project.settings)
    for trigger in triggers:
        if trigger.name == name:
            return trigger
    known = ", ".join(trigger.name for trigger in triggers) or "none"
    raise NotFoundError(f"there is no trigger '{name}'. headwater.toml declares: {known}.", trigger=name)


def _read(row: dict[str, Any]) -> Trigger:
    shown = row.get("name", "(without a name)")
    try:
        given = msgspec.convert(row, _Declared)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"[[triggers]] '{shown}' in headwater.toml cannot be read: {error}.") from error
    problem = _problem(given) or _webhook_problem(given)
    if problem:
        raise InvalidInputError(f"[[triggers]] '{shown}' in headwater.toml: {problem}", trigger=given.name)
    match = {key: _text(value) for key, value in given.match.items()}
    if given.on == "flow":
        match = {"kind": "flow", "status": "done", **match}
    fields = {name: getattr(given, name) for name in _Declared.__struct_fields__}
    fields |= {
        "on": _EVENTS.get(given.on, given.on),
        "operation": FLOW_OPERATION if given.flow else given.operation,
        "match": match,
        "actor": given.actor or f"trigger:{given.name}",
    }
    return Trigger(**fields)


def _problem(given: _Declared) -> str:
    if not _NAME.fullmatch(given.name):
        return "a name has letters, digits, '_', '.', ':' and '-', and begins with a letter or digit."
    if bool(given.operation) == bool(given.flow):
        return "it needs either 'operation' or 'flow', and not both."
    if given.on == "schedule":
        if bool(given.cron) == bool(given.every):
            return "a schedule needs 'cron', five fields such as '0 6 * * *', or 'every', such as '10m'."
        Schedule(given.cron, given.every, given.timezone).next_due(after=0)
    elif given.cron or given.every:
        return f"'{'cron' if given.cron else 'every'}' belongs to on = \"schedule\"."
    if given.on in ("schedule", "manual") and given.match:
        return f"'match' has nothing to hold against with on = \"{given.on}\"."
    if given.attempts < 1 or given.limit < 0 or given.catch_up_most < 1:
        return "'attempts' and 'catch_up_most' are at least 1, and 'limit' is 1 or more, or 0 for any number."
    return ""


def _webhook_problem(given: _Declared) -> str:
    if given.on != "webhook":
        return "'secret' belongs to on = \"webhook\"." if given.secret else ""
    if not _NAMED_SECRET.fullmatch(given.secret):
        return 'a webhook needs secret = "env:NAME", the environment variable that holds what senders sign with.'
    if given.largest_kib < 1 or given.tolerance_s < 1:
        return "'largest_kib' and 'tolerance_s' are at least 1."
    return ""


def _text(value: str | int | bool) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
