"""``@step`` and ``@flow``: functions that stay functions, and become tasks inside a run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
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
    remembered. ``programs`` are programs that it runs, by name or path: another version of one is another result.
    ``notebooks`` are notebooks whose code it runs, ``stage`` is the box of the flow's picture that it is drawn in.
    ``save`` names a format of ``headwater.flow.saving`` to keep its result in. ``strict`` makes a read
    that was not declared, or a socket, an error.

    A step that fails is run again ``retries`` times, after ``backoff_s``, twice that, four times that, and so on (each
    shortened by up to half, so that many do not come back at once); ``retry_on`` names the errors for which
    (``ValueError``, ``TimeoutError`` for one that ran longer than ``timeout_s``, ``MemoryError``, ``ChildProcessError``
    for a process that died): without it all but refusals and too little memory. ``cores``, ``memory_mib`` and
    ``gpus`` are taken while it runs; more memory it may not have. ``optional``: it may fail, and the run goes on
    without it and what depends on it.
    """

    seed: int | None = None
    env: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    notebooks: tuple[str, ...] = ()
    stage: str = ""
    retries: int = 0
    backoff_s: float = 1.0
    retry_on: tuple[str, ...] = ()
    timeout_s: float | None = None
    cores: float = 1
    memory_mib: int | None = None
    gpus: int = 0
    optional: bool = False
    impure: bool = False
    save: str | None = None
    strict: bool = False


class Calls(Protocol):
    """What takes the calls of steps while a flow's function runs."""

    def call(self, step: Step[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Handle[Any]: ...

    def within(self, flow: Flow[Any, Any]) -> AbstractContextManager[None]:
        """Return a block whose calls belong to a flow that the flow called."""


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
        groups = zip(*items, strict=True)
        calls = taking.get()
        if calls is not None and (many := getattr(calls, "call_many", None)) is not None:
            return cast("list[Any]", many(self, groups, fixed))
        call = cast("Callable[..., Any]", self)
        return [call(*group, **fixed) for group in groups]

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
        calls = taking.get()
        if calls is not None:
            with calls.within(self):
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
        except Exception as error:
            if not step.options.optional:
                raise
            return Immediate(step.__name__, None, error)
        finally:
            taking.reset(token)

    def within(self, flow: Flow[Any, Any]) -> AbstractContextManager[None]:
        return nullcontext()


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *,
    seed: int | None = None,
    env: Sequence[str] = (),
    files: Sequence[str | Path] = (),
    programs: Sequence[str | Path] = (),
    notebooks: Sequence[str | Path] = (),
    stage: str = "",
    retries: int = 0,
    backoff_s: float = 1.0,
    retry_on: Sequence[type[BaseException] | str] = (),
    timeout_s: float | None = None,
    cores: float = 1,
    memory_mib: int | None = None,
    gpus: int = 0,
    optional: bool = False,
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
    for name in ("env", "files", "programs", "notebooks"):
        given = options.get(name, ())
        if isinstance(given, str):
            raise TypeError(f"@step({name}=...) takes a list: {name}=[{given!r}]")
        options[name] = tuple(str(each) for each in given)
    if "retry_on" in options:
        options["retry_on"] = _error_names(options["retry_on"])
    chosen = Options(**options)
    for name, least in (("retries", 0), ("backoff_s", 0), ("cores", 0.01), ("gpus", 0), ("memory_mib", 1)):
        given = getattr(chosen, name)
        if given is not None and given < least:
            raise TypeError(f"@step({name}={given!r}): it has to be at least {least}")
    if chosen.timeout_s is not None and chosen.timeout_s <= 0:
        raise TypeError(f"@step(timeout_s={chosen.timeout_s!r}): it has to be more than 0 seconds")
    return chosen


def _error_names(given: Any) -> tuple[str, ...]:
    """Return the names of classes of errors, as ``kinds_of`` spells them."""
    several = given if isinstance(given, list | tuple | set | frozenset) else (given,)
    found = []
    for each in several:
        if isinstance(each, type) and issubclass(each, BaseException):
            found.append(kinds_of(each)[0 if each.__module__ == "builtins" else 1])
        elif isinstance(each, str):
            found.append(each)
        else:
            raise TypeError(f"@step(retry_on=...) takes classes of errors or their names, not {each!r}")
    return tuple(found)


def kinds_of(error: type[BaseException]) -> list[str]:
    """Return every name that a class of errors and its bases go by: plain, and behind their module."""
    names = []
    for each in error.__mro__:
        names += [each.__qualname__] if each.__module__ == "builtins" else [
            each.__qualname__, f"{each.__module__}.{each.__qualname__}"
        ]  # fmt: skip
    return names
