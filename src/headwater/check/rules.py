"""The kinds of declared checks that look at one version: schema, range, nulls, unique, freshness."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from ..lake.names import first_few
from .rule import Judgement, Rule
from .scene import VIEWS, Scene
from .sqltext import literal, missing_sql, quote

_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_ (),\[\]]*")


class Schema(Rule):
    """Each file has these columns (with these types); without ``columns``, those of the baseline."""

    kind = "schema"
    options = frozenset({"columns", "extra"})
    compares: ClassVar[bool] = True

    def read(self) -> None:
        given = self.row.get("columns", {})
        self.wanted: dict[str, str] = (
            {str(k): str(v) for k, v in given.items()} if isinstance(given, dict) else dict.fromkeys(self.columns, "")
        )
        if bad := [kind for kind in self.wanted.values() if kind and not _TYPE.fullmatch(kind)]:
            raise self.wrong(f"has no type {bad[0]!r}; give DuckDB's names, as BIGINT, DOUBLE, VARCHAR, TIMESTAMP")
        self.extra = str(self.row.get("extra", "allow"))
        if self.extra not in ("allow", "forbid"):
            raise self.wrong(f"has extra = {self.extra!r}; give 'allow' or 'forbid'")
        self.declared, self.columns = list(self.columns), []  # a missing column is what this rule itself reports

    def default_name(self) -> str:
        return "schema"

    def judge(self, measured: Sequence[Any], scene: Scene) -> Judgement:
        wanted = self.wanted or (scene.types("baseline") if scene.baseline_tables else {})
        if not wanted:
            return Judgement(True, "no columns are declared and there is no earlier version to compare with")
        kinds = {name: self._normal(kind, scene) for name, kind in wanted.items()}
        problems: list[str] = []
        sample: list[dict[str, Any]] = []
        for columns, files in scene.layouts(scene.entries(VIEWS[self.scope])):
            found = self._compare(kinds, columns)
            if found:
                named = first_few((e.path for e in files), len(files), 3)
                problems.append(f"{named}: {'; '.join(found)}")
                sample += [{"file": e.path, "columns": ", ".join(columns)} for e in files[:3]]
        expected = ", ".join(f"{name} {kind}".strip() for name, kind in kinds.items())
        if not problems:
            return Judgement(True, f"every file has the {len(kinds)} columns", expected=expected)
        return Judgement(False, " | ".join(problems[:10]), len(problems), expected, sample=tuple(sample[:10]))

    def _compare(self, wanted: dict[str, str], columns: dict[str, str]) -> list[str]:
        extra = [name for name in columns if name not in wanted]
        problems = []
        for name, kind in wanted.items():
            if name not in columns:
                problems.append(f"column '{name}' is missing{_renamed(name, extra)}")
            elif kind and columns[name] != kind:
                problems.append(f"column '{name}' is {columns[name]}, not {kind}")
        if self.extra == "forbid" and extra:
            problems.append(f"unexpected {'column' if len(extra) == 1 else 'columns'} {first_few(extra, len(extra))}")
        return problems

    def _normal(self, kind: str, scene: Scene) -> str:
        if not kind:
            return ""
        rows = scene.connection.cursor().execute(f"SELECT typeof(CAST(NULL AS {kind}))").fetchall()
        return str(rows[0][0])


def _renamed(name: str, extra: list[str]) -> str:
    if not extra:
        return ""
    close = difflib.get_close_matches(name, extra, n=1, cutoff=0.4)
    if close:
        return f" (renamed to '{close[0]}'?)"
    return f" (new here: {first_few(extra, len(extra), 3)})"


def missing_columns(rule: Rule, types: dict[str, str]) -> Judgement | None:
    """Return the judgement of a rule whose columns are not all there, None where they are."""
    absent = [name for name in rule.columns if name not in types]
    if not absent:
        return None
    others = [name for name in types if name not in rule.columns]
    found = "; ".join(f"column '{name}' is missing{_renamed(name, others)}" for name in absent)
    return Judgement(False, found, expected=f"columns {', '.join(rule.columns)}")


class Range(Rule):
    """Values lie between ``min`` and ``max`` (both included), or among ``allowed``. Nulls and NaN are for ``nulls``."""

    kind = "range"
    options = frozenset({"columns", "column", "min", "max", "allowed", "max_share"})

    def read(self) -> None:
        self.min, self.max, self.allowed = (self.row.get(key) for key in ("min", "max", "allowed"))
        if not self.columns:
            raise self.wrong("needs columns")
        if self.min is None and self.max is None and self.allowed is None:
            raise self.wrong("needs min, max or allowed")
        if self.allowed is not None and (not isinstance(self.allowed, list) or not self.allowed):
            raise self.wrong("needs allowed as a list of values")
        for bound in (self.min, self.max, *(self.allowed or [])):
            literal(bound if bound is not None else 0)
        self.max_share = self.number("max_share", 0.0) or 0.0

    def measures(self, types: dict[str, str]) -> list[str]:
        found = ["count(*)"]
        for name in self.columns:
            known = f"CASE WHEN NOT {missing_sql(name, types[name])} THEN {quote(name)} END"
            found += [f"count(*) FILTER ({self._outside(name, types)})", f"min({known})", f"max({known})"]
        self._types = types
        return found

    def _outside(self, name: str, types: dict[str, str]) -> str:
        column = quote(name)
        tests = [f"{column} < {literal(self.min)}"] if self.min is not None else []
        tests += [f"{column} > {literal(self.max)}"] if self.max is not None else []
        if self.allowed is not None:
            tests.append(f"{column} NOT IN ({', '.join(literal(v) for v in self.allowed)})")
        return f"NOT {missing_sql(name, types[name])} AND ({' OR '.join(tests)})"

    def judge(self, measured: Sequence[Any], scene: Scene) -> Judgement:
        total = measured[0]
        bad = []
        worst = 0
        for place, name in enumerate(self.columns):
            count, least, most = measured[1 + 3 * place : 4 + 3 * place]
            worst = max(worst, count)
            if count > self.max_share * total:
                bad.append((name, f"{count:,} of {total:,} values of '{name}' lie outside (from {least} to {most})"))
        expected = self._expected()
        if not bad:
            return Judgement(True, f"all of {total:,} rows lie within", worst, expected)
        condition = " OR ".join(f"({self._outside(name, self._types)})" for name, _ in bad)
        sql = f"SELECT * FROM {VIEWS[self.scope]} WHERE {condition}"
        return Judgement(False, "; ".join(text for _, text in bad), worst, expected, sql)

    def _expected(self) -> str:
        parts = [f"at least {self.min}"] if self.min is not None else []
        parts += [f"at most {self.max}"] if self.max is not None else []
        parts += [f"one of {first_few(map(str, self.allowed), len(self.allowed), 8)}"] if self.allowed else []
        share = f", for all but {self.max_share:.2%}" if self.max_share else ""
        return " and ".join(parts) + share


class Nulls(Rule):
    """At most ``max_share`` (0 unless given) of a column's values are null or NaN."""

    kind = "nulls"
    options = frozenset({"columns", "column", "max_share"})

    def read(self) -> None:
        if not self.columns:
            raise self.wrong("needs columns")
        self.max_share = self.number("max_share", 0.0) or 0.0

    def measures(self, types: dict[str, str]) -> list[str]:
        self._types = types
        return ["count(*)", *(f"count(*) FILTER ({missing_sql(name, types[name])})" for name in self.columns)]

    def judge(self, measured: Sequence[Any], scene: Scene) -> Judgement:
        total, counts = measured[0], measured[1:]
        bad = [(name, n) for name, n in zip(self.columns, counts, strict=True) if n > self.max_share * total]
        worst = max(counts) / total if total else 0.0
        expected = f"at most {self.max_share:.2%} missing"
        if not bad:
            return Judgement(True, f"at most {worst:.2%} of {total:,} values are missing", worst, expected)
        found = "; ".join(f"{n:,} of {total:,} values of '{name}' are missing ({n / total:.2%})" for name, n in bad)
        condition = " OR ".join(missing_sql(name, self._types[name]) for name, _ in bad)
        return Judgement(False, found, worst, expected, f"SELECT * FROM {VIEWS[self.scope]} WHERE {condition}")


