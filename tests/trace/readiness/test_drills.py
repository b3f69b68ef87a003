from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headwater.check import publish_tables
from headwater.check.drilling import drill_checks
from headwater.errors import InvalidInputError, NotFoundError, RefusedError
from headwater.lake import add_table
from headwater.model import Loaded, ModelFile, ModelVersion, register, trust
from headwater.monitor import run_monitor
from headwater.project import LocalProject, Project
from headwater.serve import Outcome, predict, record_outcomes
from headwater.trace.readiness import drill_data_checks, drill_example, drill_spec, drills, model_readiness
from tests.model.made import api_files, made
from tests.model.vendors import Vendor
from tests.projects import make_local
from tests.serve.models import add_version, point, row, training

DAY = 86_400_000_000
START = 1_767_225_600_000_000
SETTINGS = """
[[checks.flights]]
kind = "range"
name = "distances"
columns = ["distance"]
min = 0
max = 20000

[[checks.flights]]
kind = "nulls"
name = "hours known"
columns = ["hour"]

[[monitors]]
name = "daily"
model = "delay"
window = "1d"
kinds = ["quality", "drift", "performance"]
"""
CHECKS = """
import headwater as hw


@hw.check("flights")
def delays_vary(table):
    '''Delays differ.'''
    low, high = table.sql("SELECT min(delay), max(delay) FROM data").fetchall()[0]
    return high - low > 1
"""


@pytest.fixture
def ready(request: pytest.FixtureRequest, project_folder: Path) -> Iterator[LocalProject]:
    (project_folder / "headwater.toml").write_text(SETTINGS)
    with make_local("sqlite", project_folder, request) as project:
        yield project


def trained(project: Project) -> ModelVersion:
    """Publish the training rows, checked, and register a version that names them."""
    import pandas

    publish_tables(project, "flights", {"rows": pandas.DataFrame(training()[0])}, message="rows", source="airline")
    return add_version(project, trained_on=["flights@v1"], onnx=False)


def points(project: Project, version: ModelVersion, *tests: str) -> list[float]:
    found = model_readiness(project, version.id)
    return [found.test(name).points for name in tests]


def test_planted_faults_show_which_checks_notice_and_which_inputs_nothing_guards(ready: LocalProject) -> None:
    version = trained(ready)

    body = drill_data_checks(ready, version.id).body

    assert body["noticed"]["distance"] == {
        "missing": [],
        "the same everywhere": [],
        "far too large": ["distances"],
        "gone": ["distances"],
    }
    assert body["noticed"]["hour"]["missing"] == ["hours known"]
    assert (body["unguarded"], body["passed"], body["rows"]) == (["delay"], False, 4000)
    assert points(ready, version, "D1") == [0.0]


def test_a_check_in_code_guards_too_and_a_check_that_was_taken_away_is_missed(ready: LocalProject) -> None:
    (Path(ready.folder) / "checks.py").write_text(CHECKS)
    version = trained(ready)

    body = drill_data_checks(ready, version.id).body

    assert body["noticed"]["delay"]["the same everywhere"] == ["delays_vary"]
    assert body["passed"] is True
    assert points(ready, version, "D1") == [0.5]
    (Path(ready.folder) / "checks.py").unlink()
    assert "no check notices a fault of delay" in drill_data_checks(ready, version.id).body["sentence"]
    assert points(ready, version, "D1") == [0.0]


def test_a_drill_leaves_no_trace_in_the_data_and_says_where_nothing_is_declared(ready: LocalProject) -> None:
    import pandas

    trained(ready)
    with ready.ledger.read() as tx:
        before = tx.value("SELECT COUNT(*) FROM versions"), tx.value("SELECT COUNT(*) FROM verdicts")
    drill_checks(ready, "flights@v1")
    with ready.ledger.read() as tx:
        assert (tx.value("SELECT COUNT(*) FROM versions"), tx.value("SELECT COUNT(*) FROM verdicts")) == before

    add_table(ready, "trains", "rows.parquet", pandas.DataFrame({"x": [1]}))
    with pytest.raises(InvalidInputError, match=r"\[\[checks.trains\]\]"):
        drill_checks(ready, "trains@v1")
    with pytest.raises(InvalidInputError, match="names no dataset version"):
        drill_data_checks(ready, add_version(ready, onnx=False).id)


