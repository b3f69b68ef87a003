"""What one contract promises otherwise than another, in sentences: what a consumer would have to know."""

from __future__ import annotations

from collections.abc import Iterable

from headwater.model import Contract, Field


def input_changes(old: Contract, new: Contract) -> list[str]:
    """Return which calls that the old contract takes the new one may refuse, input by input in the new one's order."""
    before = {field.name: field for field in old.inputs}
    after = {field.name for field in new.inputs}
    said = [f"input '{name}' is gone: a row that holds it is refused" for name in before if name not in after]
    for field in new.inputs:
        known = before.get(field.name)
        if known is None:
            if not field.nullable:
                said.append(f"input '{field.name}' is new and must be given")
        else:
            said += [f"input '{field.name}' {what}" for what in _narrower(known, field)]
    return said


def output_changes(old: Contract, new: Contract, reads: Iterable[str] = ()) -> list[str]:
    """Return what a consumer that reads some outputs (all, without any named) must not rely on any more."""
    wanted = set(reads)
    after = {field.name: field for field in new.outputs}
    said = []
    for field in old.outputs:
        if wanted and field.name not in wanted:
            continue
        now = after.get(field.name)
        if now is None:
            said.append(f"output '{field.name}' is gone")
        else:
            # What the new one may answer must be what the old one could have answered.
            said += [f"output '{field.name}' {what}" for what in _narrower(now, field, widened=True)]
    unknown = sorted(wanted - {field.name for field in (*old.outputs, *new.outputs)})
    return said + [f"output '{name}' was never promised" for name in unknown]


def _narrower(wide: Field, narrow: Field, *, widened: bool = False) -> list[str]:
    """Return how ``narrow`` takes less than ``wide``; ``widened`` words it from the wide one's side."""
    before, after = (narrow, wide) if widened else (wide, narrow)
    said = []
    if wide.type != narrow.type and not (wide.type == "int" and narrow.type == "float"):
        said.append(f"was {before.type} and is {after.type}")
    if wide.unit != narrow.unit:
        said.append(f"was in '{before.unit}' and is in '{after.unit}'")
    if wide.nullable and not narrow.nullable:
        said.append("may be null now" if widened else "may not be missing any more")
    if narrow.allowed is not None:
        more = [each for each in wide.allowed or () if each not in narrow.allowed]
        if wide.allowed is None:
            said.append("may be anything now" if widened else f"must be one of {_listed(narrow.allowed)} now")
        elif more:
            said.append(f"{'may be' if widened else 'may not be'} {_listed(more)} {'now' if widened else 'any more'}")
    for name, sign in (("minimum", 1), ("maximum", -1)):
        outer, inner = getattr(wide, name), getattr(narrow, name)
        if inner is not None and (outer is None or sign * outer < sign * inner):
            said.append(f"has the {name} {getattr(after, name)} instead of {getattr(before, name)}")
    return said


def _listed(values: Iterable[object]) -> str:
    shown = [repr(each) for each in values]
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")
