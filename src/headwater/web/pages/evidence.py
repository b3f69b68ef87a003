"""What was measured of a model version, read in order: is it good, against what, where not, for whom, why, how long."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from headwater.evaluate import KINDS, Evidence, command_for, find_evidence, list_evidence
from headwater.model import get_model_version
from headwater.project import Project

from ..rendering import page
from .common import read
from .evidence_charts import Spec, calibration, drawable, interval_row, intervals, staleness

_READ = 200
_SHOWN = 12


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement as the page shows it: verdict and colour, charts with what they show, and a table."""

    evidence: Evidence
    title: str
    verdict: str = ""
    colour: str = ""
    charts: tuple[tuple[Spec, str], ...] = ()
    headers: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()


async def evidence_page(request: Request) -> Response:
    """GET /models/{model}/{version}/evidence: a chart of each measurement, and the command for what is missing."""
    ref = f"{request.path_params['model']}@{request.path_params['version']}"

    def look(project: Project) -> dict[str, Any]:
        version = get_model_version(project, ref)
        found = list_evidence(project, version.ref, limit=_READ)
        data = list(dict.fromkeys(each for evidence in found for each in evidence.data))
        leakage = [one for each in data[:20] if (one := find_evidence(project, each, "leakage"))]
        return {"version": version, "found": [*found, *leakage]}

    seen = await read(request, look)
    version, found = seen["version"], _newest(seen["found"])
    sections = [_SECTIONS[each.kind](each) for each in found]
    there = {each.kind for each in found}
    missing = [
        (_QUESTIONS[kind], KINDS[kind].says, command_for(kind, version.label if kind != "leakage" else "SPLIT"))
        for kind in _SECTIONS
        if kind not in there
    ]
    return page(
        request,
        "evidence.html",
        title=f"Evidence on {version.label}",
        version=version,
        sections=sections,
        missing=missing,
        charts=any(each.charts for each in sections),
    )


def _newest(found: Sequence[Evidence]) -> list[Evidence]:
    """Return the newest of each kind (and attribute, champion, window, split), in the order of the page."""
    kept: dict[tuple[str, ...], Evidence] = {}
    for each in found:
        if each.kind in _SECTIONS:
            apart = {"fairness": "attribute", "comparison": "champion", "evaluation": "window", "leakage": "dataset"}
            kept.setdefault((each.kind, str(each.body.get(apart.get(each.kind, ""), ""))), each)
    order = list(_SECTIONS)
    return sorted(kept.values(), key=lambda each: order.index(each.kind))


def _evaluation(evidence: Evidence) -> Section:
    body = evidence.body
    main = next(iter(body["metrics"]))
    rows = [interval_row("all rows", body["metrics"][main])]
    rows += [interval_row(s["slice"], s["metrics"][main]) for s in body["slices"] if main in s["metrics"]]
    charts = ((intervals(drawable(rows), _words(main)), f"{_words(main)} on all rows and by slice"),)
    return Section(
        evidence=evidence,
        title=f"{_QUESTIONS['evaluation']} {body['window']}".strip(),
        charts=charts if len(drawable(rows)) > 1 else (),
        headers=("metric", "value", "low", "high"),
        rows=tuple((_words(name), *_ends(each)) for name, each in body["metrics"].items()),
    )


def _comparison(evidence: Evidence) -> Section:
    body = evidence.body
    verdict = "better" if body["better"] else "worse" if body["worse"] else "no difference shown"
    rows = drawable([interval_row(f"gain in {_words(body['metric'])}", body["gain"])])
    return Section(
        evidence=evidence,
        title=f"Against {body['champion_label']}",
        verdict=verdict,
        colour="good" if body["better"] else "bad" if body["worse"] else "warn",
        charts=((intervals(rows, "gain", mark=0.0), f"gain over {body['champion_label']} with its interval"),),
    )


def _baselines(evidence: Evidence) -> Section:
    body = evidence.body
    rows = drawable([interval_row(each["name"], each["gain"]) for each in body["baselines"]])
    return Section(
        evidence=evidence,
        title=_QUESTIONS["baselines"],
        verdict="beats each" if body["beats_all"] else "does not beat each",
        colour="good" if body["beats_all"] else "bad",
        charts=((intervals(rows, f"gain in {_words(body['metric'])} over it", mark=0.0), "gain over each baseline"),),
        headers=("baseline", _words(body["metric"]), "what it is"),
        rows=tuple((each["name"], _number(each["value"]), each["what"]) for each in body["baselines"]),
    )


