"""Running all checks of a version: every failure is collected, and the tables are scanned as few times as can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..errors import HeadwaterError, InvalidInputError
from ..lake.declared import Declared, find_declared
from ..lake.refs import MAIN, find_version, get_version
from ..lake.scanning import scan
from ..lake.table import Table
from ..lake.values import Version
from ..operation import operation
from ..project import Project
from .comparisons import DistributionChange, RowCountChange
from .functions import Declaration, importing_from, load_checks, traceback_text
from .rule import Judgement, Rule
from .rules import Freshness, Nulls, Range, Schema, Unique, missing_columns
from .scene import SAMPLE, VIEWS, Scene
from .sqltext import as_json
from .values import CheckResult, Outcome, Verdict
from .verdicts import record_verdict

KINDS: dict[str, type[Rule]] = {
    cls.kind: cls for cls in (Schema, Range, Nulls, Unique, Freshness, RowCountChange, DistributionChange)
}
MESSAGES = 50


@operation("check.run", needs="data:write")
def run_checks(project: Project, ref: str, *, branch: str = MAIN) -> Verdict:
    """Run everything declared for a version's dataset and record the verdict, which is also returned.

    Comparisons are with the head of ``branch``, or, where that is the version itself, with its first parent. A check
    that crashes has failed. A dataset without declarations gets a passed verdict with no results.

    Raises:
        NotFoundError: the ref names nothing.
        InvalidInputError: a declaration cannot be used; the message names it.
    """
    with project.ledger.read() as tx:
        version = find_version(tx, ref)
        head = tx.pointer("branch", f"{version.dataset}/{branch}")
        compared = head if head != version.id else next(iter(version.parents), None)
        baseline = get_version(tx, compared) if compared else None
    declared = find_declared(project, version.dataset)
    results = _results(project, version, baseline, declared) if declared else ()
    with project.ledger.write() as tx:
        return record_verdict(
            tx,
            project,
            version=version.id,
            dataset=version.dataset,
            outcome=_worst(results),
            results=results,
            declared=declared.digest if declared else "",
            baseline=baseline.id if baseline else None,
        )


def _results(
    project: Project, version: Version, baseline: Version | None, declared: Declared
) -> tuple[CheckResult, ...]:
    rules = [rule_of(version.dataset, row) for row in declared.rows if row.get("kind") != "python"]
    results = _ruled(rules, Scene(project, version, baseline)) if rules else []
    if declared.code is not None:
        results += _called(project, version, declared.code)
    for row in declared.rows:
        if row.get("kind") == "python":
            results = _described(results, row, declared.code is not None)
    return tuple(results)


def rule_of(dataset: str, row: dict[str, Any]) -> Rule:
    """Return the rule that a ``[[checks.<dataset>]]`` table declares.

    Raises:
        InvalidInputError: the kind is unknown or an option cannot be used.
    """
    kind = row.get("kind")
    if kind not in KINDS:
        raise InvalidInputError(
            f"[[checks.{dataset}]] in headwater.toml has kind = {kind!r}. There are {', '.join(KINDS)} and python.",
            dataset=dataset,
        )
    return KINDS[str(kind)](dataset, row)


def _worst(results: Sequence[CheckResult]) -> Outcome:
    outcomes = {result.outcome for result in results}
    return "failed" if "failed" in outcomes else "warned" if "warned" in outcomes else "passed"


# ---- declared rules


def _ruled(rules: list[Rule], scene: Scene) -> list[CheckResult]:
    if not scene.tables:
        return [_result(rule, Judgement(False, "the version holds no table to check"), scene) for rule in rules]
    judged: dict[int, Judgement] = {}
    ready: list[Rule] = []
    for rule in rules:
        view = VIEWS[rule.scope]
        if not scene.entries(view):
            judged[id(rule)] = Judgement(True, "no file is new")
        elif absent := missing_columns(rule, scene.types(view)):
            judged[id(rule)] = absent
        else:
            ready.append(rule)
    comparing = [rule for rule in ready if rule.compares] if scene.baseline_tables else []
    bounds = _measured(comparing, scene, lambda r: "baseline", lambda r, t: r.asks_of_baseline(t), judged)
    for rule in comparing:
        rule.bounds = bounds.get(id(rule), ())
    counts = _measured(comparing, scene, lambda r: "baseline", lambda r, t: r.counts_of_baseline(t), judged)
    for rule in comparing:
        rule.reference = counts.get(id(rule), ())
    found = _measured(ready, scene, lambda r: VIEWS[r.scope], lambda r, t: r.measures(t), judged)
    for rule in ready:
        if id(rule) not in judged:
            judged[id(rule)] = _judged(rule, found[id(rule)], scene)
    return [_result(rule, judged[id(rule)], scene) for rule in rules]


def _measured(
    rules: list[Rule],
    scene: Scene,
    view_of: Callable[[Rule], str],
    asks: Callable[[Rule, dict[str, str]], list[str]],
    judged: dict[int, Judgement],
) -> dict[int, tuple[Any, ...]]:
    """Return each rule's aggregates, all rules of a view in one scan; a rule that cannot be measured has failed."""
    values: dict[int, tuple[Any, ...]] = {}
    for view in dict.fromkeys(view_of(rule) for rule in rules):
        parts = {
            id(rule): (rule, asks(rule, scene.types(view)))
            for rule in rules
            if view_of(rule) == view and id(rule) not in judged
        }
        try:
            row = scene.measure(view, [sql for _, wanted in parts.values() for sql in wanted])
        except HeadwaterError:
            values |= _one_by_one(parts, scene, view, judged)
            continue
        at = 0
        for key, (_, wanted) in parts.items():
            values[key] = row[at : at + len(wanted)]
            at += len(wanted)
    return values


