"""A small model with real files, and a channel moved as a release moves it: what serving, monitoring and trace need."""

from __future__ import annotations

from functools import cache
from typing import Any

from headwater.ledger import Ledger
from headwater.model import ModelVersion
from headwater.project import LocalProject, Project
from tests.model.registered import registered

FEATURES = ("distance", "hour", "delay")


@cache
def training(seed: int = 0, rows: int = 4000) -> tuple[dict[str, Any], Any]:
    """Return columns of inputs and the truth: late when far, in the evening, or late already."""
    import numpy as np

    random = np.random.default_rng(seed)
    distance = random.gamma(3, 300, rows)
    hour = random.integers(5, 23, rows).astype(float)
    delay = random.normal(0, 15, rows)
    chance = 1 / (1 + np.exp(-(distance / 900 + (hour - 14) / 4 + delay / 10 - 1)))
    return {"distance": distance, "hour": hour, "delay": delay}, random.random(rows) < chance


@cache
def estimator(depth: int) -> Any:
    """Return a classifier fitted on ``training``; another depth is another model."""
    import pandas
    from sklearn.ensemble import GradientBoostingClassifier

    columns, truth = training()
    model = GradientBoostingClassifier(n_estimators=20, max_depth=depth, random_state=0)
    return model.fit(pandas.DataFrame(columns), truth)


def add_version(project: Project, depth: int = 2, model: str = "delay", **more: Any) -> ModelVersion:
    """Register a version of the model."""
    import pandas

    sample = pandas.DataFrame(training()[0])
    return registered(project, model, estimator(depth), sample, params={"depth": depth}, **more)


def point(project: LocalProject, version: ModelVersion, channel: str = "production") -> None:
    """Move a channel as a release does: the pointer and the announcement in one transaction."""
    point_in(project.ledger, version, channel)


def point_in(ledger: Ledger, version: ModelVersion, channel: str = "production") -> None:
    """As ``point``, with a ledger alone."""
    name = f"{version.model}/{channel}"
    with ledger.write() as tx:
        tx.move_pointer("channel", name, expected=tx.pointer("channel", name), new=version.id, why="test", by="ann")
        tx.announce("release", f"release:{tx.new_id()}")


def row(number: int = 0) -> dict[str, Any]:
    """Return one row of the training inputs."""
    columns, _ = training()
    return {name: float(values[number]) for name, values in columns.items()}
