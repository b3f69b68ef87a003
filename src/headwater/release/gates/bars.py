"""Gates that hold measured numbers against limits: all rows, slices, groups of people, and any evidence's field."""

from __future__ import annotations

from typing import Any

from .commands import maker_of
from .limits import Limit, check_end, limit_of, number_at, shown, too_few
from .reader import Gate, GateReader, Judgement, judged

_MOST_NAMED = 5
_OF_INTERVALS = ("low", "high", "better", "worse", "beats_all", "calibrated")
"""The fields of the house's evidence that are ends of intervals, or follow from them."""


def bar_gate(
    metric: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    of: str = "value",
    limit: Limit | None = None,
) -> Gate:
    """Open where a metric of the newest evaluation reaches a bar; ``of`` low or high takes an end of its interval."""
    check_end(of)
    wanted = limit or limit_of(at_least, at_most)
    name = shown(metric, of)

    def judge(body: dict[str, Any]) -> Judgement:
        measured = body.get("metrics", {}).get(metric)
        if measured is None:
            return False, f"the newest evaluation has no {metric}; it has {', '.join(body.get('metrics', {}))}"
        if too_few(body, of):
            return False, too_few(body, of)
        value = number_at(measured, of)
        return wanted.holds(value), f"{name} is {value:.4g} on {body['rows']:,} rows{_window(body)}"

    return _of_newest(f"bar:{name}{wanted.sign}{wanted.number:g}", "evaluation", f"{name} {wanted}", judge)


def slices_gate(
    metric: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    of: str = "value",
    rows: int = 30,
    limit: Limit | None = None,
) -> Gate:
    """Open where a metric reaches a bar on each declared slice of the newest evaluation of at least ``rows`` rows.

    Closed where no slice is large enough to be judged: nothing was shown then.
    """
    check_end(of)
    wanted = limit or limit_of(at_least, at_most)
    name = shown(metric, of)

    def judge(body: dict[str, Any]) -> Judgement:
        large = [each for each in body["slices"] if each["rows"] >= rows]
        small = len(body["slices"]) - len(large)
        if not large:
            return False, f"the newest evaluation has no declared slice of {rows} rows or more ({small} smaller)"
        values = {each["slice"]: number_at(each["metrics"].get(metric), of) for each in large}
        bad = {each: value for each, value in values.items() if not wanted.holds(value)}
        left_out = f"; {small} of fewer than {rows} rows were not judged" if small else ""
        if bad:
            listed = ", ".join(f"{each} ({value:.4g})" for each, value in list(bad.items())[:_MOST_NAMED])
            more = f" and {len(bad) - _MOST_NAMED} more" if len(bad) > _MOST_NAMED else ""
            return False, f"{name} misses it on {len(bad)} of {len(large)} slices: {listed}{more}{left_out}"
        return True, f"{name} reaches it on each of {len(large)} slices{left_out}"

    wants = f"{name} {wanted} on each slice of {rows} rows or more"
    return _of_newest(f"slices:{name}{wanted.sign}{wanted.number:g}", "evaluation", wants, judge, "--slice COLUMN")


def found_slices_gate(*, gap: float = 0.0) -> Gate:
    """Open where no part of the data that a search found and confirmed is worse than the rest by more than ``gap``.

    Closed where the search had no part to look at: nothing was shown then.
    """

    def judge(body: dict[str, Any]) -> Judgement:
        worst = number_at(body["worst_gap"], "value")
        if not body["searched"]:
            return False, "no slice was searched: the columns it was told by give none that is large enough"
        if not body["confirmed"]:
            return True, f"none of {body['searched']:,} slices searched is confirmed to be worse"
        said = (
            f"{body['worst']} is worse than the rest by {worst:.4g} ({body['loss']}), of {body['confirmed']} confirmed"
        )
        return abs(worst) <= gap, said  # of bias too little is as wrong as too much

    return _of_newest("found_slices", "slices", f"no confirmed slice worse than the rest by more than {gap:g}", judge)


def fairness_gate(
    attribute: str,
    *,
    metric: str = "selection_rate",
    at_least: float | None = None,
    at_most: float | None = None,
    of: str = "value",
    threshold: float = 0.5,
    limit: Limit | None = None,
) -> Gate:
    """Open where the groups of an attribute are treated alike within a limit.

    ``at_most`` holds the difference of the two groups furthest apart, ``at_least`` the ratio of the lowest to the
    highest (0.8: the four-fifths rule). ``of`` high or low takes the careful end of the interval. ``threshold`` is the
    probability from which a row must have been selected in the measurement.
    """
    check_end(of)
    wanted = limit or limit_of(at_least, at_most)
    ratio = wanted.sign in (">", ">=")
    what = "ratio" if ratio else "difference"
    wants = f"the {what} of {metric} between groups of {attribute} {wanted}{'' if of == 'value' else f' ({of})'}"

    def judge(body: dict[str, Any]) -> Judgement:
        if body.get("threshold") not in (None, threshold):
            said = f"rows were selected from the probability {body['threshold']:g} on"
            return False, f"{said}, and the gate's threshold is {threshold:g}"
        if too_few(body, of):
            return False, too_few(body, of)
        found = body["ratios" if ratio else "differences"].get(metric)
        if found is None:
            return False, f"the newest fairness evidence has no {what} of {metric}"
        value = number_at(found, of)
        ends = f" ({number_at(found, 'low'):.4g} to {number_at(found, 'high'):.4g})"
        left_out = body.get("left_out") or []
        small = f"; {len(left_out)} groups were too small to measure" if left_out else ""
        pair = f"{found.get('highest')} and {found.get('lowest')}"
        return wanted.holds(value), f"{what} of {metric} is {number_at(found, 'value'):.4g}{ends} between {pair}{small}"

    def look(reader: GateReader) -> Any:
        newest = next((e for e in reader.evidence("fairness") if e.body.get("attribute") == attribute), None)
        missing = f"no fairness evidence about {attribute} is recorded"
        do = f"{maker_of('fairness', reader.version)}".replace("--attribute COLUMN", f"--attribute {attribute}")
        return judged(f"fairness:{attribute}", newest, judge, wants=wants, missing=missing, do=do)

    return look


def holds_gate(evidence: str, field: str, *, limit: Limit | None = None) -> Gate:
    """Open where a field of the newest evidence of any kind is true, or keeps a limit; ``a.b`` is a field of one."""
    wants = f"{field} of the {evidence} evidence {limit or 'to be true'}"

    def judge(body: dict[str, Any]) -> Judgement:
        value: Any = body
        for part in field.split("."):
            value = value[part]
        if part in _OF_INTERVALS and too_few(body):
            return False, too_few(body)
        said = f"{field} is {value:.4g}" if isinstance(value, float) else f"{field} is {value}"
        sentence = body.get("sentence") or body.get("why") or ""
        told = f"{said}: {sentence}" if sentence else said
        if limit is None:
            return value is True, told
        return not isinstance(value, bool) and limit.holds(float(value)), told

    return _of_newest(f"holds:{evidence}.{field}", evidence, wants, judge)


def _of_newest(name: str, kind: str, wants: str, judge: Any, more: str = "") -> Gate:
    def look(reader: GateReader) -> Any:
        do = " ".join(filter(None, (maker_of(kind, reader.version), more)))
        return judged(name, reader.newest(kind), judge, wants=wants, missing=f"no {kind} is recorded", do=do)

    return look


def _window(body: dict[str, Any]) -> str:
    return f" ({body['window']})" if body.get("window") else ""
