"""Names that explain: what tells a run, or anything else with parameters, from the one before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import params as parameters
from .values import Run

if TYPE_CHECKING:
    from headwater.ledger import Tx

_SHOWN = 3
_LONGEST = 40
# The run of the same kind and name before it, by one walk down the index ``runs_by_name``.
_BEFORE = """
SELECT r.id AS id, (
    SELECT p.id FROM runs p WHERE p.name = r.name AND p.kind = r.kind AND p.shelf = 0
    AND (p.started_at, p.id) < (r.started_at, r.id) ORDER BY p.started_at DESC, p.id DESC LIMIT 1
) AS before FROM runs r WHERE r.id IN ({marks})
"""


def changed_parameters(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yield a phrase for each of the first parameters that differ, ``depth 8 → 12``, and how many more there are."""
    a, b = parameters.flatten(before), parameters.flatten(after)
    changed = [name for name in sorted(a.keys() | b.keys()) if shown(a.get(name)) != shown(b.get(name))]
    for name in changed[:_SHOWN]:
        if name not in a:
            yield f"{name} = {shown(b[name])}"
        elif name not in b:
            yield f"without {name}"
        else:
            yield f"{name} {shown(a[name])} → {shown(b[name])}"
    if len(changed) > _SHOWN:
        yield f"{len(changed) - _SHOWN} more parameters"


def shown(value: Any) -> str:
    """Return a parameter's value as short text."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}…"


def tell_runs(tx: Tx, runs: Sequence[Run]) -> tuple[str, ...]:
    """Return for each run what tells it from the run of its kind and name before it: parameters, code, packages."""
    if not runs:
        return ()
    marks = ", ".join("?" * len(runs))
    before = {row.id: row.before for row in tx.all(_BEFORE.format(marks=marks), [run.id for run in runs])}
    known: dict[str, tuple[Mapping[str, Any], str, Mapping[str, str]]] = {
        run.id: (run.params, run.code, run.environment) for run in runs
    }
    known |= _others(tx, [each for each in before.values() if each and each not in known])
    return tuple(_told(known.get(before.get(run.id) or ""), run) for run in runs)


def _others(tx: Tx, ids: Sequence[str]) -> dict[str, tuple[Mapping[str, Any], str, Mapping[str, str]]]:
    from .runs import read_runs

    return {run.id: (run.params, run.code, run.environment) for run in read_runs(tx, sorted(set(ids)))}


def _told(before: tuple[Mapping[str, Any], str, Mapping[str, str]] | None, run: Run) -> str:
    if before is None:
        return "first of its name"
    params, code, environment = before
    said = list(changed_parameters(params, run.params))
    if code != run.code:
        said.append("other code")
    elif not code and environment.get("commit") != run.environment.get("commit"):
        said.append(f"commit {run.environment.get('commit', 'none')[:7]}")
    if environment.get("packages") != run.environment.get("packages"):
        said.append("other packages")
    return ", ".join(said) or "the same again"
