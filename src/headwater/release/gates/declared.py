"""Reading the gates that headwater.toml declares."""

from __future__ import annotations

from typing import Any

from headwater.errors import InvalidInputError
from headwater.project import Project

from ..rules import GateDeclaration
from ..values import GateResult
from .kinds import GATES
from .reader import Gate, GateReader


def read_gates(project: Project, declared: tuple[GateDeclaration, ...], reader: GateReader) -> tuple[GateResult, ...]:
    """Return what each declared gate says of the reader's version, in the declared order.

    Raises:
        InvalidInputError: a declaration is none that is known.
    """
    return tuple(parse_gate(project, each)(reader) for each in declared)


def parse_gate(project: Project, declared: GateDeclaration) -> Gate:
    """Return the gate of a declaration.

    Raises:
        InvalidInputError: it cannot be read; the message shows the forms there are.
    """
    kind, options = _as_table(declared) if isinstance(declared, str) else _named(dict(declared))
    if kind == "python":
        from .custom import python_gate

        try:
            return python_gate(project, **options)
        except TypeError as error:
            raise _unreadable(declared, str(error)) from error
    known = GATES.get(kind)
    if known is None or options is None:
        raise _unreadable(declared, "" if known else f"there is no kind '{kind}'")
    try:
        return known.make(**options)
    except (TypeError, ValueError) as error:
        raise _unreadable(declared, str(error)) from error


def _named(table: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    # ``limit`` is what texts become; in a file a limit is at_least or at_most.
    if "limit" in table:
        return "", {}
    return str(table.pop("kind", "")), table


def _as_table(text: str) -> tuple[str, Any]:
    kind, _, rest = text.partition(":")
    if kind == "python":
        return kind, {"function": rest}
    known = GATES.get(kind)
    return kind, known.read(rest) if known else None


def _unreadable(declared: GateDeclaration, why: str) -> InvalidInputError:
    forms = ", ".join(each.form for each in GATES.values())
    because = f" ({why})" if why else ""
    return InvalidInputError(
        f"the gate {declared!r} cannot be read{because}. Gates are {forms} and python:FILE.py:FUNCTION, or tables with "
        "kind = one of these.",
        gate=str(declared),
    )
