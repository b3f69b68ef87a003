"""The table on the terminal, and the same as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from .runner import Result
from .summary import Line, number


def table(results: Sequence[Result]) -> str:
    """Return the results as text, one block per quantity."""
    blocks = []
    for result in results:
        quantity = result.quantity
        head = f"{quantity.name} ({quantity.unit}; {'less' if quantity.better == 'lower' else 'more'} is better)"
        width = max(len(line.name) for line in result.lines)
        rows = [f"  {line.role:5} {line.name:{width}}  {_row(line, quantity.cpu_unit)}" for line in result.lines]
        blocks.append("\n".join([head, *rows]))
    return "\n\n".join(blocks)


def _row(line: Line, cpu_unit: str) -> str:
    if line.failed:
        return f"FAILED: {line.failed}" + (f"   {line.goal}" if line.goal else "")
    assert line.median is not None and line.least is not None and line.greatest is not None
    spread = f"[{number(line.least)} – {number(line.greatest)}]"
    parts = [f"{number(line.median):>9}", spread.ljust(21), f"n={line.rounds}"]
    parts.append(f"cpu {number(line.cpu)} {cpu_unit}".ljust(23) if line.cpu is not None else " " * 23)
    parts.append(line.goal if line.ratio is None else f"ours/this {number(line.ratio)}")
    return "  ".join(parts).rstrip()


def as_json(results: Sequence[Result], about: dict[str, Any]) -> str:
    """Return the results as a JSON document; a number that a failed line lacks is null."""
    rows = [
        {
            "comparison": result.comparison,
            "quantity": dataclasses.asdict(result.quantity),
            "lines": [dataclasses.asdict(line) for line in result.lines],
        }
        for result in results
    ]
    return json.dumps({"about": about, "results": rows}, indent=1) + "\n"
