"""``hw data split`` and the measurements of ``hw model``: what they print and how they end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest

from headwater.check import publish_tables
from headwater.project import create_project
from tests.evaluate.measured import register_forest
from tests.model.delays import flights

from .running import done, hw

ON = ("parts@main", "--part", "test", "--target", "late")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with dated departures and two versions trained on them, in which the commands run."""
    rows = flights()
    tails = np.random.default_rng(0).integers(0, 300, len(rows)).astype(str)
    at = pandas.Timestamp("2026-01-01") + pandas.to_timedelta(np.arange(len(rows)), unit="h")
    with create_project(tmp_path / "shop", name="shop", actor="ann") as project:
        publish_tables(project, "flights", {"rows": rows.assign(tail=tails, at=at)})
        for iterations in (1, 10):
            register_forest(project, iterations, trained_on=["flights@main"])
    monkeypatch.chdir(tmp_path / "shop")
    monkeypatch.setenv("HEADWATER_AS", "ann")
    monkeypatch.delenv("HEADWATER_PROJECT", raising=False)
    return tmp_path / "shop"


def test_a_split_is_made_and_a_group_on_two_sides_ends_with_1(shop: Path) -> None:
    shares = ("--share", "train=0.8", "--share", "test=0.2")

    made = done("data", "split", "parts", "flights@main", "--by", "time", "--column", "at", *shares)
    leaky = hw("data", "leakage", "parts@main", "--group", "tail")
    wrong = hw("data", "split", "parts", "flights@main", "--share", "most")

    assert "no leakage between train, test" in made.out
    assert leaky.code == 1
    assert "of 'tail' in later parts are also in an earlier part" in leaky.out
    assert (wrong.code, "PART=NUMBER" in wrong.err) == (2, True)


def test_each_measurement_prints_its_sentence_and_its_table(shop: Path) -> None:
    done("data", "split", "parts", "flights@main", "--share", "train=0.8", "--share", "test=0.2")

    for words, said in (
        (("evaluate", "delay@v2", *ON, "--slice", "carrier"), "average_precision"),
        (("compare", "delay@v1", "delay@v2", *ON), "delay@v2 is better than delay@v1"),
        (("baselines", "delay@v2", *ON, "--train", "parts@main", "--train-part", "train"), "logistic regression"),
        (("slices", "delay@v2", *ON, "--loss", "bias"), "confirmed"),
        (("fairness", "delay@v2", *ON, "--attribute", "carrier"), "selection rate ratio"),
        (("calibration", "delay@v2", *ON), "predicted"),
        (("explain", "delay@v2", *ON, "--repeats", "1"), "mean |shapley|"),
    ):
        found = done("model", *words)

        assert said in found.out, words
        assert "recorded as evidence:" in found.out
    body = done("--json", "model", "calibration", "delay@v2", *ON).answer["body"]
    assert body["calibrated"] is False
    nothing_newer = hw("model", "staleness", "delay@v2", "flights@main", "--target", "late", "--time", "at")
    assert (nothing_newer.code, "Give newer data" in nothing_newer.err) == (2, True)