def test_a_version_that_keeps_its_contract_passes_the_tests_of_its_specification(project: Project) -> None:
    version = add_version(project, onnx=False)

    made = drill_spec(project, version.label)

    assert made.body["passed"] is True
    assert {each["test"] for each in made.body["tests"]} > {
        "answers are of the promised types",
        "loaded again it answers the same",
        "text for 'hour' is refused",
        "infinity for 'hour' is refused",
    }
    assert points(project, version, "I2") == [0.5]


def test_a_model_that_answers_by_the_place_in_the_batch_fails_the_specification(
    ready: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = add_version(ready, onnx=False)
    honest = Loaded.predict

    def crooked(self: Loaded, rows: Sequence[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
        answers = honest(self, rows, **options)
        return [{**each, "probability": place / 10} for place, each in enumerate(answers)]

    monkeypatch.setattr(Loaded, "predict", crooked)
    body = drill_spec(ready, version.id).body

    failed = {each["test"] for each in body["tests"] if not each["passed"]}
    assert failed == {"the order of rows does not matter", "a row alone is answered as in a batch"}
    assert points(ready, version, "I2") == [0.0]


def test_a_model_whose_contract_lets_everything_in_fails_the_specification(
    ready: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = add_version(ready, onnx=False)
    honest = Loaded.predict

    def credulous(self: Loaded, rows: Sequence[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
        return honest(self, [row() for _ in rows], **options)

    monkeypatch.setattr(Loaded, "predict", credulous)

    assert "text for 'hour' is refused" in drill_spec(ready, version.id).body["sentence"]


def test_an_example_is_followed_to_its_sources_and_computed_again(ready: LocalProject) -> None:
    version = trained(ready)
    with pytest.raises(NotFoundError, match="has given no prediction"):
        drill_example(ready, version.id)
    point(ready, version)
    predict(ready, "delay", [row(1)])

    body = drill_example(ready, version.id).body

    assert (body["equal"], len(body["sources"]), body["missing"], body["passed"]) == (True, 1, [], True)
    assert points(ready, version, "I5") == [0.5]


def test_an_example_whose_data_are_not_named_is_not_debuggable(ready: LocalProject) -> None:
    version = add_version(ready, onnx=False)
    point(ready, version)
    predict(ready, "delay", [row(1)])

    assert drill_example(ready, version.id).body["passed"] is False
    assert points(ready, version, "I5") == [0.0]


def test_monitors_over_production_score_until_an_alarm_opens(ready: LocalProject) -> None:
    version = add_version(ready, onnx=False)
    point(ready, version)
    assert points(ready, version, "Mo2", "Mo3", "Mo5", "Mo7") == [0, 0, 0, 0]
    columns, truth = training()
    chosen = np.random.default_rng(1).integers(0, len(truth), 300)
    rows = [{name: float(values[i]) for name, values in columns.items()} for i in chosen]
    now = ready.clock() - 2 * DAY
    told = predict(ready, "delay", rows, occurred_at=now)
    outcomes = [
        Outcome(prediction=each["id"], label=bool(truth[i]), occurred_at=now)
        for each, i in zip(told.predictions, chosen, strict=True)
    ]
    record_outcomes(ready, outcomes)
    run_monitor(ready, "daily")

    assert points(ready, version, "Mo2", "Mo3", "Mo7") == [0.5, 0.5, 0.5]
    shifted = [{**each, "delay": each["delay"] + 30.0} for each in rows]
    predict(ready, "delay", shifted, occurred_at=now + DAY)
    run_monitor(ready, "daily", upto=ready.clock() + DAY)

    drifted = model_readiness(ready, version.id).test("Mo3")
    assert (drifted.points, "delay" in drifted.found) == (0, True)


def test_an_external_api_is_sent_no_rows_for_a_drill(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Vendor() as vendor:
        description = api_files(vendor.url, allow_private=True)["api.json"]
        digest = sqlite_project.objects.put(description)
        file = ModelFile(name="api.json", digest=digest, size=len(description), flavour="api")
        version = register(sqlite_project, "vendor", files=[file], contract=made("api").contract)
        trust(sqlite_project, version.label, reason="ours")
        point(sqlite_project, version)
        predict(sqlite_project, "vendor", [{"hour": 17}])

        with pytest.raises(RefusedError, match=r"external API.*Not measured therefore.*hw model record vendor@v1"):
            drill_spec(sqlite_project, version.label)
        example = drill_example(sqlite_project, version.label).body
        assert len(vendor.asked) == 1
        assert "an external API is sent no rows for a drill" in example["sentence"] and example["equal"] is False

        monkeypatch.setattr(drills, "require_own", lambda *_: None)  # planted: as for a model of our own
        drill_spec(sqlite_project, version.label)
        assert len(vendor.asked) > 1
