from __future__ import annotations

import errno
import http.client
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from headwater.model import ModelVersion
from headwater.project import Actor, LocalProject
from headwater.serve import Engine, get_prediction, serve_routes
from headwater.serve.http import MOST_BYTES
from tests.projects import served
from tests.serve.models import add_version, point, row

Answered = tuple[int, Any]


def call(address: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answered:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    try:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, data, {"content-type": "application/json", **(headers or {})})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@pytest.fixture
def version(sqlite_project: LocalProject) -> ModelVersion:
    made = add_version(sqlite_project)
    point(sqlite_project, made)
    return made


@pytest.fixture
def address(sqlite_project: LocalProject, version: ModelVersion) -> Iterator[str]:
    with Engine(sqlite_project) as engine, served(sqlite_project, serve_routes(engine)) as where:
        yield where


def test_a_prediction_over_http_is_kept_under_the_id_it_is_given(
    address: str, sqlite_project: LocalProject, version: ModelVersion
) -> None:
    body = {"inputs": [row(0), row(1)], "occurred_at": "2026-03-01T12:00:00Z"}

    status, answer = call(address, "POST", "/v1/models/delay/predict", body)

    assert status == 200
    assert (answer["model"], answer["version"], answer["model_version"]) == ("delay", "v1", version.id)
    for each, given in zip(answer["predictions"], body["inputs"], strict=True):
        kept = get_prediction(sqlite_project, each["id"])
        assert kept.inputs == given
        assert kept.outputs["probability"] == each["probability"]
        assert kept.occurred_at == 1_772_366_400_000_000


def test_all_problems_are_answered_at_once_with_422(address: str) -> None:
    status, answer = call(address, "POST", "/v1/models/delay/predict", {"inputs": [{"hour": "x"}, row()]})

    assert (status, answer["error"]["kind"]) == (422, "contract")
    assert {each["field"] for each in answer["error"]["values"]["problems"]} == {"distance", "hour", "delay"}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/models/delay/predict", b"{", 400),
        ("/v1/models/delay/predict", b'{"inputs": [1]}', 400),
        ("/v1/models/delay/predict", b'{"rows": []}', 400),
        ("/v1/models/delay/predict", b'{"inputs": []}', 400),
        ("/v1/models/delay/predict", b'{"inputs": [{}], "occurred_at": "soon"}', 400),
        ("/v1/models/delay/predict", b'{"inputs": ["' + b"x" * (5 << 20) + b'"]}', 400),
        ("/v1/models/other/predict", b'{"inputs": [{}]}', 404),
        ("/v1/models/delay/predict", b'{"inputs": [{}], "channel": "staging"}', 404),
        ("/v1/outcomes", b'{"outcomes": [{"label": 1}]}', 400),
    ],
)
def test_what_cannot_be_answered_says_why(address: str, path: str, body: bytes, status: int) -> None:
    found, answer = call(address, "POST", path, body)

    assert found == status
    assert answer["error"]["message"].endswith(".")


def test_outcomes_are_joined_by_the_id_the_newest_counts_and_unknown_ones_are_named(
    address: str, sqlite_project: LocalProject
) -> None:
    _, answer = call(address, "POST", "/v1/models/delay/predict", {"inputs": [row()]})
    unknown = "0" * 26

    for label in (False, True):
        told = {"outcomes": [{"prediction": answer["id"], "label": label}, {"prediction": unknown, "label": label}]}
        status, report = call(address, "POST", "/v1/outcomes", told)

    assert (status, report) == (200, {"recorded": 1, "unknown": [unknown]})
    assert get_prediction(sqlite_project, answer["id"]).outcome is True


def test_a_prediction_that_the_disk_does_not_take_is_not_answered_and_the_next_one_is(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"inputs": [row()]}
    assert call(address, "POST", "/v1/models/delay/predict", body)[0] == 200

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        status, answer = call(address, "POST", "/v1/models/delay/predict", body)

    assert (status, answer["error"]["kind"]) == (500, "storage")
    assert call(address, "POST", "/v1/models/delay/predict", body)[0] == 200


@pytest.mark.parametrize("sync_s", [0.0, 0.004])
def test_what_many_ask_at_once_is_all_kept_on_a_quick_disk_and_on_a_slow_one(
    address: str, sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch, sync_s: float
) -> None:
    real = os.fdatasync

    def slow(descriptor: int) -> None:
        time.sleep(sync_s)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    with ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(call, address, "POST", "/v1/models/delay/predict", {"inputs": [row(at)]}) for at in range(80)
        ]
        answered = {one.result()[1]["id"] for one in asked}

    kept = sqlite_project.events.query("SELECT prediction FROM predictions", streams=["predictions"]).fetchall()
    assert {each for (each,) in kept} == answered
    assert len(kept) == 80


def test_a_body_in_many_pieces_is_read_whole_and_one_too_large_is_refused(address: str) -> None:
    def pieces(data: bytes) -> Iterator[bytes]:
        yield from (data[start : start + 7] for start in range(0, len(data), 7))

    def ask(data: bytes) -> Answered:
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
        connection.request("POST", "/v1/models/delay/predict", pieces(data), encode_chunked=True)
        response = connection.getresponse()
        found = response.status, json.loads(response.read())
        connection.close()
        return found

    assert ask(json.dumps({"inputs": [row()]}).encode())[0] == 200
    status, answer = call(address, "POST", "/v1/models/delay/predict", b" " * (MOST_BYTES + 1))
    assert status == 400
    assert "send it in several" in answer["error"]["message"]


def test_models_show_their_version_and_contract(address: str, version: ModelVersion) -> None:
    _, models = call(address, "GET", "/v1/models")
    _, model = call(address, "GET", "/v1/models/delay")

    shown = [(each["model"], each["channel"], each["number"]) for each in models["models"]]
    assert shown == [("delay", "production", 1)]
    assert model["model_version"] == version.id
    assert [each["name"] for each in model["contract"]["inputs"]] == ["distance", "hour", "delay"]


def test_the_openapi_document_describes_the_contract(address: str) -> None:
    _, document = call(address, "GET", "/v1/openapi.json")

    schema = document["components"]["schemas"]["delay.Input"]
    assert schema["required"] == ["distance", "hour", "delay"]
    assert set(document["paths"]) == {"/v1/outcomes", "/v1/models/delay/predict"}


def test_only_who_may_predict_gets_an_answer(sqlite_project: LocalProject, version: ModelVersion) -> None:
    def identify(request: Any) -> Actor:
        return Actor(name="someone", roles=(request.headers.get("x-headwater-as", "viewer"),))

    with (
        Engine(sqlite_project) as engine,
        served(sqlite_project, serve_routes(engine, identify=identify)) as address,
    ):
        answers = [
            call(address, "POST", "/v1/models/delay/predict", {"inputs": [row()]}, {"x-headwater-as": role})[0]
            for role in ("viewer", "developer", "service")
        ]
        looked = call(address, "GET", "/v1/models", headers={"x-headwater-as": "viewer"})[0]

    assert answers == [403, 403, 200]
    assert looked == 200
