"""The sections of a card that are made of evidence: one function for each kind, and what was not measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from headwater.model import ModelVersion

from .card_text import Link, interval, moment, number, table
from .kinds import KINDS, command_for
from .values import Evidence

_SHOWN = 12
_LATEST = 4
_OWN_SHOWN = 30
Section = Callable[[Evidence, Link], Iterator[str]]


def evidence_sections(
    version: ModelVersion, evidence: Sequence[Evidence], now: int, link: Link, kinds: Sequence[str] = ()
) -> Iterator[str]:
    """Yield the sections of some kinds of evidence; of none named, of all but readiness, and what was not measured.

    ``evidence`` is newest first; ``now`` (UTC microseconds) decides what of a recorded readiness still holds.
    """
    by_kind: dict[str, list[Evidence]] = {}
    for each in evidence:
        by_kind.setdefault(each.kind, []).append(each)
    if "readiness" in kinds:
        yield from _readiness(version, by_kind.get("readiness", []), now, link)
        return
    for kind, (title, section, most) in _SECTIONS.items():
        found = by_kind.get(kind, [])[:most]
        if found:
            yield from (f"## {title}", "")
        elif kind == "evaluation":
            yield from (f"## {title}", "", "No evaluation is recorded.", "")
        for each in found:
            yield from section(each, link)
    yield from _parity(version, by_kind.get("parity", []), link)
    yield from _own([each for each in evidence if each.kind not in KINDS and each.kind != "readiness"], link)
    yield from _missing(version, by_kind.keys())


def _readiness(version: ModelVersion, found: list[Evidence], now: int, link: Link) -> Iterator[str]:
    yield from ("## Readiness", "")
    if not found:
        yield from (f"Not recorded: `hw model readiness {version.label}`.", "")
        return
    newest = found[0]
    body = newest.body
    tests = body.get("tests", {})
    expired = [name for name, each in tests.items() if each["points"] and (each["valid_until"] or now + 1) <= now]
    yield f"As of {moment(newest.created_at)} ({link.evidence(newest.id)}): {body.get('sentence', '')}."
    yield ""
    if expired:
        yield from (f"**Expired since: {', '.join(expired)}.**", "")
    yield from table(
        ("section", "points of 7"), [(name, f"{points:g}") for name, points in body.get("sections", {}).items()]
    )
    yield from table(
        ("phase of CRISP-ML(Q)", "checks met"),
        [(name, f"{each['met']} of {each['of']}") for name, each in body.get("phases", {}).items()],
    )


def _evaluation(each: Evidence, link: Link) -> Iterator[str]:
    body = each.body
    yield from (_measured_on(each, link), "")
    level = body.get("level")
    columns = ("metric", "value", f"{level:.0%} interval" if isinstance(level, float) else "interval")
    yield from table(columns, [(name, *interval(found)) for name, found in body.get("metrics", {}).items()])
    rows = []
    for part in body.get("slices", []):
        for name, found in list(part["metrics"].items())[:1]:
            rows.append((part["slice"], f"{part['rows']:,}", name, *interval(found)))
    yield from table(("slice", "rows", "metric", "value", "interval"), rows)


def _measured_on(each: Evidence, link: Link) -> str:
    rows = each.body.get("rows")
    counted = f"{rows:,} rows" if isinstance(rows, int) else "Rows not counted"
    return f"{counted}, {each.body.get('window') or 'no window named'} ({link.evidence(each.id)})."


def _sentence(each: Evidence, link: Link) -> Iterator[str]:
    said = str(each.body.get("sentence") or each.body.get("why") or "measured").rstrip(".")
    yield from (f"{said} ({link.evidence(each.id)}).", "")


def _calibration(each: Evidence, link: Link) -> Iterator[str]:
    yield from _sentence(each, link)
    body = each.body
    rows = [(name, *interval(body[name])) for name in ("error", "slope", "intercept") if body.get(name) is not None]
    yield from table(("calibration", "value", "interval"), rows)


def _slices(each: Evidence, link: Link) -> Iterator[str]:
    yield from _sentence(each, link)
    yield from table(
        ("slice found", "rows", "gap to the rest", "interval", "confirmed"),
        [
            (str(part["slice"]), number(part.get("rows")), *interval(part.get("gap")), _yes(part.get("confirmed")))
            for part in each.body.get("found", [])[:_SHOWN]
        ],
    )


def _fairness(each: Evidence, link: Link) -> Iterator[str]:
    yield from _sentence(each, link)
    body = each.body
    named = f"groups of {body.get('attribute', 'the attribute')} furthest apart"
    for title, part in (
        (named, body.get("differences", {})),
        ("ratio of the lowest to the highest", body.get("ratios")),
    ):
        yield from table(
            (title, "value", "interval", "highest", "lowest"),
            [
                (name, *interval(found), str(found.get("highest", "")), str(found.get("lowest", "")))
                for name, found in (part or {}).items()
            ],
        )
    yield from table(
        ("input that stands in for it", "AUC alone", "interval"),
        [(f"`{proxy['input']}`", *interval(proxy["auc"])) for proxy in body.get("proxies", [])[:_SHOWN]],
    )


def _explanation(each: Evidence, link: Link) -> Iterator[str]:
    yield from _sentence(each, link)
    yield from table(
        ("input shuffled", f"fall of {each.body.get('metric', 'the metric')}", "interval"),
        [(f"`{part['input']}`", *interval(part["drop"])) for part in each.body.get("inputs", [])[:_SHOWN]],
    )


def _baselines(each: Evidence, link: Link) -> Iterator[str]:
    yield from _sentence(each, link)
    yield from table(
        ("baseline", each.body.get("metric", "value"), "gain over it", "interval", "beaten"),
        [
            (str(part["name"]), number(part.get("value")), *interval(part.get("gain")), _yes(part.get("beaten")))
            for part in each.body.get("baselines", [])
        ],
    )


def _staleness(each: Evidence, link: Link) -> Iterator[str]:
    yield from _sentence(each, link)
    yield from table(
        ("version", "age in days", "rows", each.body.get("metric", "value"), "interval"),
        [
            (str(part["label"]), number(part["age_days"]), number(part["rows"]), *interval(part["metric"]))
            for part in each.body.get("points", [])[:_SHOWN]
        ],
    )


def _parity(version: ModelVersion, evidence: Sequence[Evidence], link: Link) -> Iterator[str]:
    yield from ("## Export parity", "")
    if not evidence:
        alone = len({file.flavour for file in version.files if file.flavour}) < 2
        yield from ("It has one form, and is served as that." if alone else "No parity search is recorded.", "")
    newest: dict[tuple[Any, Any], Evidence] = {}
    for each in evidence:
        newest.setdefault((each.body.get("original"), each.body.get("exported")), each)
    for (original, exported), each in newest.items():
        body = each.body
        verdict = "Passed" if body.get("passed") else "**Not passed**"
        named = f"{exported} against {original}: " if len(newest) > 1 else ""
        yield from (f"{named}{verdict}: {body.get('why', '')} ({link.evidence(each.id)}).", "")
        worst = body.get("worst", {})
        yield f"Worst case, among {worst.get('kind', 'none')}: `{worst.get('output', '')}` is {worst.get('original')}"
        yield f"in the original and {worst.get('exported')} in the export, for:"
        yield ""
        yield from table(
            ("input", "value"), [(f"`{name}`", f"`{value}`") for name, value in worst.get("row", {}).items()]
        )


def _own(evidence: Sequence[Evidence], link: Link) -> Iterator[str]:
    """Yield the newest evidence of each of the team's own kinds."""
    newest: dict[str, Evidence] = {}
    for each in evidence:
        newest.setdefault(each.kind, each)
    if newest:
        yield from ("## Other evidence", "")
    rows = []
    for kind, each in list(newest.items())[:_OWN_SHOWN]:
        said = each.body.get("sentence") or each.body.get("why")
        plain = ", ".join(f"{k}: {number(v)}" for k, v in each.body.items() if isinstance(v, str | int | float))
        passed = each.body.get("passed")
        rows.append((kind, "" if passed is None else _yes(passed), str(said or plain)[:300], link.evidence(each.id)))
    yield from table(("kind", "passed", "found", "where"), rows)


def _missing(version: ModelVersion, known: Any) -> Iterator[str]:
    one_form = len({file.flavour for file in version.files if file.flavour}) < 2
    missing = [
        kind
        for kind, each in KINDS.items()
        if each.subject == "modelversion" and kind not in known and not (kind == "parity" and one_form)
    ]
    if missing:
        yield from ("## Not measured", "")
        rows = [(kind, KINDS[kind].says, f"`{command_for(kind, version.label)}`") for kind in missing]
        yield from table(("evidence", "what it would say", "what makes it"), rows)


def _yes(value: Any) -> str:
    return "yes" if value else "no"


_SECTIONS: dict[str, tuple[str, Section, int]] = {
    "evaluation": ("Evaluation", _evaluation, _LATEST),
    "calibration": ("Calibration", _calibration, 1),
    "slices": ("Slices", _slices, 1),
    "fairness": ("Fairness", _fairness, _LATEST),
    "explanation": ("Explanation", _explanation, 1),
    "baselines": ("Baselines", _baselines, 1),
    "comparison": ("Comparison", _sentence, _LATEST),
    "staleness": ("Staleness", _staleness, 1),
}
"""Each kind's section: its title, what writes it, and how many of the newest are shown."""
