from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from math import isnan, sqrt, tanh
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import InvalidInputError
from headwater.evaluate import find_evidence, model_card, record_evidence
from headwater.jobs import Scheduler, Worker
from headwater.model import ModelVersion
from headwater.project import Actor, LocalProject, Project, create_project
from headwater.release import approve, list_rollouts, request_release, rollback, stop_rollout
from headwater.release.controller_acts import _step
from headwater.release.controller_rules import Verdict
from headwater.trace.readiness import Score, model_readiness, record_readiness
from headwater.trace.readiness.catalogue import TESTS
from headwater.trace.readiness.model_tests import correlation
from headwater.track import track
from tests.release.champions import add_version, evaluated, passed_parity

DAY = 86_400_000_000
START = 1_767_225_600_000_000
SETTINGS = """
[channels.production]
approvals = 1
gates = ["bar:auc>0.6"]

[[triggers]]
name = "every-model"
on = "model"
operation = "test.measure"
arguments = { model = "{ref}" }
"""
Aged = Callable[[float], None]


class SetClock:
    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> int:
        self.at += 1000
        return self.at


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def aged(project_folder: Path, clock: SetClock) -> Iterator[LocalProject]:
    """A project whose clock a test sets forward."""
    (project_folder / "headwater.toml").write_text(SETTINGS)
    with create_project(project_folder, name="test", actor="ann", clock=clock) as project:
        yield project


def score(project: Project, version: ModelVersion, test: str) -> Score:
    return model_readiness(project, version.id).test(test)


def measured(project: Project, version: ModelVersion, kind: str, **body: Any) -> str:
    """Record evidence in a run, as a measurement of the team's own is; returns the run."""
    with track(project, "measure") as run:
        record_evidence(project, version.ref, kind, {"passed": True, **body}, run=run.id)
    return run.id


def test_without_evidence_every_test_has_0_points_and_says_what_to_do(project: Project) -> None:
    version = add_version(project)

    found = model_readiness(project, version.label)

    assert [each.test for each in found.tests if each.points] == []
    assert all(each.do and each.found and each.valid_until is None for each in found.tests)
    assert (found.score, found.level, found.lowest) == (0, 0, "data")
    assert found.verdict == "more of a research project than a productionized system"
    assert found.next[0] == "D1"


def test_there_are_28_tests_seven_in_each_section() -> None:
    assert Counter(test.section for test in TESTS) == {
        "data": 7,
        "model": 7,
        "infrastructure": 7,
        "monitoring": 7,
    }
    assert len({test.name for test in TESTS}) == 28


def test_what_was_only_typed_in_scores_nothing_and_a_run_half_a_point(project: Project) -> None:
    version = add_version(project)
    record_evidence(project, version.ref, "feature_costs", {"passed": True})

    typed = score(project, version, "D3")
    measured(project, version, "feature_costs")

    assert (typed.points, typed.found) == (0, "ann typed it in: no operation measured it and no run made it")
    assert score(project, version, "D3").points == 0.5


def test_a_run_that_nobody_made_is_no_proof(sqlite_project: LocalProject) -> None:
    version = add_version(sqlite_project)
    record_evidence(sqlite_project, version.ref, "feature_costs", {"passed": True}, run="01M7ZBYBV4FC9A70AG13F2XTDS")

    assert score(sqlite_project, version, "D3").points == 0


def test_a_run_of_somebody_else_is_no_proof(sqlite_project: LocalProject) -> None:
    version = add_version(sqlite_project)
    bob = sqlite_project.as_actor("bob")

    with track(bob, "measure") as run:
        record_evidence(sqlite_project, version.ref, "feature_costs", {"passed": True}, run=run.id)
        theirs = score(sqlite_project, version, "D3")
        record_evidence(bob, version.ref, "feature_costs", {"passed": True}, run=run.id)

    assert theirs.points == 0
    assert score(sqlite_project, version, "D3").points == 0.5


