"""A search over a flow's parameters. Each trial is a run, in a process of its own, so that it can be given up.

What a search knows are its runs: one that was stopped goes on from them in a new search.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import InvalidInputError
from headwater.operation import operation
from headwater.track.runs import get_run, read_runs, set_tags
from headwater.track.tracking import ActiveRun, track
from headwater.track.values import Run

from .processes import TrialProcess
from .proposing import Proposer, Trial, importance, make_proposer
from .spaces import read_space

if TYPE_CHECKING:
    from headwater.project import Project

KIND = "search"
_LOOK_S = 0.05
_PRUNE_S = 1.0
# A remembered step logs nothing again: its metrics are those of the run in which it ran.
_REMEMBERED = """
SELECT DISTINCT m.last AS last FROM tasks t JOIN tasks o ON o.result = t.result AND o.outcome = 'ran'
JOIN metric_summary m ON m.run = o.run WHERE t.run = ? AND t.outcome = 'remembered' AND m.key = ?
"""


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """A search and its trials by number, with those of the searches that it goes on from."""

    run: str
    flow: str
    status: str
    objective: str
    maximize: bool
    space: dict[str, Any]
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial | None:
        """The finished trial with the best value, the earlier of two; None while there is none."""
        found = [each for each in self.trials if each.status == "done" and each.value is not None]
        sign = -1 if self.maximize else 1
        return min(found, key=lambda each: (sign * (each.value or 0.0), each.number)) if found else None


@operation("flow.tune", needs="run:write")
def tune_flow(
    project: Project,
    flow: str,
    space: dict[str, Any],
    *,
    objective: str,
    maximize: bool = False,
    trials: int = 20,
    sampler: str = "tpe",
    pruner: str = "none",
    seed: int = 0,
    at_once: int = 1,
    arguments: dict[str, Any] | None = None,
    go_on: str | None = None,
) -> Search:
    """Run a flow with one set of parameters after the other and return the search.

    ``space`` says which values to try: see ``headwater.flow.tuning.spaces``. ``objective`` is a metric that a step
    logs, or a key of the mapping of numbers that the flow returns. ``trials`` counts those of ``go_on``, an earlier
    search of the same flow and space, too. ``pruner`` stops trials whose metric is behind that of others at the same
    step. With the same seed and ``at_once`` 1 the same values are tried in the same order.

    Raises:
        InvalidInputError: the space, the sampler or the objective cannot be used, or ``go_on`` searched otherwise.
        NotFoundError: there is no such flow or search.
        MissingExtraError: the sampler or the pruner needs Optuna.
    """
    if trials < 1 or at_once < 1:
        raise InvalidInputError("a search makes at least one trial, at least one at once.", trials=trials)
    dimensions = read_space(space)
    proposer = make_proposer(sampler, pruner, dimensions, maximize=maximize, seed=seed)
    found = _require_flow(project, flow, {**(arguments or {}), **dict.fromkeys(space)})
    settings: dict[str, Any] = {
        "flow": found, "space": space, "objective": objective, "maximize": maximize, "sampler": sampler,
        "pruner": pruner, "seed": seed, "arguments": arguments or {},
    }  # fmt: skip
    earlier = _earlier(project, go_on, settings) if go_on else None
    with track(
        project, f"{flow} search", {"search": msgspec.json.encode(settings, order="sorted").decode()}, kind=KIND,
        parent=earlier.run if earlier else None,
    ) as active:  # fmt: skip
        _Searching(project, active, found, settings, proposer, earlier).go(trials, at_once)
    return list_trials(project, active.id)


@operation("flow.trials", needs="run:read")
def list_trials(project: Project, search: str) -> Search:
    """Return a search with its trials.

    Raises:
        NotFoundError: there is no such run.
        InvalidInputError: the run is no search.
    """
    run = get_run(project, search)
    if run.kind != KIND:
        raise InvalidInputError(f"run {run.id} is of kind '{run.kind}', not a search.", run=run.id)
    settings = _settings(run)
    trials: dict[int, Trial] = {}
    for each in _chain(project, run):
        trials = {**trials, **{trial.number: trial for trial in _trials(project, each.id, settings["objective"])}}
    return Search(
        run=run.id,
        flow=settings["flow"],
        status=run.status,
        objective=settings["objective"],
        maximize=settings["maximize"],
        space=settings["space"],
        trials=tuple(trials[number] for number in sorted(trials)),
    )


@operation("flow.importance", needs="run:read")
def parameter_importance(project: Project, search: str) -> dict[str, float]:
    """Return the share that each parameter has in what separates good trials of a search from the rest.

    Raises:
        NotFoundError, InvalidInputError: as ``list_trials``.
        MissingExtraError: Optuna is not installed.
    """
    found = list_trials(project, search)
    return importance(read_space(found.space), found.trials, maximize=found.maximize)


class _Searching:
    """A search while it runs."""

    def __init__(
        self, project: Project, active: ActiveRun, flow: str, settings: Mapping[str, Any], proposer: Proposer,
        earlier: Search | None,
    ) -> None:  # fmt: skip
        self.project = project
        self.active = active
        self.flow = flow
        self.settings = settings
        self.proposer = proposer
        self.prunes = settings["pruner"] != "none"
        self.running: dict[int, TrialProcess] = {}
        self.done: set[int] = set()
        for trial in earlier.trials if earlier else ():
            if trial.status in ("done", "failed", "pruned"):
                self.done.add(trial.number)
                self.proposer.tell(trial)

    def go(self, trials: int, at_once: int) -> None:
        """Make the trials that are missing; what still runs is stopped when this ends, however it ends."""
        numbers = iter(number for number in range(trials) if number not in self.done)
        try:
            self._fill(numbers, at_once)
            pruned_at = time.monotonic()
            while self.running:
                time.sleep(_LOOK_S)
                for number in [number for number, each in self.running.items() if each.ended()]:
                    self._take(number, self.running.pop(number))
                    self._fill(numbers, at_once)
                if self.prunes and time.monotonic() - pruned_at >= _PRUNE_S:
                    pruned_at = time.monotonic()
                    self._prune()
        finally:
            for process in self.running.values():
                process.stop()

    def _fill(self, numbers: Iterator[int], at_once: int) -> None:
        while len(self.running) < at_once:
            number = next(numbers, None)
            params = None if number is None else self.proposer.ask(number)
            if number is None or params is None:
                return
            tags = {"search": self.active.id, "trial": str(number)}
            arguments = {**self.settings["arguments"], **params}
            self.running[number] = TrialProcess(self.project, self.flow, arguments, self.active.id, tags)

    def _take(self, number: int, process: TrialProcess) -> None:
        """Hear how a trial ended, and tell the proposer."""
        tried = process.tried()
        found = next((each for each in _trials(self.project, self.active.id, self.settings["objective"])
                      if each.number == number), None)  # fmt: skip
        if found is None:
            raise InvalidInputError(f"trial {number} did not begin: {tried.error or 'its process ended'}.")
        if found.status == "done" and found.value is None:
            value = self._value_of(found.run, tried.value)
            if value is not None:
                self._log(found.run, self.settings["objective"], value)
                found = msgspec.structs.replace(found, value=value)
        if found.status == "done" and found.value is None:
            self._objective_missing(found)
        self.proposer.tell(found)
        if found.value is not None and found.status == "done":
            self.active.log({"value": found.value}, step=number)
        self.active.say(f"trial {number}: {found.status}, {self.settings['objective']} = {found.value}, {found.params}")

    def _value_of(self, run: str, returned: float | dict[str, float] | None) -> float | None:
        """Return the objective of a run that logged none: what it returned, or what its steps logged once."""
        objective = self.settings["objective"]
        if returned is not None:
            value = returned.get(objective) if isinstance(returned, dict) else returned
            if value is not None:
                return value
        with self.project.ledger.read() as tx:
            rows = tx.all(_REMEMBERED, (run, objective))
        return float(rows[0].last) if len({row.last for row in rows}) == 1 and rows[0].last is not None else None

    def _log(self, run: str, objective: str, value: float) -> None:
        from headwater.track.metrics import fold_metrics, log_metrics
        from headwater.track.values import Point

        log_metrics(self.project, run, [Point(key=objective, value=value)])
        fold_metrics(self.project, [run])

    def _objective_missing(self, trial: Trial) -> None:
        known = ", ".join(get_run(self.project, trial.run).metrics) or "none"
        raise InvalidInputError(
            f"trial {trial.number} logged no metric '{self.settings['objective']}' and returned none. It has: {known}. "
            "Log it in a step, or return it: return {'auc': ...}.",
            run=trial.run,
        )

    def _prune(self) -> None:
        from headwater.errors import NotFoundError
        from headwater.track.series import metric_series

        for number, process in self.running.items():
            run = _run_of_trial(self.project, self.active.id, number)
            if run is None or process.given_up:
                continue
            with suppress(NotFoundError):
                series = metric_series(self.project, run, self.settings["objective"])
                points = [(point.step, point.value) for point in series.points]
                if self.proposer.give_up(number, points):
                    set_tags(self.project, run, {"pruned": f"at step {points[-1][0]}"})
                    process.give_up()


def _require_flow(project: Project, flow: str, arguments: dict[str, Any]) -> str:
    from ..finding import find_flow
    from ..running import check_arguments

    if project.root is None:
        raise InvalidInputError("this project was opened by URL: call tune_flow on it, or 'hw tune' with --project.")
    found = find_flow(project, flow, project.root)
    check_arguments(found.flow, arguments)
    return str(found.ref)


def _earlier(project: Project, go_on: str, settings: Mapping[str, Any]) -> Search:
    found = list_trials(project, go_on)
    before = _settings(get_run(project, go_on))
    differing = [key for key in ("flow", "space", "objective", "maximize", "arguments") if before[key] != settings[key]]
    if differing:
        raise InvalidInputError(
            f"search {found.run} cannot go on: {', '.join(differing)} differ from what it searched. "
            "Give the same, or begin a new search.",
            run=found.run,
            differing=differing,
        )
    return found


def _settings(run: Run) -> dict[str, Any]:
    return msgspec.json.decode(run.params["search"], type=dict[str, Any])


def _chain(project: Project, run: Run) -> list[Run]:
    """Return a search and those that it goes on from, the earliest first."""
    found = [run]
    while found[0].parent:
        before = get_run(project, found[0].parent)
        if before.kind != KIND:
            break
        found.insert(0, before)
    return found


def _trials(project: Project, search: str, objective: str) -> list[Trial]:
    from headwater.track.metrics import fold_metrics

    with project.ledger.read() as tx:
        ids = _children(tx, search)
    fold_metrics(project, ids)
    with project.ledger.read() as tx:
        runs = read_runs(tx, ids)
    return [_trial_of(run, objective) for run in runs if "trial" in run.tags]


def _children(tx: Any, search: str) -> list[str]:
    rows = tx.all("SELECT child FROM edges WHERE parent = ? AND role = 'parent' ORDER BY child", (f"run:{search}",))
    return [row.child.removeprefix("run:") for row in rows]


def _run_of_trial(project: Project, search: str, number: int) -> str | None:
    with project.ledger.read() as tx:
        for run in _children(tx, search):
            found = tx.value("SELECT value FROM run_tags WHERE run = ? AND key = 'trial'", (run,))
            if found == str(number):
                return run
    return None


def _trial_of(run: Run, objective: str) -> Trial:
    summary = run.metrics.get(objective)
    return Trial(
        run=run.id,
        number=int(run.tags["trial"]),
        params=run.params,
        status="pruned" if "pruned" in run.tags else run.status,
        value=None if summary is None else summary.last,
        seconds=run.seconds,
    )
