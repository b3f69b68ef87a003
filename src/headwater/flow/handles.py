"""Handles: what the call of a step gives inside a flow, before and after its result is there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, NoReturn, TypeVar

R = TypeVar("R")

NONE_GIVEN: Any = object()
"""Stands for a default that was not given."""

_REFUSED = [
    "__bool__", "__iter__", "__len__", "__contains__", "__getitem__", "__lt__", "__le__", "__gt__", "__ge__",
    "__eq__", "__ne__", "__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__",
    "__rtruediv__", "__floordiv__", "__rfloordiv__", "__mod__", "__rmod__", "__pow__", "__rpow__", "__neg__",
    "__pos__", "__abs__", "__int__", "__float__", "__index__", "__matmul__", "__rmatmul__", "__and__", "__or__",
    "__xor__", "__call__", "__enter__", "__setitem__", "__reversed__", "__round__", "__format__",
]  # fmt: skip


class Handle(ABC, Generic[R]):
    """The result of a step that may not be there yet.

    ``result()`` waits for it. Passing the handle to another step makes that step wait instead. Whatever needs the
    value itself (truth, comparison, iteration, arithmetic) raises and says so. A step that failed has no value:
    ``failed`` says so, and ``result(default=...)`` gives the default instead.
    """

    step_name: str

    @abstractmethod
    def result(self, default: Any = NONE_GIVEN) -> R:
        """Wait for the step and return its result, or ``default``, where one is given, when it failed.

        Raises:
            UserCodeError: the step failed, or was not run since what it needs failed, and no default is given;
                carries the user's own traceback.
        """

    @property
    @abstractmethod
    def failed(self) -> bool:
        """Wait for the step and tell whether it gave no result: it failed, or what it needs did."""

    @abstractmethod
    def done(self) -> bool:
        """Tell whether the result is there (or the step has failed)."""

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<handle of {self.step_name}>"

    def __getattr__(self, name: str) -> Any:
        # Only called for what a handle does not have: the user means the value's attribute. Dunder look-ups of
        # copy, pickle and NumPy must see a plain AttributeError.
        text = f"the handle of step '{self.step_name}' has no '{name}': the value is in handle.result()"
        raise AttributeError(text)


class Immediate(Handle[R]):
    """A handle whose value is there, or is absent for good: what a flow called without a project hands around."""

    def __init__(self, step_name: str, value: R, error: Exception | None = None) -> None:
        self.step_name = step_name
        self._value = value
        self._error = error

    def result(self, default: Any = NONE_GIVEN) -> R:
        """Return the value, or the default where the optional step failed; without one raise what it raised."""
        if self._error is None:
            return self._value
        if default is NONE_GIVEN:
            raise self._error
        return default  # type: ignore[no-any-return]  # whatever the flow takes instead of the value

    @property
    def failed(self) -> bool:
        """Tell whether the step, which is optional, failed."""
        return self._error is not None

    def done(self) -> bool:
        """Return True."""
        return True


def _refuse(operation: str) -> Any:
    def refuse(self: Handle[Any], *_: Any, **__: Any) -> NoReturn:
        raise TypeError(
            f"{operation.strip('_')} needs the value of step '{self.step_name}', which a handle only promises. "
            "Call handle.result() to wait for it, or pass the handle to another step."
        )

    return refuse


for _name in _REFUSED:
    setattr(Handle, _name, _refuse(_name))