def _one_by_one(
    parts: dict[int, tuple[Rule, list[str]]], scene: Scene, view: str, judged: dict[int, Judgement]
) -> dict[int, tuple[Any, ...]]:
    """Measure rules apart, after one of them broke the common scan, to find which."""
    values: dict[int, tuple[Any, ...]] = {}
    for key, (_, wanted) in parts.items():
        try:
            values[key] = scene.measure(view, wanted)
        except HeadwaterError as error:
            judged[key] = Judgement(False, f"it could not be evaluated: {error.message}")
    return values


def _judged(rule: Rule, measured: tuple[Any, ...], scene: Scene) -> Judgement:
    try:
        return rule.judge(measured, scene)
    except HeadwaterError as error:
        return Judgement(False, f"it could not be evaluated: {error.message}")


def _result(rule: Rule, judgement: Judgement, scene: Scene) -> CheckResult:
    outcome: Outcome = "passed" if judgement.ok else "failed" if rule.severity == "fail" else "warned"
    sample = judgement.sample
    if not judgement.ok and judgement.sample_sql:
        sample = scene.sample(judgement.sample_sql)
    return CheckResult(
        name=rule.name,
        kind=rule.kind,
        outcome=outcome,
        found=judgement.found,
        value=judgement.value,
        expected=judgement.expected,
        why=rule.why,
        owner=rule.owner,
        do=rule.do,
        sample=sample,
    )


# ---- functions


def _called(project: Project, version: Version, source: bytes) -> list[CheckResult]:
    folder = project.root or Path()
    try:
        found = load_checks(source, folder, version.dataset)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the user's own code; kept as a failed check
        broken = Declaration(
            dataset=version.dataset,
            name="checks.py",
            why="A check that cannot be loaded checks nothing.",
            owner="",
            do="Correct the file, then run the checks again.",
            severity="fail",
        )
        return [_crashed(broken, error, folder)]
    if not found:
        return [
            CheckResult(
                name="checks.py",
                kind="python",
                outcome="failed",
                found=f"the file names '{version.dataset}' in a decorator, and declares no check of it when it runs",
                do="Keep checks at the top level of the file, under @hw.check.",
            )
        ]
    table: Table | HeadwaterError
    try:
        table = scan(project, version.id)
    except HeadwaterError as error:
        table = error
    with importing_from(folder):
        return [_call(declared, function, table, folder) for declared, function in found]


