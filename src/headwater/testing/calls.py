"""Calls of steps as a test sees them: each step runs where it is called, on values of its own, as in a run.

Arguments and results go through the formats in which a run keeps them. So a step cannot change what another one gets,
and a result that could not be kept fails here with the same words.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headwater.flow.binding import bind, unbind
from headwater.flow.contracts import check_arguments, check_result
from headwater.flow.handles import NONE_GIVEN, Handle
from headwater.flow.items import items_in
from headwater.flow.performing import seed_generators
from headwater.flow.refs import DataRef
from headwater.flow.saving import OBJECT, Part, Saved, load, save
from headwater.flow.steps import Flow, Step, taking

if TYPE_CHECKING:
    from headwater.project import Project


class _Kept:
    """A value as a run keeps it, given anew to whoever asks."""

    def __init__(self, project: Project, saved: Saved) -> None:
        self.saved = saved
        self._contents = dict(saved.contents)
        for part in saved.parts:
            if part.format == OBJECT:
                self._contents[part.digest] = project.objects.get(part.digest)

    def load(self) -> Any:
        return load(self.saved.parts, self._content, trust=True)

    def _content(self, part: Part) -> bytes:
        return self._contents[part.digest]


class _Given(Handle[Any]):
    """The handle of a step that has run, or of an optional one that failed."""

    def __init__(self, call: StepCall) -> None:
        self.step_name = call.step
        self.call = call

    def result(self, default: Any = NONE_GIVEN) -> Any:
        """Return the value, or the default where the step failed; without one raise what it raised."""
        if self.call.error is not None and default is not NONE_GIVEN:
            return default
        return self.call.value

    @property
    def failed(self) -> bool:
        """Tell whether the step, which is optional, failed."""
        return self.call.error is not None

    def done(self) -> bool:
        """Return True."""
        return True


@dataclass(slots=True)
class StepCall:
    """One call of a step: its arguments by name, and what it gave; ``error`` is what an optional step raised."""

    step: str
    arguments: dict[str, Any]
    error: Exception | None = None
    kept: _Kept | None = field(default=None, repr=False)

    @property
    def value(self) -> Any:
        """What the step returned, as the next step gets it; raises what the step raised."""
        if self.error is not None:
            raise self.error
        assert self.kept is not None  # one of the two is there once the step has run
        return self.kept.load()

    @property
    def digest(self) -> str:
        """The digest of what the step returned: equal digests are equal results."""
        return self.kept.saved.digest if self.kept is not None else ""


class StepCalls:
    """The calls of one step in a run, in order."""

    def __init__(self, name: str, calls: list[StepCall], others: list[str]) -> None:
        self.name = name
        self.calls = calls
        self._others = others

    @property
    def count(self) -> int:
        """How often the step ran."""
        return len(self.calls)

    @property
    def value(self) -> Any:
        """What the step returned, when it ran once."""
        if len(self.calls) != 1:
            ran = ", ".join(self._others) or "none"
            raise AssertionError(
                f"step '{self.name}' ran {len(self.calls)} times, so it has no single value: use .values. "
                f"Steps that ran: {ran}."
            )
        return self.calls[0].value

    @property
    def values(self) -> list[Any]:
        """What the step returned, call by call."""
        return [each.value for each in self.calls]

    def __repr__(self) -> str:
        return f"<{self.count} calls of {self.name}>"


class Recording:
    """Takes the calls of one test run."""

    def __init__(self, project: Project, *, contracts: bool) -> None:
        self.project = project
        self.contracts = contracts
        self.calls: list[StepCall] = []

    def call(self, step: Step[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Handle[Any]:
        """Run a step at once and return its handle; what it raises is raised here, unless it is optional."""
        name = step.__name__
        bound = {key: self._own(key, value, name) for key, value in bind(step.function, args, kwargs).items()}
        made = StepCall(name, bound)
        self.calls.append(made)
        token = taking.set(None)
        try:
            if self.contracts:
                check_arguments(name, step.function, bound)
            positional, named = unbind(step.function, {key: self._own(key, each, name) for key, each in bound.items()})
            seed_generators(step.options.seed)
            value = step.function(*positional, **named)
            if self.contracts:
                check_result(name, step.function, value)
            made.kept = self._kept(value, f"the result of step '{name}'", step.options.save)
        except Exception as error:
            if not step.options.optional:
                raise
            made.error = error
        finally:
            taking.reset(token)
        return _Given(made)

    def within(self, flow: Flow[Any, Any]) -> AbstractContextManager[None]:
        """Return a block for the calls of a nested flow: they are calls like the others."""
        return nullcontext()

    def _own(self, key: str, value: Any, step: str) -> Any:
        """Return an argument as the step gets it: handles filled in, and everything its own copy."""
        given = resolved(value)
        if next(items_in(given), None) is not None or isinstance(given, DataRef):
            return given  # immutable, and read from the project of the test
        return self._kept(given, f"the argument '{key}' of step '{step}'", None).load()

    def _kept(self, value: Any, what: str, wanted: str | None) -> _Kept:
        return _Kept(self.project, save(value, what, wanted, special=_spell_ref))


def _spell_ref(value: Any) -> Any:
    if isinstance(value, DataRef):
        dataset, _, version = value.ref.partition("@")
        return {"$version": [dataset, version or "main"]}
    return None


def resolved(given: Any, of: Callable[[Handle[Any]], Any] = lambda handle: handle.result()) -> Any:
    """Return a value with the handles in it, however deep in plain containers, replaced by their results."""
    if isinstance(given, Handle):
        return of(given)
    if type(given) in (list, tuple, set, frozenset):
        return type(given)(resolved(each, of) for each in given)
    return {key: resolved(each, of) for key, each in given.items()} if type(given) is dict else given
