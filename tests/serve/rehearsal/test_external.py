"""An external API is sent nothing to measure it: the server counts what it is asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headwater.errors import RefusedError
from headwater.model import ModelFile, ModelVersion, register, trust
from headwater.project import LocalProject
from headwater.serve import predict
from headwater.serve.rehearsal import REHEARSALS, budget, measure_budget
from tests.model.made import api_files, made
from tests.model.vendors import Vendor
from tests.serve.models import point


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with Vendor() as made_one:
        yield made_one


@pytest.fixture
def version(sqlite_project: LocalProject, vendor: Vendor) -> ModelVersion:
    """Register a trusted API that may be called three times, and release it."""
    description = api_files(vendor.url, allow_private=True, cost_per_call=1.0, most_cost=3.0)["api.json"]
    digest = sqlite_project.objects.put(description)
    file = ModelFile(name="api.json", digest=digest, size=len(description), flavour="api")
    registered = register(sqlite_project, "vendor", files=[file], contract=made("api").contract)
    point(sqlite_project, registered)
    return trust(sqlite_project, registered.label, reason="ours")


def test_the_budget_of_an_external_api_is_that_of_its_recorded_answers_and_asks_nothing(
    sqlite_project: LocalProject, vendor: Vendor, version: ModelVersion
) -> None:
    with pytest.raises(RefusedError, match=r"is an external API.*Not measured therefore: latency, memory") as refused:
        measure_budget(sqlite_project, version.label)
    assert vendor.asked == [] and "the latencies of its recorded calls count" in refused.value.message

    for hour in (1, 2, 17):
        predict(sqlite_project, "vendor", [{"hour": hour}])
    body = measure_budget(sqlite_project, version.label).body

    assert len(vendor.asked) == 3
    assert (body["rows"], body["source"], body["memory_mib"]) == (3, "3 recorded answers", None)
    assert 0 < body["p50_ms"] <= body["p99_ms"] and "was asked nothing" in body["sentence"]
    assert body.keys() == REHEARSALS["budget"].fields.keys()


def test_a_budget_that_took_it_for_a_model_of_ours_would_be_counted(
    sqlite_project: LocalProject, vendor: Vendor, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "is_external", lambda each: False)

    with pytest.raises(RefusedError, match="process of its own"):
        measure_budget(sqlite_project, version.label)

    assert len(vendor.asked) == 3
