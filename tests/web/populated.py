"""A small project in which everything the pages show is there once: built once, copied for tests that change it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headwater.check import publish_tables
from headwater.errors import NotFoundError
from headwater.evaluate import compare_models, evaluate_model, register_model
from headwater.ingest import pull
from headwater.jobs import submit
from headwater.lake import set_description, tag
from headwater.model import CardText, ModelVersion
from headwater.monitor import run_monitor
from headwater.project import Actor, LocalProject, Project, create_project
from headwater.release import approve, request_release
from headwater.serve import Engine, Outcome, record_outcomes
from headwater.track import track

HOUR = 3_600_000_000
DAY = 24 * HOUR
START = 1_767_225_600_000_000  # 2026-01-01
FEATURES = ("distance", "hour", "dep_delay")
FLOW = """
from headwater.flow import flow, step

@step
def clean(month):
    return month

@step
def fit(rows, rate):
    return rate

@flow
def train(month="2026-02", rate=0.5):
    return fit(clean(month), rate)
"""
SETTINGS = """
[project]
name = "flights"

[[checks.flights]]
kind = "range"
name = "hour of day"
columns = ["hour"]
min = 0
max = 24
why = "Hours beyond a day mean a shifted column."
owner = "flights team"
do = "Look at the rows shown and add the month again."

[[checks.flights]]
kind = "nulls"
name = "distance known"
columns = ["distance"]
max_share = 0.0

[channels.staging]
gates = ["parity"]

[channels.production]
gates = ["parity", "bar:auc>0.55"]
approvals = 1
not_author = true

[[monitors]]
name = "delay-in-production"
model = "delay"
window = "1d"
kinds = ["quality", "drift", "performance"]
alpha = 0.01
lag = "1d"

[[triggers]]
name = "retrain-on-alarm"
on = "alarm"
operation = "monitor.run"
arguments = { name = "delay-in-production" }

[[source]]
name = "stations"
kind = "files"
dataset = "stations"
path = "stations.csv"
description = "Weather stations near the airports, exported by hand."

[[source]]
name = "partner"
kind = "files"
dataset = "partner"
under = "{airline}"
path = "inbox/{airline}"
parameters = ["airline"]

[[triggers]]
name = "stations-every-morning"
on = "schedule"
cron = "0 6 * * *"
operation = "ingest.pull"
arguments = { name = "stations" }
"""


class SetClock:
    """A clock that goes on by 20 milliseconds each time it is read, and can be set."""

    def __init__(self, at: int) -> None:
        self.at = at

    def __call__(self) -> int:
        self.at += 20_000
        return self.at


def flights(seed: int, rows: int = 600) -> pd.DataFrame:
    """Return flights; those that leave late in the day, or late already, arrive late more often."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "distance": random.gamma(3, 300, rows).round(1),
            "hour": random.integers(5, 23, rows).astype(float),
            "dep_delay": random.normal(4, 15, rows).round(1),
        }
    )
    chance = 1 / (1 + np.exp(-((frame["hour"] - 14) / 4 + frame["dep_delay"] / 10)))
    return frame.assign(late=random.random(rows) < chance)


def populate(folder: Path) -> None:
    """Make the project in a folder, and close it."""
    folder.mkdir(parents=True)
    (folder / "headwater.toml").write_text(SETTINGS)
    clock = SetClock(START)
    with create_project(folder, actor="ann", clock=clock) as project:
        _add_data(project)
        _pull(project, folder)
        clock.at = START + 8 * HOUR
        _search(project)
        (folder / "flows.py").write_text(FLOW)
        submit(project, "monitor.run", {"name": "delay-in-production"})
        clock.at = START + 9 * HOUR
        runs = [_train(project, clock, rate) for rate in (0.1, 0.5, 1.0)]
        clock.at = START + 12 * HOUR
        first, second = _register(project, runs[0], 0.01, ("hour",)), _register(project, runs[2], 1.0, FEATURES)
        _measure(project, first, second)
        clock.at = START + 14 * HOUR
        _release(project, first)
        _serve(project, clock)
        request_release(_as(project, "ben"), second.id, "staging", "smaller error on last month")
        request_release(_as(project, "ben"), second.id, "production", "better than v1 on the same rows of February")


def _as(project: LocalProject, name: str) -> Project:
    return project.as_actor(Actor(name=name, claimed=True))


