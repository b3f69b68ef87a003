"""The kinds of gates there are, and how each is written as a text: the one place where a kind is added."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from .bars import bar_gate, fairness_gate, found_slices_gate, holds_gate, slices_gate
from .champion import backtest_gate, champion_gate
from .limits import written_end, written_limit
from .people import reviewer_gate
from .proofs import budget_gate, consumers_gate, parity_gate, readiness_gate
from .reader import Gate
from .times import fresh_gate

_FRESH = re.compile(r"([\w-]+)\s*<\s*([.\d]+)\s*d")
_HOLDS = re.compile(r"([\w-]+)\.([\w.-]+)")
Table = dict[str, Any]


class GateKind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of gate: what makes it of a table, what reads the text behind its colon, and how it is written."""

    make: Callable[..., Gate]
    read: Callable[[str], Table | None]
    form: str


def _bare(text: str) -> Table | None:
    return None if text else {}


def _metric(text: str) -> Table | None:
    written = written_limit(text)
    if written is None:
        return None
    metric, of = written_end(written[0])
    return {"metric": metric, "of": of, "limit": written[1]} if re.fullmatch(r"[\w@.-]+", metric) else None


def _fairness(text: str) -> Table | None:
    written = written_limit(text)
    if written is None:
        return None
    name, of = written_end(written[0])
    attribute, _, metric = name.partition(".")
    return {"attribute": attribute, "of": of, "limit": written[1], **({"metric": metric} if metric else {})}


def _gap(text: str) -> Table | None:
    if not text:
        return {}
    written = written_limit(text)
    return {"gap": written[1].number} if written and written[0] == "gap" and written[1].sign[0] == "<" else None


def _fresh(text: str) -> Table | None:
    found = _FRESH.fullmatch(text.strip())
    return {"evidence": found[1], "days": float(found[2])} if found else None


def _budget(text: str) -> Table | None:
    written = written_limit(text)
    return {"limit": written} if written and written[1].sign[0] == "<" else None


def _holds(text: str) -> Table | None:
    written = written_limit(text)
    found = _HOLDS.fullmatch(written[0] if written else text.strip())
    return {"evidence": found[1], "field": found[2], "limit": written[1] if written else None} if found else None


def _readiness(text: str) -> Table | None:
    written = written_limit(text)
    return {"field": written[0], "limit": written[1]} if written else None


def _role(text: str) -> Table | None:
    return {"role": text}


GATES: dict[str, GateKind] = {
    "parity": GateKind(make=parity_gate, read=_bare, form="parity"),
    "better_than_champion": GateKind(make=champion_gate, read=_bare, form="better_than_champion"),
    "bar": GateKind(make=bar_gate, read=_metric, form="bar:METRIC>NUMBER"),
    "slices": GateKind(make=slices_gate, read=_metric, form="slices:METRIC>NUMBER"),
    "found_slices": GateKind(make=found_slices_gate, read=_gap, form="found_slices:gap<NUMBER"),
    "fairness": GateKind(make=fairness_gate, read=_fairness, form="fairness:ATTRIBUTE.METRIC<NUMBER"),
    "backtest": GateKind(make=backtest_gate, read=_bare, form="backtest"),
    "consumers": GateKind(make=consumers_gate, read=_bare, form="consumers"),
    "budget": GateKind(make=budget_gate, read=_budget, form="budget:p99_ms<NUMBER"),
    "readiness": GateKind(make=readiness_gate, read=_readiness, form="readiness:level>=NUMBER"),
    "fresh": GateKind(make=fresh_gate, read=_fresh, form="fresh:KIND<DAYSd"),
    "reviewer": GateKind(make=reviewer_gate, read=_role, form="reviewer:ROLE"),
    "holds": GateKind(make=holds_gate, read=_holds, form="holds:KIND.FIELD"),
}
