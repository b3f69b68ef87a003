"""Drills: trying out on a version what readiness asks for, each recorded as evidence about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from headwater.check.drilling import drill_checks
from headwater.errors import HeadwaterError, InvalidInputError, NotFoundError
from headwater.evaluate import Evidence, record_evidence
from headwater.model import ContractError, Loaded, ModelVersion, example_row, get_model_version, load_version
from headwater.model.external import is_external, require_own
from headwater.operation import operation
from headwater.project import Project
from headwater.serve import list_predictions

from ..replaying import replay
from ..walking import trace

_ROWS = 8
_CLOSE = 1e-6
Row = dict[str, Any]


@operation("model.drill.checks", needs="model:write")
def drill_data_checks(project: Project, model: str) -> Evidence:
    """Plant faults in every input's column of the training data and record whether a declared check notices.

    Evidence of kind ``data_tests``: ``noticed`` (input to the faults noticed, each with the checks that did),
    ``unguarded`` (inputs of which no fault is noticed), ``declared`` (digests of the declarations), ``passed``.

    Raises:
        InvalidInputError: no training data are named, or nothing is declared for them.
    """
    version = get_model_version(project, model)
    if not version.trained_on:
        raise InvalidInputError(
            f"{version.label} names no dataset version that it was trained on, so there is nothing to plant faults in. "
            "Register the next version with trained_on=['DATASET@vN'].",
            model=version.label,
        )
    inputs = [field.name for field in version.contract.inputs]
    drills = [drill_checks(project, each, inputs) for each in version.trained_on]
    noticed: dict[str, dict[str, list[str]]] = {name: {} for name in inputs}
    for drill in drills:
        for name, faults in drill.noticed.items():
            for fault, checks in faults.items():
                noticed[name].setdefault(fault, []).extend(checks)
    unguarded = [name for name, faults in noticed.items() if not any(faults.values())]
    said = (
        f"no check notices a fault of {', '.join(unguarded[:8])}"
        if unguarded
        else "a check notices faults of every input"
    )
    body = {
        "noticed": noticed,
        "unguarded": unguarded,
        "declared": sorted({each.declared for each in drills}),
        "rows": sum(each.rows for each in drills),
        "passed": not unguarded,
        "sentence": said,
    }
    data = [f"version:{each}" for each in version.trained_on]
    return record_evidence(project, version.ref, "data_tests", body, data=data)


@operation("model.drill.spec", needs="model:write")
def drill_spec(project: Project, model: str) -> Evidence:
    """Test a version against its own contract and record how it went, as evidence of kind ``spec_tests``.

    Its answers are of the promised types, loading it again gives the same answers, neither the order nor the number of
    rows in a batch changes them, and rows that break the contract are refused. The body: ``tests`` [{test, passed,
    found}], ``passed``, ``sentence``.

    Raises:
        RefusedError: it is an external API, which is sent no rows for a drill.
    """
    version = get_model_version(project, model)
    require_own(
        version,
        "whether it answers as its contract says, the same each time and in any batch",
        f"evaluate it on answers that were asked for on purpose: hw model record {version.label} DATA.",
    )
    loaded = load_version(project, version)
    rows = _rows(project, version)
    tests = [
        {"test": name, "passed": not found, "found": found or "it holds"}
        for name, found in _spec_tests(project, version, loaded, rows)
    ]
    failed = [str(each["test"]) for each in tests if not each["passed"]]
    said = f"failed: {'; '.join(failed)}" if failed else f"all {len(tests)} tests passed on {len(rows)} rows"
    body = {"tests": tests, "rows": len(rows), "passed": not failed, "sentence": said}
    return record_evidence(project, version.ref, "spec_tests", body)


def _rows(project: Project, version: ModelVersion) -> list[Row]:
    """Return rows that keep the contract: the newest that it answered, else the contract's example."""
    served = [each.inputs for each in list_predictions(project, version=version.id, limit=_ROWS)]
    good = [row for row in served if row and not version.contract.problems([row])]
    return good or [example_row(version.contract)] * 2


def _spec_tests(project: Project, version: ModelVersion, loaded: Loaded, rows: list[Row]) -> Iterator[tuple[str, str]]:
    """Yield each test with what is wrong, '' where it holds."""
    answers = loaded.predict(rows)
    yield "answers are of the promised types", _wrong_types(version, answers)
    yield "loaded again it answers the same", _differs(answers, load_version(project, version).predict(rows), 0.0)
    yield "the order of rows does not matter", _differs(answers, loaded.predict(rows[::-1])[::-1], _CLOSE)
    single = [loaded.predict([row])[0] for row in rows]
    yield "a row alone is answered as in a batch", _differs(answers, single, _CLOSE)
    for what, bad in _bad_rows(version, rows[0]):
        yield f"{what} is refused", _accepted(loaded, bad)


