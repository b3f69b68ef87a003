"""A source that is a function of the project's own sources.py."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..errors import HeadwaterError, InvalidInputError, UserCodeError
from .source import Pulled, Source

if TYPE_CHECKING:
    from .intake import Intake


class PythonSource(Source):
    """Calls the function with the state of the last pull and the intake; what it raises fails the pull."""

    kind = "python"

    def __init__(self, name: str, function: Callable[..., Any], parameters: Mapping[str, str]) -> None:
        self._name = name
        self._function = function
        self._parameters = dict(parameters)

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *, root: Path) -> Self:
        """Refuse: a function is declared by ``@hw.source``, not by settings."""
        raise InvalidInputError("a source of kind 'python' is a function under @hw.source in sources.py.")

    @property
    def text(self) -> str:
        """The function's own name."""
        return f"sources.py:{self._function.__name__}"

    def pull(self, since: dict[str, Any] | None, into: Intake) -> Pulled:
        try:
            found = self._function(since, into, **self._parameters)
        except HeadwaterError:
            raise
        except Exception as error:
            text = "".join(traceback.format_exception(error))
            raise UserCodeError(f"source '{self._name}' raised {type(error).__name__}: {error}", text) from error
        if found is None:
            return Pulled(state=since or {})
        if isinstance(found, Pulled):
            return found
        if isinstance(found, dict):
            return Pulled(state=found)
        raise InvalidInputError(
            f"source '{self._name}' returned a {type(found).__name__}. "
            "Return the new state (a dict), a Pulled, or None."
        )
