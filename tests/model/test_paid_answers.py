"""What an API answered is paid for once: a measurement that breaks off goes on where it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from headwater.errors import RefusedError, UnavailableError
from headwater.evaluate import evaluate_model
from headwater.lake import add_table
from headwater.lake.erasing import Erasing
from headwater.lake.needles import Needles
from headwater.model import ModelFile, register, trust
from headwater.model.answers import PaidAnswers, find_paid_answers, keep_paid_answers
from headwater.model.erasing import erase_from_models
from headwater.model.flavours import get_flavour
from headwater.model.flavours.api import KEEP_S, Api, ApiPredictor, asked_name
from headwater.model.recording import record_answers
from headwater.project import LocalProject, Project
from headwater.serve.dataset_predicting import predict_dataset
from tests.model.made import api_files, made
from tests.model.vendors import Vendor

CONTRACT = made("api").contract
HOURS = [1, 2, 17, 4, 18, 6]


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with Vendor() as made_one:
        yield made_one


def add_vendor(project: Project, vendor: Vendor, **more: Any) -> str:
    """Register the vendor's API and let an admin trust it; return the version's label."""
    given = {"allow_private": True, "cost_per_call": 2.0, "currency": "EUR", "retries": 0, **more}
    description = api_files(vendor.url, **given)["api.json"]
    file = ModelFile(name="api.json", digest=project.objects.put(description), size=len(description), flavour="api")
    version = register(project, "vendor", files=[file], contract=CONTRACT).label
    trust(project, version, reason="ours")
    return version


def add_hours(project: Project) -> None:
    add_table(project, "flights", "a.parquet", {"hour": HOURS, "late": [hour >= 16 for hour in HOURS]})


def broken_then_whole(project: Project, vendor: Vendor, version: str) -> tuple[str, Any]:
    """Evaluate while the vendor fails at the fourth call, and again when it does not; return why, and the evidence."""
    vendor.codes = [200, 200, 200, 503]
    with pytest.raises(UnavailableError) as broke:
        evaluate_model(project, version, "flights@v1", "late", resamples=20)
    return broke.value.message, evaluate_model(project, version, "flights@v1", "late", resamples=20)


def test_an_evaluation_that_breaks_off_asks_and_pays_only_for_the_other_rows_when_it_is_made_again(
    sqlite_project: LocalProject, vendor: Vendor
) -> None:
    add_hours(sqlite_project)

    why, evidence = broken_then_whole(sqlite_project, vendor, add_vendor(sqlite_project, vendor))

    assert "503" in why and "3 answers that came before are kept" in why
    asked = [each["rows"][0]["hour"] for each in vendor.asked]
    assert asked == [1, 2, 17, 4, 4, 18, 6]  # the fourth failed, and is asked again
    assert evidence.body["asked"] == {"calls": 3, "recorded": 3, "cost": 6.0, "currency": "EUR"}
    assert evidence.body["sentence"].endswith("; 3 calls cost 6 EUR, 3 answers were there already")
    # Another rate or limit is the same API, and what was paid for in a measurement is recorded without asking.
    again = add_vendor(sqlite_project, vendor, per_second=9)
    assert evaluate_model(sqlite_project, again, "flights@v1", "late", resamples=20).body["asked"]["cost"] == 0
    recorded = record_answers(sqlite_project, again, "flights@v1")
    assert (recorded.recorded, recorded.calls, len(vendor.asked)) == (6, 0, 7)


def test_a_dataset_whose_prediction_breaks_off_is_paid_for_once(sqlite_project: LocalProject, vendor: Vendor) -> None:
    add_hours(sqlite_project)
    version = add_vendor(sqlite_project, vendor)
    vendor.codes = [200, 200, 200, 503]
    with pytest.raises(UnavailableError):
        predict_dataset(sqlite_project, version, "flights@v1", "guesses")

    assert predict_dataset(sqlite_project, version, "flights@v1", "guesses").rows == 6

    assert len(vendor.asked) == 4 + 3


def test_without_keeping_them_the_count_of_requests_shows_that_rows_are_paid_for_twice(
    sqlite_project: LocalProject, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_hours(sqlite_project)
    monkeypatch.setattr(PaidAnswers, "add", lambda self, answers: None)

    broken_then_whole(sqlite_project, vendor, add_vendor(sqlite_project, vendor))

    assert len(vendor.asked) == 4 + 6


def test_an_answer_is_kept_before_long_and_not_only_at_the_end() -> None:
    now, kept = [0.0], dict[str, Any]()

    class Store:
        def find(self, rows: Any) -> dict[str, Any]:
            return {}

        def add(self, answers: Any) -> None:
            kept.update(answers)

    seen = []

    class Slow(ApiPredictor):
        def _take_turn(self) -> None:
            seen.append(len(kept))
            now[0] += KEEP_S
            super()._take_turn()

    with Vendor() as vendor:
        api = msgspec.json.decode(api_files(vendor.url, allow_private=True)["api.json"], type=Api)
        Slow(api, {}, CONTRACT, may_ask=True, keep=Store(), clock=lambda: now[0]).predict({"hour": np.array([1, 2, 3])})

    assert seen == [0, 1, 2]


def test_an_evaluation_of_the_project_takes_no_answers_that_a_caller_brought(project: Project, vendor: Vendor) -> None:
    version = add_vendor(project, vendor)
    add_hours(project)
    asked, [row] = asked_name(api_files(vendor.url)), rows_of(1)
    keep_paid_answers(project, asked, {row: {"label": True, "probability": 1.0}})

    assert find_paid_answers(project, asked, [row]) == {row: {"label": True, "probability": 1.0}}
    evidence = evaluate_model(project, version, "flights@v1", "late", resamples=20)

    assert (evidence.body["asked"]["calls"], len(vendor.asked)) == (6, 6)
    assert find_paid_answers(project, asked, [row]) == {row: {"label": False, "probability": 0.75}}


def test_who_asks_always_is_told_nothing_of_earlier_answers(sqlite_project: LocalProject, vendor: Vendor) -> None:
    version = add_vendor(sqlite_project, vendor, answers="live")
    add_hours(sqlite_project)

    for _ in range(2):
        evaluate_model(sqlite_project, version, "flights@v1", "late", resamples=20)

    assert len(vendor.asked) == 12


def test_answers_that_name_somebody_who_is_erased_go_as_a_whole(sqlite_project: LocalProject) -> None:
    keep_paid_answers(sqlite_project, "a", {"r1": {"text": "Dear Ada Byron"}, "r2": {"text": "the moon"}})
    erasing = Erasing(sqlite_project, Needles(["Ada Byron"]), frozenset(), ("", 0), "")

    [effect] = list(erase_from_models(erasing, True))

    assert "1 kept answers" in effect.what
    assert find_paid_answers(sqlite_project, "a", ["r1", "r2"]) == {"r2": {"text": "the moon"}}


def test_an_api_that_no_admin_trusted_answers_from_what_was_kept_and_asks_nothing(
    sqlite_project: LocalProject, vendor: Vendor
) -> None:
    version = add_vendor(sqlite_project, vendor)
    add_hours(sqlite_project)
    evaluate_model(sqlite_project, version, "flights@v1", "late", where="hour < 3", resamples=20)
    files = api_files(vendor.url, timeout_s=9)
    kept = PaidAnswers(sqlite_project, asked_name(files))

    predictor = get_flavour("api").load(files, CONTRACT, (), keep=kept)  # type: ignore[call-arg]  # the api's own

    assert predictor.predict({"hour": np.array([1, 2])})["label"].tolist() == [False, False]
    with pytest.raises(RefusedError, match="no admin trusted"):
        predictor.predict({"hour": np.array([4])})
    assert len(vendor.asked) == 2


def rows_of(*hours: int) -> list[str]:
    """Return the digests of rows."""
    from headwater.canonical import digest_of

    return [digest_of({"hour": hour}) for hour in hours]
