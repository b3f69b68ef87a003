"""The card of a model version: one Markdown page made of the ledger, with the author's words merged in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headwater.errors import NotFoundError
from headwater.lake import resolve
from headwater.model import Field, ModelVersion, get_model_version
from headwater.model.validation import expectation
from headwater.operation import operation
from headwater.project import Project

from .evidence import list_evidence
from .values import Evidence

if TYPE_CHECKING:
    from headwater.lake import Version

_UNSAID = "_The author has not said._"


@operation("model.card", needs="model:read")
def model_card(project: Project, model: str) -> str:
    """Return the card of a version as Markdown: contract, data, parameters, evidence with intervals, limits, use."""
    version = get_model_version(project, model)
    evidence = list_evidence(project, version.ref)
    parts = [
        *_head(version),
        *_words(version),
        *_contract(version),
        *_training(project, version),
        *_evaluations(evidence),
        *_comparisons(evidence),
        *_parity(version, evidence),
        *_files(version),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _head(version: ModelVersion) -> Iterator[str]:
    yield f"# {version.model} v{version.number}"
    yield ""
    yield f"{version.description[:1].upper()}{version.description[1:]}."
    yield ""
    author = f"{version.author} (claimed)" if version.claimed else version.author
    facts = [
        ("Author", author),
        ("Made", _time(version.created_at)),
        ("Served as", version.flavour),
        ("Id", version.id),
    ]
    facts += [("Run", version.run)] if version.run else []
    facts += [("Owner", version.card.owner)] if version.card.owner else []
    facts += [("Licence", version.card.licence)] if version.card.licence else []
    yield from _table(("", ""), facts)


def _words(version: ModelVersion) -> Iterator[str]:
    yield from ("## Intended use", "", version.card.intended_use or _UNSAID, "")
    yield from ("## Limits", "", version.card.limits or _UNSAID, "")
    if version.card.notes:
        yield from ("## Notes", "", version.card.notes, "")


def _contract(version: ModelVersion) -> Iterator[str]:
    for title, fields in (("Inputs", version.contract.inputs), ("Outputs", version.contract.outputs)):
        yield from (f"## {title}", "")
        yield from _table(("name", "accepts" if title == "Inputs" else "is", "meaning"), [_field(f) for f in fields])


def _field(field: Field) -> tuple[str, str, str]:
    return f"`{field.name}`", expectation(field), field.description


def _training(project: Project, version: ModelVersion) -> Iterator[str]:
    yield from ("## Training", "")
    rows = [_data_row(_find(project, each), each) for each in version.trained_on]
    if rows:
        yield from _table(("data", "rows", "source", "id"), rows)
    else:
        yield from ("No dataset version was named.", "")
    if version.params:
        yield from _table(("parameter", "value"), [(f"`{k}`", f"`{v}`") for k, v in sorted(version.params.items())])
    if version.metrics:
        yield from _table(("metric of the run", "value"), [(k, f"{v:.6g}") for k, v in sorted(version.metrics.items())])


def _find(project: Project, identifier: str) -> Version | None:
    try:
        return resolve(project, identifier)
    except NotFoundError:
        return None


def _data_row(version: Version | None, identifier: str) -> tuple[str, str, str, str]:
    if version is None:
        return "gone", "", "", identifier
    rows = f"{version.rows:,}" if version.rows is not None else ""
    return f"{version.dataset} v{version.number}", rows, version.source or version.message, version.id


def _evaluations(evidence: Sequence[Evidence]) -> Iterator[str]:
    yield from ("## Evaluation", "")
    found = [each for each in evidence if each.kind == "evaluation"]
    if not found:
        yield from ("No evaluation is recorded.", "")
    for each in found:
        body = each.body
        yield from (f"{body['rows']:,} rows, {body['window'] or 'no window named'} (evidence {each.id}).", "")
        columns = ("metric", "value", f"{body['level']:.0%} interval")
        yield from _table(columns, [_metric(name, value) for name, value in body["metrics"].items()])
        yield from _slices(body)


def _slices(body: dict[str, Any]) -> Iterator[str]:
    rows = []
    for each in body["slices"]:
        for name, value in list(each["metrics"].items())[:1]:
            rows.append((each["slice"], f"{each['rows']:,}", *_metric(name, value)))
    if rows:
        yield from _table(("slice", "rows", "metric", "value", "interval"), rows)


def _metric(name: str, value: dict[str, float]) -> tuple[str, str, str]:
    return name, f"{value['value']:.4g}", f"{value['low']:.4g} to {value['high']:.4g}"


def _comparisons(evidence: Iterable[Evidence]) -> Iterator[str]:
    found = [each for each in evidence if each.kind == "comparison"]
    if found:
        yield from ("## Comparison", "")
        yield from (f"- {each.body['sentence']} (evidence {each.id})." for each in found)
        yield ""


def _parity(version: ModelVersion, evidence: Iterable[Evidence]) -> Iterator[str]:
    yield from ("## Export parity", "")
    found = next((each for each in evidence if each.kind == "parity"), None)
    if found is None:
        said = "Served as the original." if version.flavour != "onnx" else "No parity search is recorded."
        yield from (said, "")
        return
    body = found.body
    yield from (f"{'Passed' if body['passed'] else '**Not passed**'}: {body['why']} (evidence {found.id}).", "")
    worst = body["worst"]
    yield f"Worst case, among {worst.get('kind', 'none')}: `{worst.get('output', '')}` is {worst.get('original')}"
    yield f"in the original and {worst.get('exported')} in the export, for:"
    yield ""
    yield from _table(("input", "value"), [(f"`{name}`", f"`{value}`") for name, value in worst.get("row", {}).items()])


def _files(version: ModelVersion) -> Iterator[str]:
    yield from ("## Files", "")
    rows = [(file.name, file.flavour, f"{file.size:,}", f"`{file.digest}`") for file in version.files]
    yield from _table(("file", "flavour", "bytes", "digest"), rows)
    if version.trusted:
        yield from (f"Loading constructs the trusted types {', '.join(version.trusted)}.", "")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(_cell(value) for value in row)} |"
    yield ""


def _cell(value: str) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%d %H:%M UTC")
