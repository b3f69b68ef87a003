"""What changes from one contract to the next, and which of it somebody who relies on the old one would notice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from .contract import Contract, Field

_SHOWN = 3
_LIMITS = ("minimum", "maximum", "least", "most")
_WIDER = {("int", "float")}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference: ``what`` in words, with the field. ``breaking``: requests that were good would be refused now,
    or answers may be what their readers do not expect.
    """

    side: str
    field: str
    what: str
    breaking: bool


def contract_changes(before: Contract, after: Contract) -> list[Change]:
    """Return the differences of two contracts, inputs before outputs, each in the order of the fields.

    A request is refused where an input is gone, must be given now, has another type or tighter bounds. A reader is
    surprised where an output is gone, may be missing now, has another type, wider bounds or more values. Either is
    by another unit.
    """
    return [*_side("input", before.inputs, after.inputs), *_side("output", before.outputs, after.outputs)]


def _side(side: str, before: Sequence[Field], after: Sequence[Field]) -> Iterator[Change]:
    old, new = {field.name: field for field in before}, {field.name: field for field in after}
    for name, field in new.items():
        if name not in old:
            breaking = side == "input" and not field.nullable
            yield Change(side=side, field=name, what=f"+{name}", breaking=breaking)
    for name in old:
        if name not in new:
            yield Change(side=side, field=name, what=f"−{name}", breaking=True)
    for name, field in new.items():
        if name in old and old[name] != field:
            yield from _field(side, name, old[name], field)


def _field(side: str, path: str, old: Field, new: Field) -> Iterator[Change]:
    def change(what: str, breaking: bool) -> Change:
        return Change(side=side, field=path, what=f"{path} {what}", breaking=breaking)

    asked = side == "input"
    if old.type != new.type:
        pair = (old.type, new.type) if asked else (new.type, old.type)
        yield change(f"{old.type} → {new.type}", pair not in _WIDER)
    if old.unit != new.unit:
        yield change(f"in {new.unit or 'no unit'} (was {old.unit or 'none'})", bool(old.unit))
    if old.nullable != new.nullable:
        yield change("may be missing" if new.nullable else "must be given", new.nullable != asked)
    for limit in _LIMITS:
        a, b = getattr(old, limit), getattr(new, limit)
        if a != b:
            yield change(f"{limit} {_shown(a)} → {_shown(b)}", _tighter(limit, a, b) == asked)
    yield from _allowed(change, asked, old, new)
    if set(old.media_types) != set(new.media_types):
        yield change(
            f"as {', '.join(new.media_types) or 'any file'}", _fewer(old.media_types, new.media_types) == asked
        )
    if old.personal != new.personal:
        yield change("is personal" if new.personal else "is not personal", False)
    if old.description != new.description:
        yield change("is described anew", False)
    if old.source != new.source:
        yield change(f"is taken from {new.source or path}", True)
    if old.fields != new.fields:
        yield from (_within(path, each) for each in _side(side, old.fields, new.fields))
    if old.item is not None and new.item is not None and old.item != new.item:
        yield from _field(side, f"{path}[]", old.item, new.item)
    elif old.item != new.item:
        yield change("holds other items", True)


def _allowed(change: Any, asked: bool, old: Field, new: Field) -> Iterator[Change]:
    if old.allowed == new.allowed:
        return
    a, b = old.allowed, new.allowed
    gone = [] if b is None else [each for each in a or () if each not in b]
    added = [] if a is None else [each for each in b or () if each not in a]
    said = [f"−{each}" for each in gone[:_SHOWN]] + [f"+{each}" for each in added[:_SHOWN]]
    if a is None:
        said = [f"only {', '.join(map(str, (b or ())[:_SHOWN]))}" + ("…" if len(b or ()) > _SHOWN else "")]
    narrower = bool(gone) or (a is None and b is not None)
    wider = bool(added) or (b is None and a is not None)
    yield change(
        f"values {', '.join(said) or ('in another order' if b is not None else 'free')}", narrower if asked else wider
    )


def _within(path: str, change: Change) -> Change:
    what = (
        f"{path}.{change.what}" if not change.what.startswith(("+", "−")) else f"{change.what[0]}{path}.{change.field}"
    )
    return msgspec.structs.replace(change, field=f"{path}.{change.field}", what=what)


def _fewer(old: Sequence[str], new: Sequence[str]) -> bool:
    return bool(new) and (not old or not set(old) <= set(new))


def _tighter(limit: str, old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return old is None
    return new > old if limit in ("minimum", "least") else new < old


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"
