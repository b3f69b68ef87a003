from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headwater.errors import ConflictError, InvalidInputError, NotFoundError
from headwater.evaluate import record_evidence
from headwater.model import ModelVersion
from headwater.monitor import (
    acknowledge,
    get_alarm,
    get_monitor,
    list_alarms,
    list_monitors,
    list_windows,
    run_monitor,
)
from headwater.project import LocalProject
from headwater.serve import Outcome, predict, record_outcomes
from tests.projects import make_local
from tests.serve.models import add_version, point, training

DAY = 86_400_000_000
START = 1_767_225_600_000_000  # 2026-01-01, a Thursday
SETTINGS = """
[[monitors]]
name = "daily"
model = "delay"
window = "1d"
kinds = ["quality", "drift"]
alpha = 0.01

[[monitors]]
name = "truth"
model = "delay"
window = "1d"
kinds = ["performance"]
lag = "2d"

[[monitors]]
name = "rows"
model = "delay"
window = "150 rows"
kinds = ["drift"]
"""
Rows = list[dict[str, Any]]


@pytest.fixture
def watched(request: pytest.FixtureRequest, project_folder: Path) -> Iterator[LocalProject]:
    (project_folder / "headwater.toml").write_text(SETTINGS)
    with make_local("sqlite", project_folder, request) as project:
        yield project


@pytest.fixture
def served(watched: LocalProject) -> LocalProject:
    point(watched, add_version(watched))
    return watched


def rows_like_training(day: int, count: int = 200) -> Rows:
    columns, _ = training()
    chosen = np.random.default_rng(100 + day).integers(0, len(columns["hour"]), count)
    return [{name: float(values[i]) for name, values in columns.items()} for i in chosen]


def shifted(day: int) -> Rows:
    return [{**row, "delay": row["delay"] + 12.0} for row in rows_like_training(day)]


