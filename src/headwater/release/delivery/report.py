"""The metric report of a candidate against what a channel points to now, as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headwater.errors import NotFoundError
from headwater.evaluate import Evidence, list_evidence
from headwater.lake import resolve
from headwater.model import ModelVersion, find_model_version, get_model_version
from headwater.operation import operation
from headwater.project import Project
from headwater.track import Run, get_run

from ..requests import check_gates
from .markdown import code, plain, table

MOST_SLICES = 15
"""How many slices a report shows: those that lost most, or where nothing is to compare with, the first."""
MOST_CHARACTERS = 60_000
"""How long a report may be; a comment on GitHub takes 65,536 characters."""


@operation("release.report", needs="release:read")
def release_report(project: Project, candidate: str, channel: str = "production", *, against: str = "") -> str:
    """Return what is known of a candidate beside the version a channel points to (or ``against``), as Markdown.

    Made of recorded evidence alone: metrics with intervals on the same rows, slices, the channel's gates, and what
    changed (data, parameters, code). The first line is a comment that names the model, by which a later report is
    put in the place of an earlier one.

    Raises:
        NotFoundError: there is no such version.
    """
    new = get_model_version(project, candidate)
    old = get_model_version(project, against) if against else find_model_version(project, f"{new.model}@{channel}")
    old = None if old is not None and old.id == new.id else old
    evidence = list_evidence(project, new.ref)
    lines = [
        *_head(new, old, channel, evidence),
        *_metrics(project, new, old, evidence),
        *_own_tests(evidence),
        *_gates(project, new, channel),
        *_changes(project, new, old),
        *_sources(evidence),
    ]
    text = "\n".join(lines).rstrip() + "\n"
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS].rsplit("\n", 1)[0] + "\n\n… (cut)\n"


def _head(new: ModelVersion, old: ModelVersion | None, channel: str, evidence: Sequence[Evidence]) -> Iterator[str]:
    yield f"<!-- headwater report: {new.model} -->"
    against = f"against {code(old.label)}" if old else "with nothing to compare with"
    yield f"## {code(new.label)} {against} ({plain(channel)})"
    yield ""
    compared = _comparison(old, evidence)
    if compared is not None:
        verdict = "better" if compared.get("better") else "worse" if compared.get("worse") else "no clear difference"
        yield f"**{verdict.capitalize()}**: {plain(compared.get('sentence', ''))}."
        yield ""
    elif old is not None:
        yield (
            f"No comparison is recorded: {code(f'hw model compare {old.label} {new.label} DATA --target COLUMN')} "
            "makes one."
        )
        yield ""
    yield f"{plain(new.description)}; by {plain(new.author)}{' (claimed)' if new.claimed else ''}."
    yield ""


def _comparison(old: ModelVersion | None, evidence: Sequence[Evidence]) -> dict[str, Any] | None:
    found = (each.body for each in evidence if each.kind == "comparison")
    return next((body for body in found if old and body.get("champion") == old.id), None)


def _metrics(
    project: Project, new: ModelVersion, old: ModelVersion | None, evidence: Sequence[Evidence]
) -> Iterator[str]:
    newest = next((each.body for each in evidence if each.kind == "evaluation"), None)
    yield "### Metrics"
    yield ""
    if newest is None:
        yield f"No evaluation is recorded: {code(f'hw model evaluate {new.label} DATA --target COLUMN')} makes one."
        yield ""
        return
    before = _same_rows(project, old, newest)
    where = f", {plain(newest['window'])}" if newest.get("window") else ""
    yield f"On {newest['rows']:,} rows{where}, with {newest.get('level', 0.95):.0%} intervals."
    if old is not None and before is None:
        yield f"{code(old.label)} was not measured on these rows."
    yield ""
    yield from _metric_table(new, old, newest["metrics"], before["metrics"] if before else {})
    yield from _slices(new, old, newest.get("slices", ()), before.get("slices", ()) if before else ())


def _same_rows(project: Project, old: ModelVersion | None, newest: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the older version's evaluation on the very same rows, if there is one."""
    if old is None:
        return None
    found = (each.body for each in list_evidence(project, old.ref, kind="evaluation"))
    return next((body for body in found if body.get("rows_digest") == newest.get("rows_digest")), None)


def _metric_table(
    new: ModelVersion, old: ModelVersion | None, metrics: Mapping[str, Any], before: Mapping[str, Any]
) -> Iterator[str]:
    if not before:
        alone = [(code(name), _number(value), _interval(value)) for name, value in metrics.items()]
        yield from table(("metric", plain(f"v{new.number}"), "interval"), alone, right=(1,))
        return
    rows = []
    for name, value in metrics.items():
        was = before.get(name)
        rows.append(
            (code(name), _number(was), _number(value), _change(name, was, value), _interval(was), _interval(value))
        )
    names = _names(new, old)
    yield from table(
        ("metric", names[0], names[1], "change", f"interval {names[0]}", f"interval {names[1]}"), rows, right=(1, 2, 3)
    )