def test_a_house_kind_that_was_typed_in_scores_nothing_though_it_says_that_it_passed(
    sqlite_project: LocalProject,
) -> None:
    version = add_version(sqlite_project)
    body = {"baselines": [{"name": "constant"}], "beats_all": True, "sentence": "it beats each"}
    record_evidence(sqlite_project, version.ref, "baselines", body)

    assert score(sqlite_project, version, "M5").points == 0
    with track(sqlite_project, "measure") as run:
        record_evidence(sqlite_project, version.ref, "baselines", {**body, "beats_all": False}, run=run.id)
    assert score(sqlite_project, version, "M5").points == 0
    with track(sqlite_project, "measure") as run:
        record_evidence(sqlite_project, version.ref, "baselines", body, run=run.id)
    assert score(sqlite_project, version, "M5").points == 0.5


def test_evidence_about_another_version_is_none_about_this_one(sqlite_project: LocalProject) -> None:
    first, second = add_version(sqlite_project), add_version(sqlite_project)
    measured(sqlite_project, first, "feature_costs")

    assert score(sqlite_project, first, "D3").points == 0.5
    assert score(sqlite_project, second, "D3").points == 0


def test_what_a_trigger_caused_is_worth_a_whole_point_and_what_a_person_fired_half(aged: LocalProject) -> None:
    from headwater.jobs import fire_trigger
    from headwater.operation import operation

    @operation("test.measure", needs="model:write")
    def measure(project: Project, model: str) -> None:
        measured(project, add_to(model), "feature_costs")

    def add_to(ref: str) -> ModelVersion:
        from headwater.model import get_model_version

        return get_model_version(aged, ref)

    version = add_version(aged)
    Scheduler(aged).tick()
    assert Worker(aged).run_once() is not None
    whole = score(aged, version, "D3")
    fired = add_version(aged)
    fire_trigger(aged, "every-model", {"ref": fired.ref})
    assert Worker(aged).run_once() is not None

    assert (whole.points, whole.do) == (1.0, "")
    assert score(aged, fired, "D3").points == 0.5
    triggered = find_evidence(aged, version.ref, "feature_costs")
    assert triggered is not None
    other = add_version(aged)
    record_evidence(aged, other.ref, "feature_costs", {"passed": True}, run=triggered.run)  # it had ended before
    stolen = score(aged, other, "D3")
    assert (stolen.points, "was none of theirs under way then" in stolen.found) == (0, True)


def test_points_expire(aged: LocalProject, clock: SetClock) -> None:
    version = add_version(aged)
    measured(aged, version, "feature_costs")
    fresh = score(aged, version, "D3")
    assert fresh.valid_until is not None

    clock.at = fresh.valid_until - 1_000_000
    assert score(aged, version, "D3").points == 0.5
    clock.at = fresh.valid_until
    expired = score(aged, version, "D3")

    assert expired.points == 0
    assert "that held until 2026-06-30 (180 days)" in expired.found


def test_how_long_an_answer_holds_is_the_teams_choice_and_a_wrong_one_is_refused(aged: LocalProject) -> None:
    version = add_version(aged)
    aged.settings.tables["readiness"] = {"valid_days": {"D3": 7}}
    assert score(aged, version, "D3").valid_days == 7

    aged.settings.tables["readiness"] = {"valid_days": {"D33": 7}}
    with pytest.raises(InvalidInputError, match="D33 = 7"):
        model_readiness(aged, version.id)
    aged.settings.tables["readiness"] = {"validity": {}}
    with pytest.raises(InvalidInputError, match="Its keys are valid_days, feature_days, proven_days"):
        model_readiness(aged, version.id)


def test_the_score_is_the_least_section_and_the_next_act_its_cheapest(aged: LocalProject) -> None:
    version = add_version(aged)
    for kind in ("feature_costs", "spec_tests", "budget"):
        measured(aged, version, kind)
    with track(aged, "measure") as run:
        record_evidence(aged, version.ref, "staleness", {"points": [1, 2], "oldest_days": 90}, run=run.id)

    found = model_readiness(aged, version.id)

    assert {each.name: each.points for each in found.sections} == {
        "data": 0.5,
        "model": 0.5,
        "infrastructure": 0.5,
        "monitoring": 1.0,
    }
    assert (found.score, found.lowest, found.verdict) == (0.5, "data", "")
    costs = [found.test(name).cost for name in found.next]
    assert costs == sorted(costs)
    assert found.next[:2] == ("D1", "D2")


