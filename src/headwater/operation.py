"""Operations: whatever a person or a program can do, declared once.

An operation is a typed function whose first argument is a project. Calling it goes through
``project.call``, which runs the body in place or sends it to the server. The HTTP route, the
OpenAPI document, the remote client, the permission and the audit entry are derived from here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from .errors import NotFoundError

P = ParamSpec("P")
R = TypeVar("R")


class Caller(Protocol):
    """What an operation needs of its first argument."""

    def call(self, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...


class Operation:
    """A declared function: its name, the permission it needs, and whether it changes anything.

    ``brief`` says that it takes about one sync of a file, where the project is a folder on this machine.
    """

    def __init__(self, name: str, needs: str, body: Callable[..., Any], audited: bool, brief: bool = False) -> None:
        self.name = name
        self.needs = needs
        self.body = body
        self.audited = audited
        self.brief = brief
        self.summary = (body.__doc__ or "").strip().split("\n", 1)[0]

    @functools.cached_property
    def _signature(self) -> Signature:
        import inspect
        import typing

        parameters = list(inspect.signature(self.body).parameters.values())
        # The project's own type may be imported for type checkers only; nobody sends a project.
        hints = typing.get_type_hints(self.body, localns={str(parameters[0].annotation): object})
        parameters = parameters[1:]
        return Signature(
            parameters={p.name: (hints.get(p.name, Any), p.default is p.empty, p.default) for p in parameters},
            returns=hints.get("return", Any),
            positional=[p.name for p in parameters if p.kind is not p.KEYWORD_ONLY],
        )

    def signature(self) -> Signature:
        """Return the parameters after the project, with their types, and the type of the result."""
        return self._signature


class Signature:
    """The parameters of an operation: name to (type, required, default); the result's type."""

    __slots__ = ("parameters", "positional", "returns")

    def __init__(self, parameters: dict[str, tuple[Any, bool, Any]], returns: Any, positional: list[str]) -> None:
        self.parameters = parameters
        self.returns = returns
        self.positional = positional


_registry: dict[str, Operation] = {}


def operation(
    name: str, *, needs: str, audited: bool | None = None, brief: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Declare a function as the operation ``name``, allowed to whoever holds ``needs``.

    ``needs`` reads ``area:read``, ``area:write``, ``area:approve`` or ``area:admin``. Everything but reading is
    audited unless ``audited`` says otherwise (a stream of a thousand metrics a second is not). A ``brief`` one is run
    by a server's event loop itself while nobody else calls one.
    """

    def declare(body: Callable[P, R]) -> Callable[P, R]:
        changes = not needs.endswith(":read")
        declared = Operation(name, needs, body, changes if audited is None else audited, brief)
        if name in _registry and _registry[name].body.__qualname__ != body.__qualname__:
            raise RuntimeError(f"two operations are called '{name}'")
        _registry[name] = declared

        @functools.wraps(body)
        def through_project(*args: P.args, **kwargs: P.kwargs) -> R:
            project = cast(Caller, args[0])
            return cast(R, project.call(declared, args[1:], kwargs))

        through_project.operation = declared  # type: ignore[attr-defined]  # how faces find the declaration
        return through_project

    return declare


def get_operation(name: str) -> Operation:
    """Return the operation of that name among those whose packages are imported."""
    found = _registry.get(name)
    if found is None:
        raise NotFoundError(f"there is no operation '{name}'. 'hw api operations' lists them.", name=name)
    return found


def list_operations() -> list[Operation]:
    """Return the operations whose packages are imported, by name."""
    return [_registry[name] for name in sorted(_registry)]