class Unique(Rule):
    """No two rows have the same values in these columns together; nulls count as equal."""

    kind = "unique"
    options = frozenset({"columns", "column"})

    def read(self) -> None:
        if not self.columns:
            raise self.wrong("needs columns")

    def measures(self, types: dict[str, str]) -> list[str]:
        return ["count(*)", f"count(DISTINCT row({', '.join(map(quote, self.columns))}))"]

    def judge(self, measured: Sequence[Any], scene: Scene) -> Judgement:
        total, distinct = measured
        names = ", ".join(map(quote, self.columns))
        again = total - distinct
        expected = "no row twice"
        if not again:
            return Judgement(True, f"{total:,} rows, all different in {', '.join(self.columns)}", 0, expected)
        sql = (
            f"SELECT {names}, count(*) AS times FROM {VIEWS[self.scope]} GROUP BY {names} HAVING count(*) > 1 "
            f"ORDER BY times DESC, {names}"
        )
        found = f"{again:,} of {total:,} rows repeat another in {', '.join(self.columns)}"
        return Judgement(False, found, again, expected, sql)


class Freshness(Rule):
    """The newest value of a time column is at most ``max_age_days`` or ``max_age_hours`` old (the clock is UTC).

    ``after_previous = true`` demands instead, or as well, that it is later than the baseline's newest.
    """

    kind = "freshness"
    options = frozenset({"column", "columns", "max_age_days", "max_age_hours", "after_previous"})
    compares: ClassVar[bool] = True

    def read(self) -> None:
        if len(self.columns) != 1:
            raise self.wrong("needs one column")
        days, hours = self.number("max_age_days"), self.number("max_age_hours")
        self.max_age_h = None if days is None and hours is None else (days or 0) * 24 + (hours or 0)
        self.after_previous = self.row.get("after_previous", False)
        if self.max_age_h is None and self.after_previous is not True:
            raise self.wrong("needs max_age_days, max_age_hours or after_previous = true")

    def _newest(self, types: dict[str, str]) -> list[str]:
        name = quote(self.columns[0])
        return [f"epoch_us(CAST(max({name}) AS TIMESTAMP))"]

    def counts_of_baseline(self, types: dict[str, str]) -> list[str]:
        return self._newest(types) if self.after_previous and self.columns[0] in types else []

    def measures(self, types: dict[str, str]) -> list[str]:
        return self._newest(types)

    def judge(self, measured: Sequence[Any], scene: Scene) -> Judgement:
        newest = measured[0]
        if newest is None:
            return Judgement(False, f"'{self.columns[0]}' holds no time at all", expected="a newest time")
        problems = []
        age_h = (scene.now - newest) / 3_600_000_000
        if self.max_age_h is not None and age_h > self.max_age_h:
            problems.append(f"the newest '{self.columns[0]}' is {_time(newest)}, {_age(age_h)} old")
        previous = self.reference[0] if self.reference else None
        if self.after_previous and previous is not None and newest <= previous:
            problems.append(
                f"the newest '{self.columns[0]}' is {_time(newest)}, not later than before ({_time(previous)})"
            )
        wants = [f"at most {_age(self.max_age_h)} old"] if self.max_age_h is not None else []
        wants += ["later than before"] if self.after_previous else []
        if problems:
            return Judgement(False, "; ".join(problems), _time(newest), " and ".join(wants))
        return Judgement(True, f"the newest '{self.columns[0]}' is {_time(newest)}", _time(newest), " and ".join(wants))


def _time(at_us: int) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)).strftime("%Y-%m-%d %H:%M")


def _age(hours: float) -> str:
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} hours"
