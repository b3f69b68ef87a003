"""Contracts between steps: what their type annotations say of arguments and results, looked at as they are handed on.

Plain types, ``Literal``, unions, containers of these, msgspec Structs, dataclasses and typed dicts (field by field),
bounds by ``Annotated[..., msgspec.Meta(...)]``, and frames by ``Annotated[pl.DataFrame, Schema(...)]``. What cannot be
looked at (a type variable, a callable's arguments, an iterator) counts as right.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from headwater.errors import InvalidInputError

from .schemas import Schema

_MOST_LOOKED_AT = 1000  # members of a container
_SEQUENCES = (list, set, frozenset, collections.abc.Sequence, collections.abc.Set, collections.abc.Collection)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def check_arguments(step: str, function: Callable[..., Any], bound: Mapping[str, Any]) -> None:
    """Raise InvalidInputError unless the arguments, by name as ``bind`` gives them, are what the function says."""
    hints = _hints(function)
    for name, value in bound.items():
        if name in hints:
            _require(value, hints[name], f"step '{step}' got for '{name}' ", "the step before it")


def check_result(step: str, function: Callable[..., Any], value: Any) -> None:
    """Raise InvalidInputError unless the result is what the function says that it returns."""
    hints = _hints(function)
    if "return" in hints:
        _require(value, hints["return"], f"step '{step}' returned ", "the step")


def _require(value: Any, hint: Any, what: str, who: str) -> None:
    problem = next(problems(value, hint), None)
    if problem is not None:
        raise InvalidInputError(f"{what}{problem}. Change {who}, or the annotation that promises something else.")


@functools.lru_cache(maxsize=1024)
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a function by name; those whose names are not there when it runs are left out."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001  # annotations are the user's expressions, evaluated here
        found = {}
        for name, hint in getattr(function, "__annotations__", {}).items():
            try:
                found[name] = eval(hint, function.__globals__) if isinstance(hint, str) else hint
            except Exception:  # noqa: BLE001  # as above: this one is not looked at
                continue
        return found


def problems(value: Any, hint: Any, where: str = "") -> Iterator[str]:
    """Yield what of a value is not as a type says, as the rest of a sentence: ``[3]: a str, not int``."""
    origin = get_origin(hint)
    if hint is Any or isinstance(hint, typing.TypeVar | str):
        return
    if hint is None or hint is type(None):
        if value is not None:
            yield _not(value, "None", where)
    elif origin is Annotated:
        yield from _annotated(value, hint, where)
    elif origin in (Union, types.UnionType):
        found = [next(problems(value, each, where), None) for each in get_args(hint)]
        if all(each is not None for each in found):
            yield found[0] if len(found) == 1 else _not(value, _named(hint), where)  # type: ignore[misc]
    elif origin is Literal:
        if value not in get_args(hint):
            yield _at(where, f"{value!r}, not one of {', '.join(map(repr, get_args(hint)))}")
    elif origin is not None:
        yield from _container(value, hint, origin, where)
    elif hasattr(hint, "__supertype__"):  # a NewType
        yield from problems(value, hint.__supertype__, where)
    elif isinstance(hint, type):
        yield from _of_class(value, hint, where)


def _annotated(value: Any, hint: Any, where: str) -> Iterator[str]:
    plain, *notes = get_args(hint)
    found = next(problems(value, plain, where), None)
    if found is not None:
        yield found
        return
    for note in notes:
        if isinstance(note, Schema):
            yield from (_at(where, each) for each in note.problems(value))
        elif isinstance(note, msgspec.Meta):
            try:
                msgspec.convert(value, Annotated[plain, note], strict=True)
            except msgspec.ValidationError as error:
                yield _at(where, f"{value!r}: {str(error)[:1].lower()}{str(error)[1:]}")


def _container(given: object, hint: Any, origin: Any, where: str) -> Iterator[str]:
    arguments = get_args(hint)
    if not isinstance(origin, type) or not isinstance(given, origin):
        if isinstance(origin, type):
            yield _not(given, _named(hint), where)
        return
    value: Any = given
    if origin is tuple:
        several = len(arguments) == 2 and arguments[1] is Ellipsis
        if not several and len(arguments) != len(value):
            yield _at(where, f"a tuple of {len(value)}, not of {len(arguments)}")
            return
        for number, each in enumerate(value[:_MOST_LOOKED_AT]):
            yield from problems(each, arguments[0 if several else number], f"{where}[{number}]")
    elif origin in _MAPPINGS:
        for number, (key, each) in enumerate(value.items()):
            if number >= _MOST_LOOKED_AT:
                return
            yield from problems(key, arguments[0], f"{where} key")
            yield from problems(each, arguments[1], f"{where}[{key!r}]")
    elif origin in _SEQUENCES:
        for number, each in enumerate(value):
            if number >= _MOST_LOOKED_AT:
                return
            yield from problems(each, arguments[0], f"{where}[{number}]")


def _of_class(value: Any, hint: type, where: str) -> Iterator[str]:
    if typing.is_typeddict(hint):
        yield from _typed_dict(value, hint, where)
        return
    wider = {float: (int, float), complex: (int, float, complex), bytes: (bytes, bytearray)}.get(hint, hint)
    is_right = isinstance(value, wider) and not (isinstance(value, bool) and hint in (int, float, complex))
    if not is_right and not _is_number_of_numpy(value, hint):
        yield _not(value, hint.__name__, where)
    elif issubclass(hint, msgspec.Struct):
        yield from _fields(value, {each.name: each.type for each in msgspec.structs.fields(hint)}, where)
    elif dataclasses.is_dataclass(hint):
        kept = {each.name for each in dataclasses.fields(hint)}
        yield from _fields(value, {name: each for name, each in _hints(hint).items() if name in kept}, where)


def _is_number_of_numpy(value: Any, hint: type) -> bool:
    """Tell whether a value is a number of NumPy's where Python's is meant."""
    import numbers

    kinds: dict[type, type] = {int: numbers.Integral, float: numbers.Real, complex: numbers.Complex}
    return hint in kinds and not isinstance(value, bool) and isinstance(value, kinds[hint])


def _fields(value: Any, hints: Mapping[str, Any], where: str) -> Iterator[str]:
    for name, hint in hints.items():
        yield from problems(getattr(value, name), hint, f"{where}.{name}")


def _typed_dict(value: Any, hint: Any, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _not(value, hint.__name__, where)
        return
    for name, each in _hints(hint).items():
        if name in value:
            yield from problems(value[name], each, f"{where}[{name!r}]")
        elif name in hint.__required_keys__:
            yield _at(where, f"a dict without '{name}'")


def _not(value: Any, wanted: str, where: str) -> str:
    kind = type(value).__name__
    shown = f" ({value!r})" if isinstance(value, int | float | str) and len(repr(value)) <= 40 else ""
    return _at(where, f"a {kind}{shown}, not {wanted}" if value is not None else f"None, not {wanted}")


def _at(where: str, problem: str) -> str:
    return f"{where.strip()}: {problem}" if where else problem


def _named(hint: Any) -> str:
    return getattr(hint, "__name__", "") if isinstance(hint, type) and not get_args(hint) else str(hint)
