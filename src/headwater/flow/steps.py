"""``@step`` and ``@flow``: functions that stay functions, and become tasks inside a run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, cast, overload

import msgspec

from .handles import Handle, Immediate

if TYPE_CHECKING:
    from pathlib import Path

P = ParamSpec("P")
R = TypeVar("R")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a step is run and what else its result depends on.

    ``seed`` seeds ``random`` and NumPy's global generator before the call. ``env`` and ``files`` name environment
    variables and files (relative to the project's folder) that the step reads. ``impure`` means that it is never
    remembered. ``save`` names a format of ``headwater.flow.saving`` to keep its result in. ``strict`` makes a read
    that was not declared, or a socket, an error.
    """

    seed: int | None = None
    env: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    retries: int = 0
    timeout_s: float | None = None
    impure: bool = False
    save: str | None = None
    strict: bool = False


class Calls(Protocol):
    """What takes the calls of steps while a flow's function runs."""

    def call(self, step: Step[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Handle[Any]: ...


taking: ContextVar[Calls | None] = ContextVar("headwater_flow_taking", default=None)


class Step(Generic[P, R]):
    """A function whose call inside a flow is a task; outside a flow it is the plain function."""

    def __init__(self, function: Callable[P, R], options: Options) -> None:
        self.function = function
        self.options = options
        self.__name__: str = getattr(function, "__name__", type(function).__name__)
        self.__qualname__: str = getattr(function, "__qualname__", self.__name__)
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Return a handle of the result inside a flow, the result itself elsewhere."""
        calls = taking.get()
        if calls is None:
            return self.function(*args, **kwargs)
        return calls.call(self, args, kwargs)

    def map(self, *items: Iterable[Any], **fixed: Any) -> list[Any]:
        """Call the step once for each item (of several iterables: once for each group, as ``zip``), in parallel.

        ``fixed`` goes to every call. Items may be handles. Inside a flow it returns a list of handles.
        """
        call = cast("Callable[..., Any]", self)
        return [call(*group, **fixed) for group in zip(*items, strict=True)]

    def __repr__(self) -> str:
        return f"<step {self.__module__}.{self.__qualname__}>"

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(cast("Callable[..., Any]", self), instance)


class Flow(Generic[P, R]):
    """A function that calls steps. Called directly it runs here, without memory, each step at once."""

    def __init__(self, function: Callable[P, R], name: str | None = None, strict: bool = False) -> None:
        self.function = function
        self.name = name or function.__name__
        self.strict = strict
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the flow's function. Inside another flow its steps join that run; elsewhere they run here at once."""
        if taking.get() is not None:
            return self.function(*args, **kwargs)
        token = taking.set(_AtOnce())
        try:
            return self.function(*args, **kwargs)
        finally:
            taking.reset(token)

    def __repr__(self) -> str:
        return f"<flow {self.name}>"


class _AtOnce:
    """Runs each step where it is called: what a flow does without a project, in a test for instance."""

    def call(self, step: Step[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Handle[Any]:
        def value(given: Any) -> Any:
            if isinstance(given, Handle):
                return given.result()
            if type(given) in (list, tuple):
                return type(given)(value(each) for each in given)
            return {key: value(each) for key, each in given.items()} if type(given) is dict else given

        token = taking.set(None)
        try:
            return Immediate(step.__name__, step.function(*value(args), **value(kwargs)))
        finally:
            taking.reset(token)


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *,
    seed: int | None = None,
    env: Sequence[str] = (),
    files: Sequence[str | Path] = (),
    retries: int = 0,
    timeout_s: float | None = None,
    impure: bool = False,
    save: str | None = None,
    strict: bool = False,
) -> Callable[[Callable[P, R]], Step[P, R]]: ...
def step(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Mark a function as a step; the options are those of ``Options``."""
    chosen = _options(options)
    return Step(function, chosen) if function is not None else lambda given: Step(given, chosen)


@overload
def flow(function: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(*, name: str | None = None, strict: bool = False) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(function: Callable[..., Any] | None = None, /, *, name: str | None = None, strict: bool = False) -> Any:
    """Mark a function as a flow. ``strict`` holds for all its steps."""
    return Flow(function, name, strict) if function is not None else lambda given: Flow(given, name, strict)


def _options(options: dict[str, Any]) -> Options:
    unknown = set(options) - set(Options.__struct_fields__)
    if unknown:
        raise TypeError(
            f"a step has no option {', '.join(sorted(unknown))}; it has {', '.join(Options.__struct_fields__)}"
        )
    for name in ("env", "files"):
        given = options.get(name, ())
        if isinstance(given, str):
            raise TypeError(f"@step({name}=...) takes a list: {name}=[{given!r}]")
        options[name] = tuple(str(each) for each in given)
    return Options(**options)