def _wrong_types(version: ModelVersion, answers: list[Row]) -> str:
    kinds: dict[str, tuple[type, ...]] = {"float": (float, int), "int": (int,), "bool": (bool,), "str": (str,)}
    for field in version.contract.outputs:
        for answer in answers:
            value = answer.get(field.name)
            if value is None and field.nullable:
                continue
            if field.type in kinds and not isinstance(value, kinds[field.type]):
                return f"'{field.name}' is {value!r}, not {field.type}"
            if field.allowed is not None and value not in field.allowed:
                return f"'{field.name}' is {value!r}, which the contract does not allow"
            if isinstance(value, float) and not math.isfinite(value):
                return f"'{field.name}' is {value!r}"
    return ""


def _differs(a: list[Row], b: list[Row], tolerance: float) -> str:
    for place, (x, y) in enumerate(zip(a, b, strict=True)):
        for name in x:
            if not _equal(x[name], y[name], tolerance):
                return f"row {place}: '{name}' is {x[name]!r}, then {y[name]!r}"
    return ""


def _equal(x: Any, y: Any, tolerance: float) -> bool:
    if isinstance(x, float) and isinstance(y, float) and tolerance:
        return abs(x - y) <= tolerance * max(1.0, abs(x))
    return bool(x == y)


def _bad_rows(version: ModelVersion, good: Row) -> Iterator[tuple[str, Row]]:
    """Yield rows that no contract of this form may let in."""
    yield "a field that the contract does not name", {**good, "headwater_no_such_field": 1}
    for field in version.contract.inputs:
        if not field.nullable:
            yield f"a row without '{field.name}'", {name: good[name] for name in good if name != field.name}
        if field.type in ("float", "int"):
            yield f"text for '{field.name}'", {**good, field.name: "text"}
            yield f"infinity for '{field.name}'", {**good, field.name: math.inf}


def _accepted(loaded: Loaded, row: Row) -> str:
    try:
        loaded.predict([row])
    except ContractError:
        return ""
    except Exception as error:  # noqa: BLE001  # an engine's own words: the contract should have refused it before
        return f"the model was asked, and raised {type(error).__name__}: {str(error)[:120]}"
    return "it was answered"


@operation("model.drill.example", needs="model:write")
def drill_example(project: Project, model: str) -> Evidence:
    """Follow the newest prediction of a version to its sources, compute it again, and record it (kind ``example``).

    The body: ``prediction``, ``equal`` (byte for byte), ``steps`` (how many things it came from), ``sources`` (data
    versions among them), ``missing`` (things that the lineage names and the ledger lacks), ``passed``, ``sentence``.

    Raises:
        NotFoundError: the version has not answered yet.
    """
    version = get_model_version(project, model)
    newest = list_predictions(project, version=version.id, limit=1)
    if not newest:
        raise NotFoundError(
            f"{version.label} has given no prediction that is kept, so there is none to follow. Serve it first: "
            f"hw serve {version.model}@CHANNEL.",
            model=version.label,
        )
    prediction = newest[0].id
    if is_external(version):
        said, equal = "was not computed again (an external API is sent no rows for a drill; its answer is kept)", False
    else:
        said, equal = _replayed(lambda: replay(project, [prediction]).all_equal)
    graph = trace(project, f"prediction:{prediction}")
    sources = sorted(node.ref for node in graph.nodes if node.kind == "version")
    missing = sorted(node.ref for node in graph.nodes if node.missing)
    passed = equal and bool(sources) and not missing
    where = f"{len(sources)} data versions" if sources else "no data version"
    lacking = f", and {len(missing)} things that it came from are not there" if missing else ""
    body = {
        "prediction": prediction,
        "equal": equal,
        "steps": len(graph.nodes) - 1,
        "sources": sources,
        "missing": missing,
        "passed": passed,
        "sentence": f"prediction {prediction} {said}; it was followed to {where}{lacking}",
    }
    return record_evidence(project, version.ref, "example", body, data=[f"prediction:{prediction}"])


def _replayed(again: Callable[[], bool]) -> tuple[str, bool]:
    try:
        equal = again()
    except HeadwaterError as error:
        return f"could not be computed again ({error.message})", False
    return ("was computed again with equal bytes" if equal else "came out differently when computed again"), equal
