"""Functions made from a list of arguments, for steps that are declared and not written."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def made_function(
    name: str,
    parameters: Sequence[str],
    defaults: Mapping[str, Any],
    run: Callable[[dict[str, Any]], Any],
    frame: types.FrameType,
    text: str,
) -> Callable[..., Any]:
    """Return a function of these parameters that calls ``run`` with them by name.

    It belongs to the module whose code ``frame`` runs, so that a step made of it is found there.
    """
    first = [each for each in parameters if each not in defaults]
    last = [each for each in parameters if each in defaults]
    signature = ", ".join([*first, *(f"{each}=None" for each in last)])
    given = ", ".join(f"{each!r}: {each}" for each in parameters)
    source = f"def _(run):\n    def {name}({signature}):\n        return run({{{given}}})\n    return {name}\n"
    namespace: dict[str, Any] = {}
    exec(compile(source, frame.f_code.co_filename, "exec"), namespace)
    plain = namespace["_"](run)
    code = plain.__code__.replace(co_firstlineno=frame.f_lineno, co_qualname=name)
    values = tuple(defaults[each] for each in last)
    made = types.FunctionType(code, frame.f_globals, name, values or None, plain.__closure__)
    made.__module__ = frame.f_globals.get("__name__", "")
    made.__qualname__ = name
    made.__doc__ = text
    return made
