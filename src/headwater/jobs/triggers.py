"""The triggers that headwater.toml declares, and what of them the ledger remembers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import InvalidInputError, NotFoundError

from .schedules import next_due
from .values import FLOW_OPERATION, Trigger

if TYPE_CHECKING:
    from headwater.ledger import Tx
    from headwater.project import Project, Settings

_FILLED = re.compile(r"\{([a-z_]+)\}")
_EVENTS = {"flow": "run"}  # the end of a flow is the end of a run of kind flow


class _Declared(msgspec.Struct, forbid_unknown_fields=True):
    """One ``[[triggers]]`` as written."""

    name: str
    on: str
    operation: str = ""
    flow: str = ""
    arguments: dict[str, Any] = {}
    match: dict[str, str | int | bool] = {}
    cron: str = ""
    timezone: str = "UTC"
    priority: int = 0
    attempts: int = 3
    label: str = ""
    actor: str = ""
    roles: tuple[str, ...] = ("developer",)


def declared_triggers(settings: Settings) -> list[Trigger]:
    """Return the triggers of headwater.toml in their order.

    Raises:
        InvalidInputError: one is not as it should be; the message names it and says how to write it.
    """
    triggers = [_read(row) for row in settings.rows("triggers")]
    names = [trigger.name for trigger in triggers]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInputError(f"headwater.toml declares two triggers called '{name}'. Rename one.", trigger=name)
    return triggers


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
                next_at=next_due(trigger.cron, trigger.timezone, after=after) if trigger.on == "schedule" else None,
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
    raise NotFoundError(f"there is no trigger '{name}'; headwater.toml declares: {known}.", trigger=name)


def filled(trigger: Trigger, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the trigger's operation with ``{attribute}`` filled in.

    A text that is nothing but ``{attribute}`` becomes the attribute itself, with its type.

    Raises:
        InvalidInputError: an attribute is asked for that the fact does not have.
    """

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(each) for key, each in value.items()}
        if isinstance(value, list):
            return [fill(each) for each in value]
        if not isinstance(value, str):
            return value
        whole = _FILLED.fullmatch(value)
        if whole:
            return attribute(whole[1])
        return _FILLED.sub(lambda found: str(attribute(found[1])), value)

    def attribute(name: str) -> Any:
        if name not in attributes:
            known = ", ".join(sorted(attributes)) or "none"
            raise InvalidInputError(
                f"trigger '{trigger.name}' asks for '{{{name}}}', which its cause does not have. It has: {known}.",
                trigger=trigger.name,
                attribute=name,
            )
        return attributes[name]

    arguments: dict[str, Any] = fill(trigger.arguments)
    return {"flow": trigger.flow, "arguments": arguments} if trigger.flow else arguments


def _read(row: dict[str, Any]) -> Trigger:
    shown = row.get("name", "(without a name)")
    try:
        given = msgspec.convert(row, _Declared)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"[[triggers]] '{shown}' in headwater.toml cannot be read: {error}.") from error
    problem = _problem(given)
    if problem:
        raise InvalidInputError(f"[[triggers]] '{shown}' in headwater.toml: {problem}", trigger=given.name)
    match = {key: _text(value) for key, value in given.match.items()}
    if given.on == "flow":
        match = {"kind": "flow", "status": "done", **match}
    return Trigger(
        name=given.name,
        on=_EVENTS.get(given.on, given.on),
        operation=FLOW_OPERATION if given.flow else given.operation,
        flow=given.flow,
        arguments=given.arguments,
        match=match,
        cron=given.cron,
        timezone=given.timezone,
        priority=given.priority,
        attempts=given.attempts,
        label=given.label,
        actor=given.actor or f"trigger:{given.name}",
        roles=given.roles,
    )


def _problem(given: _Declared) -> str:
    if bool(given.operation) == bool(given.flow):
        return "it needs either 'operation' or 'flow', and not both."
    if given.on == "schedule":
        if not given.cron:
            return "a schedule needs 'cron', five fields such as '0 6 * * *'."
        next_due(given.cron, given.timezone, after=0)
    elif given.cron:
        return "'cron' belongs to on = \"schedule\"."
    if given.on in ("schedule", "manual") and given.match:
        return f"'match' has nothing to hold against with on = \"{given.on}\"."
    if given.attempts < 1:
        return "'attempts' is at least 1."
    return ""


def _text(value: str | int | bool) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
