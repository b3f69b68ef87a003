"""A measurement as people read it at a terminal: its sentence, and the table that its kind has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .context import table

if TYPE_CHECKING:
    from headwater.evaluate import Evidence

Rows = Sequence[Sequence[Any]]
_TEXTS = {"", "what was found", "what it is", "beaten", "confirmed"}
"""Columns of words, which stand to the left."""


def evidence_text(evidence: Evidence) -> str:
    """Return a measurement as text; kinds of a team's own show their sentence and metrics."""
    body = evidence.body
    lines = [str(body[key]) for key in ("sentence", "why") if body.get(key)]
    for headers, rows in _TABLES.get(evidence.kind, _metrics)(body):
        if rows:
            lines.append(table(headers, rows, right=[k for k in range(1, len(headers)) if headers[k] not in _TEXTS]))
    lines.append(f"recorded as {evidence.ref}")
    return "\n".join(lines)


def _metrics(body: dict[str, Any]) -> Iterator[tuple[Sequence[str], Rows]]:
    found = {name: each for name, each in body.get("metrics", {}).items() if isinstance(each, dict)}
    yield ("metric", "value", "low", "high"), [(name, *_ends(each)) for name, each in found.items()]
    first = next(iter(found), "")
    slices = [each for each in body.get("slices", []) if first in each["metrics"]]
    rows = [(each["slice"], f"{each['rows']:,}", *_ends(each["metrics"][first])) for each in slices]
    yield ("slice", "rows", first, "low", "high"), rows


def _slices(body: dict[str, Any]) -> Iterator[tuple[Sequence[str], Rows]]:
    rows = [
        (
            each["slice"],
            f"{each['rows']:,}",
            _number(each["value"]),
            _number(each["rest"]),
            *_ends(each["gap"]),
            "yes" if each["confirmed"] else "no",
        )
        for each in body["found"]
    ]
    yield ("slice", "rows", body["loss"], "elsewhere", "gap", "low", "high", "confirmed"), rows


def _fairness(body: dict[str, Any]) -> Iterator[tuple[Sequence[str], Rows]]:
    names = list(body["differences"])
    groups = [
        (each["group"], f"{each['rows']:,}", *(_number(each["metrics"][name]["value"]) for name in names))
        for each in body["groups"]
    ]
    yield (body["attribute"], "rows", *(name.replace("_", " ") for name in names)), groups
    differences = [(name.replace("_", " "), *_ends(each)) for name, each in body["differences"].items()]
    differences += [(f"{name.replace('_', ' ')} ratio", *_ends(each)) for name, each in body["ratios"].items()]
    yield ("furthest apart", "value", "low", "high"), differences
    proxies = [(each["input"], *_ends(each["auc"])) for each in body["proxies"][:8]]
    yield (f"tells {body['attribute']}", "auc", "low", "high"), proxies


def _explanation(body: dict[str, Any]) -> Iterator[tuple[Sequence[str], Rows]]:
    shapley = {each["input"]: each["mean_absolute"] for each in body["shapley"]}
    rows = [(each["input"], *_ends(each["drop"]), _number(shapley.get(each["input"]))) for each in body["inputs"]]
    yield ("input", f"{body['metric']} lost", "low", "high", "mean |shapley|"), rows


def _calibration(body: dict[str, Any]) -> Iterator[tuple[Sequence[str], Rows]]:
    names = ("predicted", "observed", "low", "high")
    yield (
        ("rows", *names),
        [(f"{each['rows']:,}", *(_number(each[name]) for name in names)) for each in body["bins"]],
    )


def _baselines(body: dict[str, Any]) -> Iterator[tuple[Sequence[str], Rows]]:
    rows = [
        (each["name"], _number(each["value"]), *_ends(each["gain"]), "yes" if each["beaten"] else "no", each["what"])
        for each in body["baselines"]
    ]
    yield ("baseline", body["metric"], "gain", "low", "high", "beaten", "what it is"), rows


def _staleness(body: dict[str, Any]) -> Iterator[tuple[Sequence[str], Rows]]:
    rows = [
        (each["label"], each["trained_until"], each["start"], each["end"], each["age_days"], *_ends(each["metric"]))
        for each in body["points"]
    ]
    yield ("version", "trained until", "from", "to", "days old", body["metric"], "low", "high"), rows


def _leakage(body: dict[str, Any]) -> Iterator[tuple[Sequence[str], Rows]]:
    yield (
        ("check", "", "what was found"),
        [(each["check"], "passed" if each["passed"] else "failed", each["why"]) for each in body["checks"]],
    )


def _ends(interval: dict[str, float]) -> tuple[str, str, str]:
    return _number(interval["value"]), _number(interval.get("low")), _number(interval.get("high"))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


_TABLES: dict[str, Callable[[dict[str, Any]], Iterator[tuple[Sequence[str], Rows]]]] = {
    "slices": _slices,
    "fairness": _fairness,
    "explanation": _explanation,
    "calibration": _calibration,
    "baselines": _baselines,
    "staleness": _staleness,
    "leakage": _leakage,
}
