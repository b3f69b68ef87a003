"""Lists of many runs, a long history, and sixty-four processes that write runs at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.process import at_once, run
from bench.setting import HW, PROGRAMS, PYTHON, Setting, new_project
from bench.values import Comparison, Contender, Goal, MeasureError, Quantity, Sample

WRITERS, SECONDS = 64, 20
_ASKED = {
    "first_50": ("the first 50", "median", {5000: Goal(20), 1_000_000: Goal(100)}),
    "page_1000": ("a page of 1,000", "median", {5000: Goal(100)}),
    "best_50": ("50 by a metric", "p95", {1_000_000: Goal(100)}),
    "filtered_50": ("50 by a filter", "p95", {1_000_000: Goal(100)}),
}
_HISTORY = "100,000 points drawn"


@contextmanager
def tracking(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield lists of 5,000 and of a million runs (facts, written straight into the ledger), and the writers."""
    much = setting.much
    yield [_lists(count, much(count)) for count in (5000, 1_000_000)] + [_writers(much(SECONDS))]


def _lists(nominal: int, count: int) -> Comparison:
    quantities = [
        Quantity(f"{nominal:,} runs: {what}, {which}", "ms", "lower", goals.get(nominal))
        for what, which, goals in _ASKED.values()
    ]
    quantities.append(Quantity(f"{nominal:,} runs: {_HISTORY}", "ms", "lower", Goal(100)))

    def ours(folder: Path) -> dict[str, Sample]:
        project = new_project(folder)
        done = run([PYTHON, PROGRAMS / "track_lists.py", project, str(count)], project, limit_s=1800)
        found = json.loads(done.output)
        asked = [(key, which) for key, (_, which, _) in _ASKED.items()] + [("history", "median")]
        return {
            quantity.name: Sample(found[key][which] * 1000, found[key]["cpu"])
            for quantity, (key, which) in zip(quantities, asked, strict=True)
        }

    return Comparison(f"{nominal:,} runs", tuple(quantities), (Contender("headwater", "us", ours),), once=True)


def _writers(seconds: int) -> Comparison:
    name = f"runs written, {WRITERS} processes at once"

    def ours(folder: Path) -> dict[str, Sample]:
        project = new_project(folder)
        written, cpu_s = _written(project, seconds)
        listed = json.loads(run([HW, "runs", "list", "--limit", "1", "--json"], project).output)
        counted = run(
            [HW, "sql", "--json", "SELECT count(DISTINCT run) AS runs, count(*) AS points FROM metrics"], project
        )
        kept = json.loads(counted.output)[0]
        if not listed["runs"] or kept != {"runs": written, "points": written * 10}:
            raise MeasureError(f"{written} runs of ten points were acknowledged, and the project has {kept}")
        return {name: Sample(written / seconds, cpu_s / max(written, 1))}

    quantity = Quantity(name, "/s", "higher", cpu_unit="s each")
    return Comparison("many writers", (quantity,), (Contender("headwater", "us", ours),), once=True)


def _written(project: Path, seconds: int) -> tuple[int, float]:
    """Let processes write at once; a lock error in any of them fails the row."""
    commands: list[Sequence[str | Path]] = [[PYTHON, PROGRAMS / "track_writer.py", project, str(seconds)]] * WRITERS
    told = [json.loads(said) for said in at_once(commands, project, seconds + 300)]
    return sum(each["runs"] for each in told), sum(each["cpu_s"] for each in told)
