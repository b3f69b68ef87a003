"""The arguments of a call: saved, so that they can be handed on, and spelled, so that they count in its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import InvalidInputError

from .items import ITEMS
from .keys import make_call, shown
from .saving import Saved, save
from .tasks import TaskHandle, TaskState

if TYPE_CHECKING:
    from .engine import Engine

MOST_ARGUMENT_BYTES = 256 << 20


class Arguments:
    """Saves the arguments of a run's calls; under the engine's lock."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def save(self, task: TaskState) -> None:
        """Save the arguments of a call, and make from them the call's part of its key."""
        engine = self.engine
        classes: dict[str, str] = {}
        digests: dict[str, str] = {}
        words: dict[str, str] = {}
        for name, value in task.bound.items():
            what = f"the argument '{name}' of step '{task.step.__name__}'"
            saved = self._saved(value, what)
            task.saved[name] = saved
            digests[name] = saved.digest
            words[name] = self._shown(value)
            for each in {each for part in saved.parts for each in part.classes}:
                self._add_class(each, classes)
        for earlier in task.dependencies:
            for part in earlier.result.parts if earlier.result else ():
                for named in part.classes:
                    self._add_class(named, classes)
        task.call = make_call(task.step.options, digests, words, classes, engine.root)

    def _saved(self, value: Any, what: str) -> Saved:
        if isinstance(value, TaskHandle):
            assert value.task.result is not None
            return Saved(parts=value.task.result.parts)
        saved = save(value, what, special=self._special, folder=None if self.engine.dry else self.engine.work)
        size = sum(len(data) for data in saved.contents.values())
        if size > MOST_ARGUMENT_BYTES:
            raise InvalidInputError(
                f"{what} holds {size >> 20:,} MiB of plain values, and {MOST_ARGUMENT_BYTES >> 20:,} MiB is the most "
                "that a flow hands on by itself. Make it in a step and pass that step's handle, commit it as data and "
                "pass a DataRef, or use an array or a frame.",
                size=size,
            )
        return saved

    def _special(self, value: Any) -> Any:
        """Spell handles and data refs inside of arguments."""
        if isinstance(value, TaskHandle):
            assert value.task.result is not None
            return {"$value": [msgspec.to_builtins(part) for part in value.task.result.parts]}
        from .refs import DataRef

        if isinstance(value, DataRef):
            dataset = value.ref.partition("@")[0]
            return {"$version": [dataset, self.engine.resolve(value.ref)[1]]}
        return None

    def _shown(self, value: Any) -> str:
        if isinstance(value, TaskHandle):
            return f"the result of {value.step_name}"
        return value.name if isinstance(value, ITEMS) else shown(value)

    def _add_class(self, name: str, classes: dict[str, str]) -> None:
        found = self.engine.found
        module, _, qualname = name.partition(":")
        if found.tree.has(module) and module in found.tree.files:
            if qualname:
                classes[name] = self.engine.code.closure(name, found.also).digest
            else:
                classes[name] = found.tree.files[module].digest
