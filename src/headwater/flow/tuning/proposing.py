"""What a search tries next: every combination, at random, or where earlier trials did well (Optuna)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from headwater.errors import InvalidInputError, MissingExtraError

from .spaces import Dimension, grid

SAMPLERS = ("grid", "random", "tpe")
PRUNERS = ("none", "median", "halving")


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One trial of a search: its run, its place, what it tried, how it ended and what the objective came to.

    ``status`` is that of its run, or ``pruned``: stopped because others were better at the same step.
    """

    run: str
    number: int
    params: dict[str, Any]
    status: str
    value: float | None = None
    seconds: float | None = None


class Proposer(Protocol):
    """Says what to try next, hears how it went, and may advise to give a trial up."""

    def ask(self, number: int) -> dict[str, Any] | None:
        """Return the parameters of a trial; None when there is nothing left to try."""
        ...

    def tell(self, trial: Trial) -> None:
        """Hear how a trial ended, in this search or in the one it goes on from."""
        ...

    def give_up(self, number: int, points: Sequence[tuple[int, float]]) -> bool:
        """Tell whether a running trial with these points (step, value) of the objective is not worth going on."""
        ...


def make_proposer(sampler: str, pruner: str, space: Mapping[str, Dimension], *, maximize: bool, seed: int) -> Proposer:
    """Return the proposer of a search.

    Raises:
        InvalidInputError: there is no such sampler or pruner, or the space has no grid.
        MissingExtraError: it needs Optuna, which is not installed.
    """
    for given, known, what in ((sampler, SAMPLERS, "sampler"), (pruner, PRUNERS, "pruner")):
        if given not in known:
            raise InvalidInputError(f"there is no {what} '{given}'. There are: {', '.join(known)}.", **{what: given})
    if pruner == "none" and sampler in ("grid", "random"):
        return _Grid(space) if sampler == "grid" else _Random(space, seed)
    return _Optuna(sampler, pruner, space, maximize=maximize, seed=seed)


class _Grid:
    def __init__(self, space: Mapping[str, Dimension]) -> None:
        self._all = grid(space)

    def ask(self, number: int) -> dict[str, Any] | None:
        return self._all[number] if number < len(self._all) else None

    def tell(self, trial: Trial) -> None:
        return None

    def give_up(self, number: int, points: Sequence[tuple[int, float]]) -> bool:
        return False


class _Random(_Grid):
    """Each trial's values depend on the seed and its number alone: a search that goes on draws what it would have."""

    def __init__(self, space: Mapping[str, Dimension], seed: int) -> None:
        self._space, self._seed = space, seed

    def ask(self, number: int) -> dict[str, Any] | None:
        chance = random.Random(f"{self._seed}:{number}")
        return {name: dimension.draw(chance) for name, dimension in self._space.items()}


class _Optuna:
    """Optuna by ask and tell. The study lives in memory: what it knows is told from the ledger's trials."""

    def __init__(self, sampler: str, pruner: str, space: Mapping[str, Dimension], *, maximize: bool, seed: int) -> None:
        optuna = _optuna()
        self._distributions = {name: _distribution(optuna, each) for name, each in space.items()}
        self._choices = {name: each.choices for name, each in space.items() if each.choices}
        self._study = optuna.create_study(
            direction="maximize" if maximize else "minimize",
            sampler=_sampler(optuna, sampler, seed),
            pruner=_pruner(optuna, pruner),
        )
        self._combinations = grid(space) if sampler == "grid" else None
        self._asked: dict[int, Any] = {}
        self._reported: dict[int, set[int]] = {}

    def ask(self, number: int) -> dict[str, Any] | None:
        if self._combinations is not None:
            if number >= len(self._combinations):
                return None
            self._study.enqueue_trial(self._spelled(self._combinations[number]))
        trial = self._asked[number] = self._study.ask(self._distributions)
        return {
            name: self._choices[name][value] if name in self._choices else value for name, value in trial.params.items()
        }

    def tell(self, trial: Trial) -> None:
        from optuna.trial import TrialState, create_trial

        states = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
        state = states.get(trial.status, TrialState.FAIL)
        if state == TrialState.COMPLETE and trial.value is None:
            state = TrialState.FAIL
        value = trial.value if state == TrialState.COMPLETE else None
        asked = self._asked.pop(trial.number, None)
        if asked is not None:
            self._study.tell(asked, value, state=state)
        elif state == TrialState.COMPLETE:
            self._study.add_trial(
                create_trial(
                    state=state, value=value, params=self._spelled(trial.params), distributions=self._distributions
                )
            )

    def give_up(self, number: int, points: Sequence[tuple[int, float]]) -> bool:
        trial = self._asked[number]
        reported = self._reported.setdefault(number, set())
        for step, value in points:
            if step not in reported:
                reported.add(step)
                trial.report(value, step)
        return bool(trial.should_prune())

    def _spelled(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters as the study has them: a choice by its place, since Optuna takes only plain values."""
        return {
            name: self._choices[name].index(value) if name in self._choices else value
            for name, value in params.items()
            if name in self._distributions
        }


def importance(space: Mapping[str, Dimension], trials: Sequence[Trial], *, maximize: bool) -> dict[str, float]:
    """Return how much of what separates good trials from the rest each parameter explains; shares of 1.

    By PED-ANOVA (Watanabe et al., 2023) as Optuna computes it. Empty below four finished trials.

    Raises:
        MissingExtraError: Optuna is not installed.
    """
    optuna = _optuna()
    finished = [each for each in trials if each.status == "done" and each.value is not None]
    if len(finished) < 4 or len({each.value for each in finished}) < 2:
        return {}
    proposer = _Optuna("random", "none", space, maximize=maximize, seed=0)
    for each in finished:
        proposer.tell(each)
    found = optuna.importance.get_param_importances(
        proposer._study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
    )
    return {name: float(share) for name, share in found.items()}


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("optuna", "tuning", "this search over parameters") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _distribution(optuna: Any, dimension: Dimension) -> Any:
    made = optuna.distributions
    if dimension.choices:
        return made.CategoricalDistribution(range(len(dimension.choices)))
    if dimension.whole:
        step = 1 if dimension.log else int(dimension.step or 1)
        return made.IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log, step=step)
    return made.FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _sampler(optuna: Any, name: str, seed: int) -> Any:
    made = optuna.samplers
    if name == "tpe":
        return made.TPESampler(seed=seed, constant_liar=True)
    return made.RandomSampler(seed=seed)


def _pruner(optuna: Any, name: str) -> Any:
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1)
    return optuna.pruners.SuccessiveHalvingPruner() if name == "halving" else optuna.pruners.NopPruner()