def test_a_release_counts_as_validated_where_its_gate_read_a_measurement(aged: LocalProject) -> None:
    version = add_version(aged)
    typed = evaluated(aged, version, 0.7)
    asked = request_release(aged, version.id, "production", "better")
    approve(aged.as_actor("bob"), asked.id, "looked at it")
    assert score(aged, version, "I4").points == 0

    better = add_version(aged)
    with track(aged, "measure") as run:
        record_evidence(aged, better.ref, "evaluation", typed.body, run=run.id)
    asked = request_release(aged, better.id, "production", "better")
    approve(aged.as_actor("bob"), asked.id, "looked at it")

    assert score(aged, better, "I4").points == 1.0


def test_a_release_without_a_gate_on_quality_is_not_validated(aged: LocalProject) -> None:
    aged.settings.tables["channels"] = {"production": {"gates": ["parity"]}}
    version = add_version(aged)
    passed_parity(aged, version)
    request_release(aged, version.id, "production", "go")

    assert "went through no gate" in score(aged, version, "I4").found


def test_a_canary_counts_where_it_grew_into_a_release_and_a_request_alone_does_not(aged: LocalProject) -> None:
    aged.settings.tables["channels"] = {"production": {"canary": {"stages": [50]}}}
    first, second, third = (add_version(aged) for _ in range(3))
    request_release(aged, first.id, "production", "go", kind="canary")  # nothing to be a canary beside
    withdrawn = request_release(aged, second.id, "production", "go", kind="canary")
    stop_rollout(aged, withdrawn.id, "not today")
    request_release(aged, second.id, "production", "go")
    assert [score(aged, each, "I6").points for each in (first, second)] == [0, 0]

    request_release(aged, third.id, "production", "go", kind="canary")
    [rollout] = list_rollouts(aged, status="open")
    assert score(aged, third, "I6").points == 0
    _step(aged, rollout, Verdict(act="grow", why="it holds"))

    found = score(aged, third, "I6")
    assert (found.points, found.evidence[0]) == (1.0, rollout.ref)


def test_review_needs_a_second_person_and_kept_code(aged: LocalProject) -> None:
    with track(aged, "train") as run:
        pass
    version = add_version(aged, run=run.id)
    evaluated(aged, version, 0.7)
    asked = request_release(aged, version.id, "production", "better")
    assert "nobody but ann" in score(aged, version, "M1").found
    bob = Actor(name="bob", claimed=False, roles=("approver",))
    approve(aged.as_actor(bob), asked.id, "looked at the code")
    with aged.ledger.write() as tx:
        tx.execute("UPDATE runs SET environment = '{}', code = '' WHERE id = ?", (run.id,))
    assert "not kept from a commit" in score(aged, version, "M1").found
    with aged.ledger.write() as tx:
        tx.execute("UPDATE runs SET code = 'c0de' WHERE id = ?", (run.id,))

    assert score(aged, version, "M1").points == 1.0


def test_training_is_reproducible_where_another_run_made_the_same_bytes(aged: LocalProject) -> None:
    from headwater.model import ModelFile, register

    made = []
    for _ in range(3):
        with track(aged, "train") as run:
            pass
        made.append(run.id)
    with aged.ledger.write() as tx:
        tx.execute("UPDATE runs SET code = 'c0de'")
    first = add_version(aged, run=made[0], params={"depth": 8})
    assert score(aged, first, "I1").points == 0
    other = ModelFile(name="model", digest=aged.objects.put(b"others"), size=6, flavour="onnx")
    register(aged, "delay", files=[other], contract=first.contract, run=made[1], params={"depth": 8})
    assert "its files are others" in score(aged, first, "I1").found

    add_version(aged, run=made[2], params={"depth": 9})
    assert score(aged, first, "I1").points == 0
    with track(aged, "train") as run:
        pass
    with aged.ledger.write() as tx:
        tx.execute("UPDATE runs SET code = 'c0de'")
    twin = add_version(aged, run=run.id, params={"depth": 8})

    found = score(aged, first, "I1")
    assert (found.points, found.found) == (0.5, f"trained again as {twin.label}: the files are equal byte for byte")
    assert score(aged, twin, "I1").points == 0  # of what was trained beside it v2 is the newest


