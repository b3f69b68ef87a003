"""Examples for an exported package: made-up rows that keep the contract, and the version's answers bit by bit.

Rows are drawn from the training profile column by column, so that no row of training, and nobody's data, is in them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headwater import canonical
from headwater.model import documents, example_row

from .packaged import Example

if TYPE_CHECKING:
    from headwater.model import Contract, Field, Loaded, ModelVersion
    from headwater.project import Project

EXAMPLES = 100


def make_examples(project: Project, version: ModelVersion, loaded: Loaded) -> list[Example]:
    """Return up to ``EXAMPLES`` rows with their answers, the same for the same version."""
    profile: dict[str, Any] = {}
    if version.reference is not None:
        profile = documents.parse(project.objects.get(version.reference).decode()).get("inputs", {})
    rows = example_rows(version.contract, profile)
    return [
        Example(inputs=row, answer=canonical.encode(loaded.predict([row], validated=True)[0]).hex()) for row in rows
    ]


def example_rows(contract: Contract, profile: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return rows that keep the contract: its own example first, then values such as training saw, each at random."""
    draw = random.Random(0)
    base = example_row(contract)
    rows = [base]
    rows += [
        {field.name: _drawn(field, profile.get(field.name, {}), draw, base[field.name]) for field in contract.inputs}
        for _ in range(EXAMPLES - 1)
    ]
    good = [row for row in rows if not contract.problems([row])]
    unlike = {canonical.encode(row): row for row in good}
    return contract.validate(list(unlike.values())) if unlike else []


def _drawn(field: Field, seen: Mapping[str, Any], draw: random.Random, otherwise: Any) -> Any:
    if field.nullable and seen.get("missing") and draw.random() < 0.1:
        return None
    if field.type == "bool":
        return draw.random() < 0.5
    if field.allowed:
        return draw.choice(field.allowed)
    if field.type == "str" and seen.get("values") and not field.personal:
        return str(draw.choice(seen["values"]))
    if field.type in ("int", "float"):
        # Between the cut points of training, not on them: a value of training is often where a tree splits.
        edges = seen.get("edges") or []
        if len(edges) > 1:
            place = draw.randrange(len(edges) - 1)
            value = draw.uniform(edges[place], edges[place + 1])
            return value if field.type == "float" else round(value)
    return otherwise