def _call(
    declared: Declaration, function: Callable[[Any], Any], table: Table | HeadwaterError, folder: Path
) -> CheckResult:
    try:
        if isinstance(table, HeadwaterError):
            raise table
        answer = function(table)
        if isinstance(answer, Table):  # evaluated here: what breaks in it is the check's own
            return _rows_answered(declared, answer)
    except AssertionError as error:
        said = str(error).strip() or _line_of(error)
        return _answered(declared, False, said)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the user's own code; kept as a failed check
        return _crashed(declared, error, folder)
    if answer is None or answer is True:
        return _answered(declared, True, "it holds")
    if answer is False:
        return _answered(declared, False, "it does not hold")
    if isinstance(answer, list | tuple) and all(isinstance(text, str) for text in answer):
        shown = "; ".join(answer[:MESSAGES])
        return _answered(declared, not answer, shown or "it holds", len(answer))
    if type(answer).__name__ in ("bool_", "bool"):  # numpy's truth
        return _answered(declared, bool(answer), "it holds" if answer else "it does not hold")
    problem = (
        f"it returned {type(answer).__name__}, and must return True or False, a list of messages, a Table, or nothing"
    )
    return msgspec.structs.replace(_answered(declared, False, problem), outcome="failed")


def _rows_answered(declared: Declaration, broken: Table) -> CheckResult:
    """Return the result of a check that answers with the rows that break it."""
    count = int(broken.sql("SELECT count(*) FROM data").fetchall()[0][0])
    said = f"{count:,} row{'' if count == 1 else 's'} break{'s' if count == 1 else ''} it" if count else "it holds"
    rows = broken.sql(f"SELECT * FROM data LIMIT {SAMPLE}").to_dicts() if count else []
    sample = tuple({name: as_json(value) for name, value in row.items()} for row in rows)
    return msgspec.structs.replace(_answered(declared, not count, said, count), sample=sample)


def _line_of(error: AssertionError) -> str:
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    return f"assertion failed: {frames[-1].line}" if frames and frames[-1].line else "an assertion failed"


def _answered(declared: Declaration, ok: bool, found: str, value: int | None = None) -> CheckResult:
    outcome: Outcome = "passed" if ok else "failed" if declared.severity == "fail" else "warned"
    return CheckResult(
        name=declared.name,
        kind="python",
        outcome=outcome,
        found=found,
        value=value,
        why=declared.why,
        owner=declared.owner,
        do=declared.do,
    )


def _crashed(declared: Declaration, error: BaseException, folder: Path) -> CheckResult:
    found = _answered(declared, False, f"it crashed: {type(error).__name__}: {error}")
    return msgspec.structs.replace(found, outcome="failed", traceback=traceback_text(error, folder))


def _described(results: list[CheckResult], row: dict[str, Any], has_code: bool) -> list[CheckResult]:
    """Return the results with what a ``kind = "python"`` table says of the function it names."""
    name = str(row.get("name", ""))
    if any(result.kind == "python" and result.name in (name, "checks.py") for result in results):
        said = {key: str(row[key]) for key in ("why", "owner", "do") if key in row}
        return [msgspec.structs.replace(r, **said) if r.name == name and r.kind == "python" else r for r in results]
    place = "checks.py declares no such function of this dataset" if has_code else "the project has no checks.py"
    absent = CheckResult(
        name=name or "python",
        kind="python",
        outcome="failed",
        found=f"headwater.toml names the check '{name}', and {place}",
        why=str(row.get("why", "")),
        owner=str(row.get("owner", "")),
        do=str(row.get("do", "")) or "Write the function under @hw.check, or remove the table.",
    )
    return [*results, absent]