def test_a_rollback_within_the_period_shows_the_way_back(aged: LocalProject, clock: SetClock) -> None:
    first, second = add_version(aged), add_version(aged)
    for each in (first, second):
        request_release(aged, each.id, "staging", "try it")
    assert score(aged, second, "I7").points == 0
    rollback(aged, "delay", "staging", reason="drill")

    assert score(aged, second, "I7").points == 0.5
    clock.at += 91 * DAY
    assert score(aged, second, "I7").points == 0


def test_tuning_counts_where_every_declared_parameter_was_varied(aged: LocalProject) -> None:
    def search(**space: list[int]) -> None:
        with track(aged, "train search", kind="search") as found:
            for values in zip(*space.values(), strict=True):
                with track(aged, "train", dict(zip(space, values, strict=True)), parent=found.id):
                    pass

    with track(aged, "train") as run:
        pass
    version = add_version(aged, run=run.id, params={"depth": 8, "rate": 1})
    search(depth=[1, 2, 3], rate=[1, 1, 1])
    assert score(aged, version, "M3").found == "never varied in a search: rate"
    search(rate=[1, 2])

    assert score(aged, version, "M3").points == 0.5


def test_fairness_fails_where_a_ratio_lies_below_four_fifths_for_certain(aged: LocalProject) -> None:
    version = add_version(aged)

    def fair(attribute: str, high: float) -> None:
        ratios = {"selection_rate": {"value": 0.7, "low": 0.6, "high": high}}
        measured(aged, version, "fairness", attribute=attribute, ratios=ratios, sentence="measured")

    fair("sex", 0.85)
    assert score(aged, version, "M7").points == 0.5
    fair("age", 0.79)
    assert score(aged, version, "M7").points == 0
    fair("age", 0.9)
    assert score(aged, version, "M7").points == 0.5


def test_the_interval_of_a_correlation_is_fishers() -> None:
    low, r, high = correlation([1, 2, 3, 4, 5], [1, 2, 3, 5, 4])

    # covariance 9 of deviations, 10 and 10 of squares; atanh(0.9) = 1.47222, and 1.959964 / sqrt(5 - 3) = 1.38590
    assert r == pytest.approx(0.9)
    assert low == pytest.approx(tanh(1.4722195 - 1.959964 / sqrt(2)))
    assert high == pytest.approx(tanh(1.4722195 + 1.959964 / sqrt(2)))
    assert isnan(correlation([1, 1, 1, 1], [1, 2, 3, 4])[1])


def test_a_level_is_met_only_with_all_below_it(aged: LocalProject) -> None:
    version = add_version(aged)
    measured(aged, version, "evaluation", rows=100)

    found = model_readiness(aged, version.id)

    assert found.level == 0
    assert [each.level for each in found.levels if each.met] == []
    assert found.levels[2].found == "evaluated on 100 rows"


def test_recorded_readiness_stands_on_the_card_and_says_what_has_expired(aged: LocalProject, clock: SetClock) -> None:
    version = add_version(aged)
    measured(aged, version, "feature_costs")
    assert "Not recorded: `hw model readiness delay@v1`." in model_card(aged, version.id)

    made = record_readiness(aged, version.id)

    assert made.operation == "model.readiness.record"
    assert made.body["sections"]["data"] == 0.5
    assert made.body["valid_until"] == made.body["tests"]["D3"]["valid_until"]
    assert "ML Test Score 0 of 7 (the model section)" in model_card(aged, version.id)
    clock.at = made.body["valid_until"]
    assert "**Expired since: D3.**" in model_card(aged, version.id)
    found = find_evidence(aged, version.ref, "readiness")
    assert found is not None
    with aged.ledger.read() as tx:
        costs = find_evidence(aged, version.ref, "feature_costs")
        assert costs is not None
        assert ("against", costs.ref) in {tuple(edge) for edge in tx.edges_of(found.ref)}


def test_readiness_is_recorded_on_every_form_of_a_project(project: Project) -> None:
    version = add_version(project)

    made = record_readiness(project, version.label)

    assert (made.subject, made.kind) == (version.ref, "readiness")
    assert set(made.body["tests"]) == {test.name for test in TESTS}