def predict_days(project: LocalProject, first: int, days: int, make: Callable[[int], Rows] = rows_like_training) -> Any:
    answers = []
    for day in range(first, first + days):
        answers.append(predict(project, "delay", make(day), occurred_at=START + day * DAY + DAY // 2))
    return answers


def evaluated(project: LocalProject, version: ModelVersion, auc: float, brier: float) -> None:
    metrics = {
        name: {"value": value, "low": value - 0.01, "high": value + 0.01}
        for name, value in (("auc", auc), ("brier", brier))
    }
    record_evidence(project, version.ref, "evaluation", {"metrics": metrics})


def test_each_complete_window_is_measured_once(served: LocalProject) -> None:
    predict_days(served, 0, 3)

    report = run_monitor(served, "daily", upto=START + 2 * DAY + 1)

    assert [(w.kind, w.start_at, w.rows) for w in report.windows] == [
        ("quality", START, 200),
        ("drift", START, 200),
        ("quality", START + DAY, 200),
        ("drift", START + DAY, 200),
    ]
    assert report.next_at == START + 3 * DAY
    assert run_monitor(served, "daily", upto=START + 2 * DAY + 1).windows == ()
    assert len(run_monitor(served, "daily", upto=START + 3 * DAY).windows) == 2
    assert len(list_windows(served, "daily", kind="drift")) == 3


def test_what_looks_like_training_raises_no_alarm(served: LocalProject) -> None:
    predict_days(served, 0, 8)

    report = run_monitor(served, "daily", upto=START + 8 * DAY)

    assert report.alarms == ()
    body = list_windows(served, "daily", kind="drift", limit=1)[0].body
    assert {column["name"] for column in body["columns"]} == {"distance", "hour", "delay", "label", "probability"}
    assert all(sum(column["counts"]) == 200 for column in body["columns"])


def test_a_shifted_feature_alarms_once_with_its_evidence_until_acknowledged(served: LocalProject) -> None:
    predict_days(served, 0, 3)
    predict_days(served, 3, 3, shifted)

    report = run_monitor(served, "daily", upto=START + 6 * DAY)

    drift = [alarm for alarm in report.alarms if "drift:input:delay" in alarm.causes]
    assert len(drift) == 1
    assert not any("hour" in cause or "distance" in cause for alarm in report.alarms for cause in alarm.causes)
    cause = next(each for each in drift[0].body["causes"] if each["cause"] == "drift:input:delay")
    assert cause["statistic"] >= cause["bar"] == 0.1
    assert cause["log_e"] >= cause["threshold"]
    assert len(drift[0].body["sample"]) == 20
    with served.ledger.read() as tx:
        announced = [row.ref for row in tx.announcements_since(0, ["alarm"])]
        assert announced == [alarm.ref for alarm in report.alarms]
        assert ("model", f"modelversion:{drift[0].version}") in [tuple(row) for row in tx.edges_of(drift[0].ref)]

    acknowledge(served, drift[0].id, "a new airport was opened")
    predict_days(served, 6, 2, shifted)
    again = run_monitor(served, "daily", upto=START + 8 * DAY)
    assert [alarm.causes for alarm in again.alarms if "drift:input:delay" in alarm.causes]


def test_an_alarm_is_acknowledged_once_and_with_a_reason(served: LocalProject) -> None:
    predict_days(served, 0, 2, shifted)
    alarm = run_monitor(served, "daily", upto=START + 2 * DAY).alarms[0]

    with pytest.raises(InvalidInputError, match="takes a reason"):
        acknowledge(served, alarm.id, "  ")
    seen = acknowledge(served.as_actor("bob"), alarm.ref, "known")
    with pytest.raises(ConflictError, match="by bob"):
        acknowledge(served, alarm.id, "again")
    assert (seen.acknowledged_by, seen.reason) == ("bob", "known")
    assert get_alarm(served, alarm.id) == seen
    assert seen not in list_alarms(served, open_only=True)
    with pytest.raises(NotFoundError, match="no alarm"):
        get_alarm(served, "alarm:nothing")


def test_a_run_that_died_is_taken_up_where_it_stopped(served: LocalProject, monkeypatch: pytest.MonkeyPatch) -> None:
    predict_days(served, 0, 3)
    predict_days(served, 3, 2, shifted)
    reference = run_and_forget(served)
    from headwater.monitor import running
    from headwater.monitor.windows import insert_window as record

    done = []

    def dying(tx: Any, window: Any, span: Any) -> None:
        done.append(window)
        if len(done) == 6:
            raise KeyboardInterrupt
        record(tx, window, span)

    monkeypatch.setattr(running, "insert_window", dying)
    with pytest.raises(KeyboardInterrupt):
        run_monitor(served, "daily", upto=START + 5 * DAY)
    monkeypatch.setattr(running, "insert_window", record)
    rest = run_monitor(served, "daily", upto=START + 5 * DAY)

    assert len(rest.windows) == 10 - 4  # the window in which it died was recorded by neither kind
    bodies = [(w.kind, w.start_at, w.body) for w in list_windows(served, "daily")]
    assert sorted(bodies, key=str) == sorted(reference, key=str)


def run_and_forget(project: LocalProject) -> Any:
    """Run the monitor to the end, return what it measured, and take it all back."""
    run_monitor(project, "daily", upto=START + 5 * DAY)
    found = [(w.kind, w.start_at, w.body) for w in list_windows(project, "daily")]
    with project.ledger.write() as tx:
        for table in ("monitor_windows", "monitor_states", "alarms", "alarm_causes"):
            tx.execute(f"DELETE FROM {table}")
    return found


def test_windows_of_rows_follow_each_other_without_gap_or_overlap(served: LocalProject) -> None:
    predict_days(served, 0, 4)  # 800 rows, 200 at each of four times

    report = run_monitor(served, "rows", upto=START + 30 * DAY)

    assert [window.rows for window in report.windows] == [150] * 5
    total = sum(sum(window.body["columns"][0]["counts"]) for window in report.windows)
    assert total == 750


def test_refused_rows_are_seen_even_where_nothing_was_predicted(served: LocalProject) -> None:
    from headwater.model import ContractError

    for day in (0, 1):
        with pytest.raises(ContractError):
            predict(served, "delay", [{"hour": "noon"}] * 50, occurred_at=START + day * DAY)
    served.events.flush()

    report = run_monitor(served, "daily", upto=START + 2 * DAY)

    assert [w.body["refused_share"] for w in report.windows if w.kind == "quality"] == [1.0, 1.0]
    assert [alarm.causes for alarm in report.alarms] == [("refused",)]


def test_values_that_training_never_saw_alarm(served: LocalProject) -> None:
    def far(day: int) -> Rows:
        return [{**row, "distance": 1e6} if n % 5 == 0 else row for n, row in enumerate(rows_like_training(day))]

    predict_days(served, 0, 2, far)

    report = run_monitor(served, "daily", upto=START + 2 * DAY)

    assert "outside:distance" in {cause for alarm in report.alarms for cause in alarm.causes}


def test_performance_waits_for_its_lag_and_then_counts_the_newest_outcomes(served: LocalProject) -> None:
    answers = predict_days(served, 0, 2)
    evaluated(served, version_of(served), auc=0.75, brier=0.2)
    for answer in answers:
        wrong = [Outcome(prediction=each["id"], label=0) for each in answer.predictions]
        record_outcomes(served, wrong)
        record_outcomes(served, [Outcome(prediction=o.prediction, label=n % 2) for n, o in enumerate(wrong)])

    assert run_monitor(served, "truth", upto=START + 2 * DAY).windows == ()
    report = run_monitor(served, "truth", upto=START + 3 * DAY)

    assert [(w.start_at, w.body["outcomes"], w.body["coverage"]) for w in report.windows] == [(START, 200, 1.0)]
    auc = report.windows[0].body["metrics"]["auc"]
    assert 0.25 < auc["low"] < auc["value"] < auc["high"] < 0.65  # the labels that count have nothing to do with it
    assert (auc["reference"], auc["reference_low"]) == (0.75, 0.74)


def version_of(project: LocalProject) -> ModelVersion:
    from headwater.model import get_model_version

    return get_model_version(project, "delay@production")


def tell_truth(project: LocalProject, answers: Any, turned: bool) -> None:
    random = np.random.default_rng(9)
    for answer in answers:
        labels = [bool(random.random() < each["probability"]) ^ turned for each in answer.predictions]
        ids = [each["id"] for each in answer.predictions]
        record_outcomes(project, [Outcome(prediction=i, label=v) for i, v in zip(ids, labels, strict=True)])


def test_a_model_that_is_as_good_as_evaluated_raises_no_alarm(served: LocalProject) -> None:
    answers = predict_days(served, 0, 6)
    tell_truth(served, answers, turned=False)
    probabilities = np.array([each["probability"] for answer in answers for each in answer.predictions])
    brier = float(np.mean(probabilities * (1 - probabilities)))
    evaluated(served, version_of(served), auc=0.7, brier=brier)

    report = run_monitor(served, "truth", upto=START + 8 * DAY)

    assert len(report.windows) == 6
    assert report.alarms == ()


def test_a_model_that_became_worse_alarms(served: LocalProject) -> None:
    evaluated(served, version_of(served), auc=0.7, brier=0.2)
    tell_truth(served, predict_days(served, 0, 4), turned=True)

    report = run_monitor(served, "truth", upto=START + 6 * DAY)

    assert {cause for alarm in report.alarms for cause in alarm.causes} == {"auc", "brier"}


def test_before_outcomes_there_is_an_estimate_that_says_what_it_assumes(served: LocalProject) -> None:
    answers = predict_days(served, 0, 1)

    body = run_monitor(served, "truth", upto=START + 3 * DAY).windows[0].body

    p = np.array([each["probability"] for each in answers[0].predictions])
    assert body["outcomes"] == 0
    assert body["metrics"] == {}
    assert body["estimate"]["assumes"] == "the probabilities are calibrated"
    assert body["estimate"]["brier"] == pytest.approx(float(np.mean(p * (1 - p))))
    assert body["estimate"]["accuracy"] == pytest.approx(float(np.mean(np.maximum(p, 1 - p))))


def test_unknown_outcomes_are_reported_and_not_kept(served: LocalProject) -> None:
    answer = predict_days(served, 0, 1)[0]

    report = record_outcomes(
        served, [Outcome(prediction=answer.id, label=True), Outcome(prediction="prediction:" + "0" * 26, label=True),
                 Outcome(prediction="nonsense", label=True)],
    )  # fmt: skip

    assert report.recorded == 1
    assert report.unknown == ("prediction:" + "0" * 26, "nonsense")


def test_a_version_is_watched_against_its_own_training(served: LocalProject) -> None:
    predict_days(served, 0, 1)
    point(served, add_version(served, depth=3))
    import time

    time.sleep(0.3)
    predict_days(served, 0, 1)

    windows = [w for w in run_monitor(served, "daily", upto=START + DAY).windows if w.kind == "drift"]

    assert sorted((w.number, w.rows) for w in windows) == [(1, 200), (2, 200)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('window = "fortnight"', "is not a length of time"),
        ("alpha = 2.0", "between 0 and 1"),
        ('kinds = ["taste"]', "cannot be used"),
        ('colour = "red"', "unknown setting 'colour'"),
    ],
)
def test_a_monitor_that_cannot_be_understood_says_which_and_why(watched: LocalProject, line: str, said: str) -> None:
    import tomllib

    watched.settings.tables.update(tomllib.loads(f'[[monitors]]\nname = "odd"\nmodel = "delay"\n{line}\n'))

    with pytest.raises(InvalidInputError, match=said) as error:
        list_monitors(watched)
    assert "'odd'" in error.value.message


def test_an_undeclared_monitor_is_not_found(watched: LocalProject) -> None:
    with pytest.raises(NotFoundError, match="daily, truth, rows"):
        get_monitor(watched, "hourly")
