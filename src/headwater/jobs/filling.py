"""Filling a trigger's arguments from what caused it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from headwater.errors import InvalidInputError

from .values import Trigger

_FILLED = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_-]+)*)\}")
_MISSING = object()


def filled(trigger: Trigger, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the trigger's operation with ``{attribute}`` filled in.

    A text that is nothing but ``{attribute}`` becomes the attribute itself, with its type. ``{release.tag}`` is the
    field ``tag`` of the attribute ``release``.

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
        found = looked_up(name, attributes)
        if found is _MISSING:
            known = ", ".join(sorted(attributes)) or "none"
            raise InvalidInputError(
                f"trigger '{trigger.name}' asks for '{{{name}}}', which its cause does not have. It has: {known}.",
                trigger=trigger.name,
                attribute=name,
            )
        return found

    arguments: dict[str, Any] = fill(trigger.arguments)
    return {"flow": trigger.flow, "arguments": arguments} if trigger.flow else arguments


def looked_up(name: str, attributes: Mapping[str, Any]) -> Any:
    """Return the value of a dotted name among attributes; a sentinel of this module where there is none."""
    value: Any = attributes
    for part in (name,) if name in attributes else name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _MISSING
        value = value[part]
    return value


def has(name: str, attributes: Mapping[str, Any]) -> bool:
    """Tell whether a dotted name is among attributes."""
    return looked_up(name, attributes) is not _MISSING


def holes(value: Any) -> set[str]:
    """Return the attributes that arguments ask for."""
    if isinstance(value, dict):
        return {name for each in value.values() for name in holes(each)}
    if isinstance(value, list):
        return {name for each in value for name in holes(each)}
    return set(_FILLED.findall(value)) if isinstance(value, str) else set()
