"""Arguments of a call under the names of the function's parameters, as Python binds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def bind(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return name to value: parameters by name, further positional ones as ``*0``, ``*1``, ...; defaults left out.

    A call's spelling does not matter: ``f(1)`` and ``f(x=1)`` bind the same.

    Raises:
        TypeError: the call does not fit the function.
    """
    code = getattr(function, "__code__", None)
    if code is None:
        return {**{f"*{number}": value for number, value in enumerate(args)}, **kwargs}
    names = code.co_varnames[: code.co_argcount]
    only = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    takes_more, takes_any = bool(code.co_flags & 0x04), bool(code.co_flags & 0x08)
    title = f"{function.__name__}()"
    if len(args) > len(names) and not takes_more:
        raise TypeError(f"{title} takes {len(names)} positional arguments but {len(args)} were given")
    bound = dict(zip(names, args, strict=False))
    bound.update({f"*{number}": value for number, value in enumerate(args[len(names) :])})
    positional_only = names[: code.co_posonlyargcount]
    for name, value in kwargs.items():
        if name in bound and name not in positional_only:
            raise TypeError(f"{title} got multiple values for argument '{name}'")
        if name not in names and name not in only and not takes_any:
            raise TypeError(f"{title} got an unexpected keyword argument '{name}'")
        if name in positional_only and not takes_any:
            raise TypeError(f"{title} got the positional-only argument '{name}' as a keyword")
        bound[name] = value
    defaults = len(getattr(function, "__defaults__", None) or ())
    optional = set(names[len(names) - defaults :]) | set(getattr(function, "__kwdefaults__", None) or ())
    missing = [name for name in (*names, *only) if name not in bound and name not in optional]
    if missing:
        raise TypeError(f"{title} is missing the argument {', '.join(map(repr, missing))}")
    return bound


def unbind(function: Callable[..., Any], bound: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and the keyword arguments of ``bind``'s answer."""
    code = getattr(function, "__code__", None)
    extra = [value for name, value in bound.items() if name.startswith("*")]
    named = {name: value for name, value in bound.items() if not name.startswith("*")}
    if code is None:
        return extra, named
    first = code.co_varnames[: code.co_argcount if extra else code.co_posonlyargcount]
    # A default before a further positional argument cannot be left out: then all of them were given.
    return [named.pop(name) for name in first if name in named] + extra, named