def _slices(
    new: ModelVersion,
    old: ModelVersion | None,
    slices: Sequence[Mapping[str, Any]],
    before: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    """Yield the slices by their first metric, those that lost most first."""
    known = {each["slice"]: each for each in before}
    found = []
    for each in slices:
        name, value = next(iter(each["metrics"].items()), ("", None))
        if name:
            was = known.get(each["slice"], {}).get("metrics", {}).get(name)
            found.append((_loss(name, was, value), each, name, was, value))
    if not found:
        return
    found.sort(key=lambda item: -item[0])
    yield from ("### Slices", "")
    if len(found) > MOST_SLICES:
        yield from (f"{MOST_SLICES} of {len(found)}, those that lost most first.", "")
    if not known:
        alone = [
            (code(each["slice"]), f"{each['rows']:,}", code(name), _number(value))
            for _, each, name, _, value in found[:MOST_SLICES]
        ]
        yield from table(("slice", "rows", "metric", f"v{new.number}"), alone, right=(1, 3))
        return
    rows = [
        (code(each["slice"]), f"{each['rows']:,}", code(name), _number(was), _number(value), _change(name, was, value))
        for _, each, name, was, value in found[:MOST_SLICES]
    ]
    yield from table(("slice", "rows", "metric", *_names(new, old), "change"), rows, right=(1, 3, 4, 5))


def _names(new: ModelVersion, old: ModelVersion | None) -> tuple[str, str]:
    if old is None:
        return "before", f"v{new.number}"
    return (f"v{old.number}", f"v{new.number}") if old.model == new.model else (plain(old.label), plain(new.label))


def _own_tests(evidence: Sequence[Evidence]) -> Iterator[str]:
    newest = next((each.body for each in evidence if each.kind == "tests"), None)
    if newest and newest.get("commands"):
        yield from ("### Tests", "")
        rows = [
            ("✅" if each["passed"] else "❌", code(each["command"]), f"{each['seconds']:.1f} s")
            for each in newest["commands"]
        ]
        yield from table(("", "command", "took"), rows, right=(2,))


def _gates(project: Project, new: ModelVersion, channel: str) -> Iterator[str]:
    gates = check_gates(project, new.ref, channel)
    yield from (f"### Gates of {plain(channel)}", "")
    if not gates:
        yield from (f"{plain(channel)} declares no gates.", "")
        return
    rows = [
        ("✅" if each.open else "❌", code(each.name), plain(each.found), plain(each.wants), code(each.do))
        for each in gates
    ]
    yield from table(("", "gate", "found", "wants", "do"), rows)


def _changes(project: Project, new: ModelVersion, old: ModelVersion | None) -> Iterator[str]:
    """Yield what differs from the older version: data, parameters and where the code stood."""
    yield from ("### What changed", "")
    runs = (_run(project, old), _run(project, new))
    rows: list[tuple[str, ...]] = [("data", ", ".join(_data(project, old)), ", ".join(_data(project, new)))]
    was, now = (old.params if old else {}), new.params
    for name in sorted(was.keys() | now.keys()):
        if name not in was or name not in now or was[name] != now[name]:
            rows.append((f"parameter {code(name)}", _value(was, name), _value(now, name)))
    rows.append(("commit", *(code(_commit(run)) for run in runs)))
    rows.append(("trained in", *(f"{run.seconds:.1f} s" if run and run.seconds is not None else "" for run in runs)))
    kept = [row for row in rows if row[1] or row[2]]
    if old is None:
        yield from table(("", f"v{new.number}"), [(row[0], row[2]) for row in kept])
    else:
        yield from table(("", *_names(new, old)), kept)


def _data(project: Project, version: ModelVersion | None) -> list[str]:
    found = []
    for each in version.trained_on if version else ():
        try:
            data = resolve(project, each)
        except NotFoundError:
            found.append("deleted")
            continue
        found.append(code(data.ref) + (f" ({data.rows:,} rows)" if data.rows is not None else ""))
    return found


def _run(project: Project, version: ModelVersion | None) -> Run | None:
    if version is None or version.run is None:
        return None
    try:
        return get_run(project, version.run)
    except NotFoundError:
        return None


def _commit(run: Run | None) -> str:
    if run is None or "commit" not in run.environment:
        return ""
    return run.environment["commit"][:12] + (" and changes" if run.environment.get("diff") else "")


def _sources(evidence: Sequence[Evidence]) -> Iterator[str]:
    kinds = ("evaluation", "comparison", "parity", "tests")
    found = [each for each in evidence if each.kind in kinds]
    if found:
        yield from ("<details><summary>Evidence</summary>", "")
        yield from (f"- {plain(each.kind)}: {code(each.ref)} by {plain(each.maker)}" for each in found[:20])
        yield from ("", "</details>")


def _value(params: Mapping[str, Any], name: str) -> str:
    return code(params[name]) if name in params else ""


def _number(value: Mapping[str, float] | None) -> str:
    return f"{value['value']:.4g}" if value else ""


def _interval(value: Mapping[str, float] | None) -> str:
    return f"{value['low']:.4g} to {value['high']:.4g}" if value else ""


def _change(name: str, was: Mapping[str, float] | None, now: Mapping[str, float] | None) -> str:
    if not was or not now:
        return ""
    lost = _loss(name, was, now)
    return f"{now['value'] - was['value']:+.4g}{' ▼' if lost > 0 else ' ▲' if lost < 0 else ''}"


def _loss(name: str, was: Mapping[str, float] | None, now: Mapping[str, float] | None) -> float:
    """Return how much worse a metric became, whichever way it points; 0 where that cannot be told."""
    from headwater.evaluate.metrics import HIGHER_IS_BETTER

    if not was or not now or name not in HIGHER_IS_BETTER:
        return 0.0
    difference = was["value"] - now["value"]
    return difference if HIGHER_IS_BETTER[name] else -difference
