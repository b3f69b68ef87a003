"""The kinds of declared checks that compare a version with the one before: row counts and distributions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

from .rule import Judgement, Rule
from .scene import Scene
from .sqltext import is_number, literal, missing_sql, quote
from .stability import stability_index

OTHER_VALUES = 20


class RowCountChange(Rule):
    """The number of rows lies within ``min`` and ``max``, and fell or grew by at most these shares of before.

    With ``scope = "new"`` the rows per new file are compared with the baseline's rows per file.
    """

    kind = "row_count_change"
    options = frozenset({"min", "max", "max_drop", "max_growth"})
    compares: ClassVar[bool] = True

    def read(self) -> None:
        self.min, self.max = self.number("min"), self.number("max")
        self.max_drop, self.max_growth = self.number("max_drop"), self.number("max_growth")
        if self.min is self.max is self.max_drop is self.max_growth is None:
            raise self.wrong("needs min, max, max_drop or max_growth")

    def counts_of_baseline(self, types: dict[str, str]) -> list[str]:
        return ["count(*)"]

    def measures(self, types: dict[str, str]) -> list[str]:
        return ["count(*)"]

    def judge(self, measured: Sequence[Any], scene: Scene) -> Judgement:
        rows = float(measured[0])
        before = float(self.reference[0]) if self.reference else None
        unit = "rows"
        if self.scope == "new" and scene.fresh:
            rows /= len(scene.fresh)
            before = before / len(scene.baseline_tables) if before is not None else None
            unit = "rows per file"
        problems = []
        if self.min is not None and rows < self.min:
            problems.append(f"{rows:,.0f} {unit} are fewer than {self.min:,.0f}")
        if self.max is not None and rows > self.max:
            problems.append(f"{rows:,.0f} {unit} are more than {self.max:,.0f}")
        if before:
            change = rows / before - 1
            if self.max_drop is not None and -change > self.max_drop + 1e-12:
                problems.append(f"{rows:,.0f} {unit} after {before:,.0f}: {-change:.1%} fewer")
            if self.max_growth is not None and change > self.max_growth + 1e-12:
                problems.append(f"{rows:,.0f} {unit} after {before:,.0f}: {change:.1%} more")
        expected = self._expected()
        value = int(rows) if rows == int(rows) else rows
        if problems:
            return Judgement(False, "; ".join(problems), value, expected)
        compared = f", {before:,.0f} before" if before is not None else "; there is no earlier version to compare with"
        return Judgement(True, f"{rows:,.0f} {unit}{compared}", value, expected)

    def _expected(self) -> str:
        parts = [f"at least {self.min:,.0f}"] if self.min is not None else []
        parts += [f"at most {self.max:,.0f}"] if self.max is not None else []
        parts += [f"at most {self.max_drop:.1%} fewer than before"] if self.max_drop is not None else []
        parts += [f"at most {self.max_growth:.1%} more than before"] if self.max_growth is not None else []
        return ", ".join(parts)


class DistributionChange(Rule):
    """The population stability index of each column against the baseline is at most ``max_psi`` (0.2 unless given).

    Numbers and times fall into ``bins`` (10) quantile bins of the baseline, text and truths into its 20 most
    frequent values and the rest; missing values are a bin of their own. Fewer than ``min_rows`` (200) rows are not
    judged: the index of small samples is mostly noise, about (bins - 1) * (1/n + 1/m) where nothing changed.

    Source: ``stability_index``; 0.2 as a change that matters is the rule of thumb of credit scoring (Siddiqi 2006).
    """

    kind = "distribution_change"
    options = frozenset({"columns", "column", "max_psi", "bins", "min_rows"})
    compares: ClassVar[bool] = True

    def read(self) -> None:
        if not self.columns:
            raise self.wrong("needs columns")
        self.max_psi = self.number("max_psi", 0.2) or 0.0
        self.bins = int(self.number("bins", 10, least=2) or 10)
        self.min_rows = int(self.number("min_rows", 200) or 0)

    def asks_of_baseline(self, types: dict[str, str]) -> list[str]:
        self._baseline_types = types
        return [self._bounding(name, types[name]) for name in self.columns if name in types]

    def _bounding(self, name: str, kind: str) -> str:
        known = f"FILTER (NOT {missing_sql(name, kind)})"
        if _ordered(kind):
            cuts = ", ".join(repr(i / self.bins) for i in range(1, self.bins))
            return f"quantile_disc({quote(name)}, [{cuts}]) {known}"
        return f"approx_top_k(CAST({quote(name)} AS VARCHAR), {OTHER_VALUES}) {known}"

    def counts_of_baseline(self, types: dict[str, str]) -> list[str]:
        return self._counts(types)

    def measures(self, types: dict[str, str]) -> list[str]:
        return self._counts(types)

    def _counts(self, types: dict[str, str]) -> list[str]:
        """Return counts per column: one per bin, then of missing values."""
        found: list[str] = []
        for name, bound in self._bounded():
            if name not in types:
                continue
            missing = missing_sql(name, types[name])
            known = f"NOT {missing}"
            bins = _between(name, bound) if _ordered(self._baseline_types[name]) else _among(name, bound)
            found += [f"count(*) FILTER ({known} AND {test})" for test in bins] + [f"count(*) FILTER ({missing})"]
        return found

    def _bounded(self) -> list[tuple[str, list[Any]]]:
        known = [name for name in self.columns if name in getattr(self, "_baseline_types", {})]
        cuts = (sorted(set(b)) if b else [] for b in self.bounds)
        return list(zip(known, cuts, strict=False))

    def judge(self, measured: Sequence[Any], scene: Scene) -> Judgement:
        expected = f"PSI at most {self.max_psi:g}"
        if not self.bounds or not self.reference:
            return Judgement(True, "there is no earlier version to compare with", expected=expected)
        problems: list[str] = []
        notes: list[str] = []
        worst, at = 0.0, 0
        for name, cuts in self._bounded():
            width = len(cuts) + 2
            before, after = list(self.reference[at : at + width]), list(measured[at : at + width])
            at += width
            if min(sum(before), sum(after)) < max(self.min_rows, 1):
                notes.append(f"'{name}' has too few rows to compare ({min(sum(before), sum(after)):,})")
                continue
            index = stability_index(before, after)
            worst = max(worst, index)
            if index > self.max_psi:
                moved = _moved(cuts, before, after)
                problems.append(f"'{name}' is distributed otherwise than before: PSI {index:.3f}{moved}")
        if problems:
            return Judgement(False, "; ".join(problems), round(worst, 6), expected)
        said = f"the largest PSI is {worst:.3f}"
        return Judgement(True, "; ".join([said, *notes]), round(worst, 6), expected)


def _ordered(kind: str) -> bool:
    return is_number(kind) or kind.startswith(("TIMESTAMP", "DATE", "TIME"))


def _between(name: str, cuts: list[Any]) -> list[str]:
    """Return the conditions of the bins (-inf, c1], (c1, c2], ..., (cn, inf)."""
    column = quote(name)
    if not cuts:
        return ["true"]
    edges = [literal_of(cut) for cut in cuts]
    inner = [f"{column} > {low} AND {column} <= {high}" for low, high in pairwise(edges)]
    return [f"{column} <= {edges[0]}", *inner, f"{column} > {edges[-1]}"]


def _among(name: str, values: list[Any]) -> list[str]:
    """Return the conditions of one value each, then of all others."""
    text = f"CAST({quote(name)} AS VARCHAR)"
    if not values:
        return ["true"]
    listed = [literal(str(value)) for value in values]
    return [*(f"{text} = {value}" for value in listed), f"{text} NOT IN ({', '.join(listed)})"]


def literal_of(value: Any) -> str:
    """Return a quantile as SQL: numbers as they are, dates and times in quotes."""
    from decimal import Decimal

    return str(value) if isinstance(value, Decimal) else literal(value)


def _moved(cuts: list[Any], before: list[int], after: list[int]) -> str:
    """Return which bin changed its share most, in words."""
    changes = [abs(a / sum(after) - b / sum(before)) for b, a in zip(before, after, strict=True)]
    place = changes.index(max(changes))
    share = f"went from {before[place] / sum(before):.1%} to {after[place] / sum(after):.1%}"
    if place == len(before) - 1:
        return f" (missing values {share})"
    if not cuts:
        return ""
    if isinstance(cuts[0], str):
        return f" ({cuts[place]!r} {share})" if place < len(cuts) else f" (values rare before {share})"
    if place == 0:
        return f" (values up to {cuts[0]} {share})"
    return f" (values above {cuts[place - 1]} {'' if place == len(cuts) else f'up to {cuts[place]} '}{share})"
