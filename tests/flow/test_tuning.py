"""Searches over parameters: what is tried, that it goes on, and that bad trials are given up."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import InvalidInputError
from headwater.flow.tuning import list_trials, read_space, tune_flow
from headwater.flow.tuning.proposing import Trial, make_proposer
from headwater.flow.tuning.searching import parameter_importance
from headwater.flow.tuning.spaces import grid
from headwater.project import LocalProject, create_project
from headwater.track import get_run, list_runs

FLOW = """
import time
import headwater as hw
from headwater.flow import active_run


@hw.step
def loss(depth, rate, slow=0.0):
    if depth < 0:
        raise ValueError("no such depth")
    for step in range(40 if slow else 1):
        active_run().log(loss=(depth - 6) ** 2 + rate, step=step)
        time.sleep(slow)
    return (depth - 6) ** 2 + rate


@hw.flow
def fit(depth=3, rate=0.5, slow=0.0):
    return {"score": loss(depth, rate, slow).result()}
"""


@pytest.fixture
def place(tmp_path: Path) -> LocalProject:
    (tmp_path / "flows.py").write_text(FLOW)
    return create_project(tmp_path, name="test", actor="ann")


def test_a_grid_is_tried_whole_and_each_trial_is_a_run(place: LocalProject) -> None:
    found = tune_flow(place, "fit", {"depth": [4, 6, 8], "rate": "0|1"}, objective="score", sampler="grid", at_once=2)

    assert [(t.params["depth"], t.params["rate"], t.value) for t in found.trials] == [
        (4, 0, 4), (4, 1, 5), (6, 0, 0), (6, 1, 1), (8, 0, 4), (8, 1, 5),
    ]  # fmt: skip
    assert found.best is not None and found.best.params == {"depth": 6, "rate": 0}
    assert {run.status for run in list_runs(place, filter="kind = 'flow'").runs} == {"done"}
    assert get_run(place, found.best.run).parent == found.run
    shares = parameter_importance(place, found.run)
    assert shares["depth"] > shares["rate"] and sum(shares.values()) == pytest.approx(1)


def test_a_search_goes_on_where_it_was_stopped(place: LocalProject) -> None:
    space = {"depth": "0..9"}
    first = tune_flow(place, "fit", space, objective="loss", sampler="random", trials=2, seed=3)
    more = tune_flow(place, "fit", space, objective="loss", sampler="random", trials=4, seed=3, go_on=first.run)
    whole = tune_flow(place, "fit", space, objective="loss", sampler="random", trials=4, seed=3)

    assert [t.params for t in more.trials] == [t.params for t in whole.trials]
    assert [t.run for t in more.trials[:2]] == [t.run for t in first.trials]
    with pytest.raises(InvalidInputError, match="space differ"):
        tune_flow(place, "fit", {"depth": "1..9"}, objective="loss", go_on=first.run)


def test_a_trial_that_fails_is_told_and_the_search_goes_on(place: LocalProject) -> None:
    found = tune_flow(place, "fit", {"depth": [-1, 6]}, objective="loss", sampler="grid")

    assert [t.status for t in found.trials] == ["failed", "done"]
    assert found.best is not None and found.best.number == 1


def test_a_trial_that_is_behind_is_given_up(place: LocalProject) -> None:
    space = {"depth": [6, 6, 6, 6, 60]}
    found = tune_flow(
        place, "fit", space, objective="loss", sampler="grid", pruner="median", arguments={"slow": 0.1, "rate": 0}
    )

    # The first four are remembered after the first; the last is far behind from its first points on.
    assert [t.status for t in found.trials] == ["done", "done", "done", "done", "pruned"]
    assert get_run(place, found.trials[-1].run).status in ("killed", "cancelled")
    seconds = found.trials[-1].seconds
    assert seconds is not None and seconds < 3.9


def test_an_objective_that_no_trial_has_is_told_at_once(place: LocalProject) -> None:
    with pytest.raises(InvalidInputError, match=r"logged no metric 'auc'.*It has: loss"):
        tune_flow(place, "fit", {"depth": [1, 2]}, objective="auc", sampler="grid")
    with pytest.raises(InvalidInputError, match="It takes depth, rate, slow"):
        tune_flow(place, "fit", {"width": [1, 2]}, objective="auc", sampler="grid")


def test_a_killed_search_leaves_its_trials_and_goes_on(place: LocalProject, tmp_path: Path) -> None:
    script = (
        "from headwater.project import open_project\n"
        "from headwater.flow.tuning import tune_flow\n"
        f"with open_project({str(tmp_path)!r}) as p:\n"
        "    tune_flow(p, 'fit', {'depth': '0..9'}, objective='loss', sampler='random', trials=3, "
        "arguments={'slow': 0.02})\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path) as process:
        wait_for(lambda: len(list_runs(place, filter="kind = 'flow' and status = 'done'").runs) >= 1)
        os.kill(process.pid, signal.SIGKILL)
    search = list_runs(place, filter="kind = 'search'").runs[0]
    assert search.status == "killed"
    before = [t for t in list_trials(place, search.id).trials if t.status == "done"]
    done = tune_flow(
        place, "fit", {"depth": "0..9"}, objective="loss", sampler="random", trials=3, arguments={"slow": 0.02},
        go_on=search.id,
    )  # fmt: skip

    assert len(before) >= 1
    assert [t.status for t in done.trials] == ["done"] * 3
    assert {t.run for t in before} <= {t.run for t in done.trials}


def wait_for(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_spaces_are_read_or_refused_with_the_way_to_write_them() -> None:
    space = read_space({"a": "2..4", "b": "0.1..0.5:step=0.2", "c": "1e-3..1e-1:log", "d": ["x", "y"], "e": 7})
    chance = random.Random(1)
    drawn = [{name: each.draw(chance) for name, each in space.items()} for _ in range(200)]

    assert {each["a"] for each in drawn} == {2, 3, 4}
    assert {each["b"] for each in drawn} == {0.1, 0.3, 0.5}
    assert all(0.001 <= each["c"] <= 0.1 for each in drawn) and sum(each["c"] < 0.01 for each in drawn) in range(
        70, 130
    )
    assert len(grid({name: space[name] for name in "abde"})) == 3 * 3 * 2
    for bad, says in [
        ("9..2", "end is before"), ("0..1:log", "above 0"), ("1..2:step=0", "not above 0"), ("1..x", "is no range"),
    ]:  # fmt: skip
        with pytest.raises(InvalidInputError, match=says):
            read_space({"a": bad})
    with pytest.raises(InvalidInputError, match="endlessly many"):
        grid(read_space({"a": "0.1..0.2"}))


def test_an_optuna_search_looks_where_it_went_well() -> None:
    space = read_space({"x": "-10..10", "kind": ["a", {"b": 1}]})
    proposer = make_proposer("tpe", "none", space, maximize=False, seed=1)
    values = []
    for number in range(60):
        params = proposer.ask(number)
        assert params is not None and params["kind"] in ("a", {"b": 1})
        values.append(float((params["x"] - 3) ** 2))
        proposer.tell(Trial(run="r", number=number, params=params, status="done", value=values[-1]))

    assert sum(values[30:]) < 0.6 * sum(values[:30])
    with pytest.raises(InvalidInputError, match="grid, random, tpe"):
        make_proposer("best", "none", space, maximize=False, seed=1)