def _add_data(project: Project) -> None:
    january, february = flights(1), flights(2)
    months = {"2026-01": january}
    publish_tables(project, "flights", months, message="January", source="timetable export of January")
    months["2026-02"] = february
    publish_tables(project, "flights", months, message="February added", source="timetable export of February")
    bad = {"2026-03": flights(3).assign(hour=lambda rows: rows["hour"] + 10)}
    found = publish_tables(project, "flights", bad, message="March, one column off", source="timetable export of March")
    assert not found.published
    set_description(project, "flights", "Departures of three airports, a file a month, weather left out.")
    tag(project, "flights", "winter", "v2", why="what the first models were trained on")
    publish_tables(project, "airports", {"airports": pd.DataFrame({"code": ["EWR", "JFK", "LGA"]})}, message="three")


def _pull(project: Project, folder: Path) -> None:
    """Pull one source three times, the last of which changes nothing, and another that fails."""
    for rows in ("EWR,3", "EWR,3\nJFK,5"):
        (folder / "stations.csv").write_text(f"airport,stations\n{rows}\n")
        pull(project, "stations")
    pull(project, "stations")
    with suppress(NotFoundError):
        pull(project, "partner", {"airline": "UA"})


def _search(project: Project) -> None:
    """Leave what a search over two parameters leaves: a run of its own, and one for each trial."""
    space = {"depth": "2..9", "rate": "1e-3..1:log"}
    settings = {"flow": "flows:train", "space": space, "objective": "auc", "maximize": True, "arguments": {}}
    with track(project, "train search", {"search": json.dumps(settings)}, kind="search") as search:
        for number in range(8):
            params = {"depth": 2 + number, "rate": 10 ** (-3 + number % 4)}
            tags = {"search": search.id, "trial": str(number)}
            with track(project, "train", params, tags=tags, parent=search.id) as run:
                run.log(auc=0.6 + number % 5 / 20)


def _train(project: Project, clock: SetClock, rate: float) -> str:
    with track(project, "train", {"rate": rate, "features": 3, "seed": 7}, tags={"team": "delays"}) as run:
        for step in range(40):
            run.log(loss=0.4 + 0.3 * np.exp(-step * rate / 4), auc=0.8 - 0.2 * np.exp(-step * rate / 5), step=step)
        run.log(rows=1200)
        run.say(f"trained on 1,200 rows at rate {rate}")
        run.artefact(b"importance: hour, dep_delay, distance\n", "importance.txt")
        clock.at += 95_000_000
    return run.id


def _register(project: Project, run: str, strength: float, columns: Sequence[str]) -> ModelVersion:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = pd.concat([flights(1), flights(2)], ignore_index=True)
    sample = rows[list(FEATURES)]
    blunted = sample.assign(**{name: 0.0 for name in FEATURES if name not in columns})
    estimator = make_pipeline(StandardScaler(), LogisticRegression(C=strength)).fit(blunted, rows["late"])
    return register_model(
        project,
        "delay",
        estimator,
        sample,
        params={"C": strength, "features": ", ".join(columns)},
        run=run,
        trained_on=[_version_id(project)],
        card=CardText(
            intended_use="Telling passengers before they leave home.",
            limits="Knows nothing of the weather; do not plan crews with it.",
            owner="delays team",
        ),
    )


def _version_id(project: Project) -> str:
    from headwater.lake import resolve

    return resolve(project, "flights@v2").id


def _measure(project: Project, first: ModelVersion, second: ModelVersion) -> None:
    for version in (first, second):
        for window, where in (("all rows", None), ("evenings", "hour >= 17")):
            evaluate_model(
                project, version.id, "flights@v2", "late", where=where, window=window, slices=(), resamples=100
            )
    compare_models(project, first.id, second.id, "flights@v2", "late", window="all rows", resamples=100)


def _release(project: LocalProject, first: ModelVersion) -> None:
    request_release(project, first.id, "staging", "first model")
    made = request_release(project, first.id, "production", "first model, good enough to begin with")
    approve(_as(project, "maria"), made.id, "gates are open and the card is honest")


def _serve(project: LocalProject, clock: SetClock) -> None:
    engine = Engine(project)
    engine.start()
    try:
        for day in range(1, 6):
            rows = flights(10 + day, 60)
            if day >= 4:
                rows = rows.assign(dep_delay=rows["dep_delay"] + 25)
            at = START + day * DAY + 10 * HOUR
            clock.at = at
            answer = engine.predict("delay", _plain(rows[list(FEATURES)]), occurred_at=at)
            told = [
                Outcome(prediction=each["id"], label=bool(late), occurred_at=at + 3 * HOUR)
                for each, late in zip(answer.predictions, rows["late"], strict=True)
            ]
            record_outcomes(project, told, source="arrivals")
    finally:
        engine.close()
    clock.at = START + 8 * DAY
    run_monitor(project, "delay-in-production", upto=START + 8 * DAY)


def _plain(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): float(value) for key, value in row.items()} for row in rows.to_dict("records")]