def _slices(evidence: Evidence) -> Section:
    body = evidence.body
    rows = drawable([interval_row(each["slice"], each["gap"]) for each in body["found"] if each["confirmed"]])
    label = f"{_words(body['loss'])} more than elsewhere"
    return Section(
        evidence=evidence,
        title=_QUESTIONS["slices"],
        verdict=f"{body['confirmed']} confirmed" if body["confirmed"] else "none confirmed",
        colour="warn" if body["confirmed"] else "good",
        charts=((intervals(rows, label, mark=0.0), label),) if rows else (),
        headers=("slice", "rows", _words(body["loss"]), "elsewhere", "confirmed"),
        rows=tuple(
            (e["slice"], f"{e['rows']:,}", _number(e["value"]), _number(e["rest"]), "yes" if e["confirmed"] else "no")
            for e in body["found"]
        ),
    )


def _fairness(evidence: Evidence) -> Section:
    body = evidence.body
    names = [name for name in body["differences"] if name not in ("mae", "precision")]
    rows = drawable(
        [
            interval_row(_words(name), each["metrics"][name], group=each["group"])
            for name in names
            for each in body["groups"]
        ]
    )
    proxies = drawable([interval_row(each["input"], each["auc"]) for each in body["proxies"][:_SHOWN]])
    if body["recovered"]:
        proxies = [*proxies, interval_row("all inputs together", body["recovered"])]
    charts: list[tuple[Spec, str]] = [(intervals(rows, "", colour="group"), f"rates by {body['attribute']}")]
    if proxies:
        label = f"how well each input tells {body['attribute']} (AUC; 0.5: not at all)"
        charts.append((intervals(proxies, label, mark=0.5), label))
    return Section(
        evidence=evidence,
        title=f"{_QUESTIONS['fairness']} By {body['attribute']}",
        verdict="takes the attribute" if body["used"] else "does not take the attribute",
        charts=tuple(charts),
        headers=("furthest apart", "difference", "low", "high", "highest", "lowest"),
        rows=tuple(
            (_words(name), *_ends(each), each["highest"], each["lowest"]) for name, each in body["differences"].items()
        ),
    )


def _explanation(evidence: Evidence) -> Section:
    body = evidence.body
    rows = drawable([interval_row(each["input"], each["drop"]) for each in body["inputs"][:_SHOWN]])
    shapley = [
        {"name": each["input"], "value": each["mean_absolute"], "low": 0.0, "high": each["mean_absolute"]}
        for each in body["shapley"][:_SHOWN]
    ]
    charts = [(intervals(rows, f"{_words(body['metric'])} lost without it", mark=0.0), "what each input is worth")]
    if shapley:
        label = f"mean part in {_words(body['output'])} (Shapley values)"
        charts.append((intervals(shapley, label), label))
    return Section(evidence=evidence, title=_QUESTIONS["explanation"], charts=tuple(charts))


def _calibration(evidence: Evidence) -> Section:
    body = evidence.body
    return Section(
        evidence=evidence,
        title=_QUESTIONS["calibration"],
        verdict="calibrated" if body["calibrated"] else "not calibrated",
        colour="good" if body["calibrated"] else "bad",
        charts=((calibration(body["bins"], body["task"] != "regression"), "what came against what was said"),),
    )


def _staleness(evidence: Evidence) -> Section:
    body = evidence.body
    after = body["worse_after_days"]
    return Section(
        evidence=evidence,
        title=_QUESTIONS["staleness"],
        verdict=f"train again after {after:g} days" if after is not None else "no age was too old",
        colour="warn" if after is not None else "good",
        charts=((staleness(body["points"], _words(body["metric"])), f"{_words(body['metric'])} by age of version"),),
    )


def _leakage(evidence: Evidence) -> Section:
    body = evidence.body
    return Section(
        evidence=evidence,
        title=f"{_QUESTIONS['leakage']} {body['dataset']}",
        verdict="passed" if body["passed"] else "leaks",
        colour="good" if body["passed"] else "bad",
        headers=("check", "outcome", "what was found"),
        rows=tuple((each["check"], "passed" if each["passed"] else "failed", each["why"]) for each in body["checks"]),
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _number(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.4g}"


def _ends(interval: dict[str, float]) -> tuple[str, str, str]:
    return _number(interval["value"]), _number(interval["low"]), _number(interval["high"])


_SECTIONS: dict[str, Callable[[Evidence], Section]] = {
    "evaluation": _evaluation,
    "comparison": _comparison,
    "baselines": _baselines,
    "slices": _slices,
    "fairness": _fairness,
    "calibration": _calibration,
    "explanation": _explanation,
    "staleness": _staleness,
    "leakage": _leakage,
}
_QUESTIONS = {
    "evaluation": "Is it good?",
    "comparison": "Is it better than another version?",
    "baselines": "Is a simpler model as good?",
    "slices": "Where is it worse?",
    "fairness": "Whom does it treat otherwise?",
    "calibration": "Does it mean what it says?",
    "explanation": "What does it go by?",
    "staleness": "How long does it last?",
    "leakage": "Were the parts kept apart?",
}
