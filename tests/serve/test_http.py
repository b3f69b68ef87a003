from __future__ import annotations

import errno
import http.client
import json
import os
import threading
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
        ("/v1/models/delay/predict", b'{"inputs": ["' + b"x" * (5 << 20) + b'"]}', 413),
        ("/v1/models/other/predict", b'{"inputs": [{}]}', 404),
        ("/v1/models/delay/predict", b'{"inputs": [{}], "channel": "staging"}', 404),
        ("/v1/outcomes", b'{"outcomes": [{"label": 1}]}', 400),
    ],
)
def test_what_cannot_be_answered_says_why(address: str, path: str, body: bytes, status: int) -> None:
    found, answer = call(address, "POST", path, body)

    assert found == status
    assert answer["error"]["message"].endswith(".")


def test_bytes_and_numbers_that_cannot_be_read_are_the_callers_mistake(
    address: str, sqlite_project: LocalProject
) -> None:
    predict = "/v1/models/delay/predict"
    for path, body in (
        (predict, b'{"inputs": [{"hour": "\xff"}]}'),
        (predict, b'\xff\xfe{"inputs": []}'),
        (predict, b'{"inputs": [{}], "occurred_at": 1.5}'),
        (predict, b'{"inputs": [{}], "occurred_at": 9223372036854775808}'),
        (predict, b'{"inputs": [{}], "occurred_at": 1' + b"0" * 4000 + b"}"),
        ("/v1/outcomes", b'{"outcomes": [{"label": 1, "prediction": "\xff"}]}'),
    ):
        status, answer = call(address, "POST", path, body)
        assert (status, answer["error"]["kind"]) == (400, "invalid_input"), body

    sqlite_project.events.flush()
    assert sqlite_project.events.rows("serve_failures") == []  # none of it is the model's fault


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


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.EIO, (500, "storage")), (errno.ENOSPC, (507, "disk_full"))],
    ids=["failing", "full"],
)
def test_a_prediction_that_the_disk_does_not_take_is_not_answered_and_the_next_one_is(
    address: str, monkeypatch: pytest.MonkeyPatch, number: int, expected: tuple[int, str]
) -> None:
    body = {"inputs": [row()]}
    assert call(address, "POST", "/v1/models/delay/predict", body)[0] == 200

    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        status, answer = call(address, "POST", "/v1/models/delay/predict", body)

    assert (status, answer["error"]["kind"]) == expected
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
    assert status == 413
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
    one = "/v1/models/delay/predict"
    assert set(document["paths"]) == {"/v1/outcomes", one, f"{one}/file"}


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


def test_a_deadline_that_is_no_number_of_milliseconds_is_the_callers_mistake(address: str) -> None:
    for deadline in ("0", "-1", "1.5", "soon", "9" * 5000):
        headers = {"x-headwater-deadline-ms": deadline}

        status, answer = call(address, "POST", "/v1/models/delay/predict", {"inputs": [row()]}, headers)

        assert (status, answer["error"]["kind"]) == (400, "invalid_input"), deadline


def test_a_time_that_cannot_be_kept_fails_its_own_request_and_not_those_beside_it(
    address: str, sqlite_project: LocalProject
) -> None:
    moments = [1, 2**63, 2, -(2**63), 3, 2**70, 4, 5]
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda at: call(address, "POST", "/v1/models/delay/predict", {"inputs": [row()], "occurred_at": at}),
                moments,
            )
        )

    assert [status for status, _ in answers] == [200 if at in range(10) else 400 for at in moments]
    kept = sqlite_project.events.rows("predictions")
    assert sorted(each["occurred_at"] for each in kept) == [1, 2, 3, 4, 5]


def test_outcomes_are_limited_as_predictions_are(sqlite_project: LocalProject, version: ModelVersion) -> None:
    body = {"outcomes": [{"prediction": "0" * 26, "label": 1}]}
    with Engine(sqlite_project) as engine, served(sqlite_project, serve_routes(engine)) as address:
        engine.gate.under_way = engine.settings.most_under_way
        full, told = call(address, "POST", "/v1/outcomes", body)
        engine.gate.under_way = 0
        free, _ = call(address, "POST", "/v1/outcomes", body)

    assert (full, told["error"]["kind"], told["error"]["values"]["retry_after_s"]) == (503, "busy", 1)
    assert free == 200


def test_a_server_that_was_told_to_stop_is_not_ready_and_answers_what_it_has_begun(
    sqlite_project: LocalProject, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    with Engine(sqlite_project) as engine, served(sqlite_project, serve_routes(engine)) as address:
        assert call(address, "GET", "/readyz") == (200, {"ready": True})
        deployed = engine.deployment("delay")
        real = deployed.loaded.predict

        def slow(rows: Any, **more: Any) -> Any:
            begun.set()
            assert go_on.wait(20)
            return real(rows, **more)

        monkeypatch.setattr(deployed, "row_us", 1e6)  # computed by a thread
        monkeypatch.setattr(deployed.loaded, "predict", slow)
        with ThreadPoolExecutor(2) as pool:
            asked = pool.submit(call, address, "POST", "/v1/models/delay/predict", {"inputs": [row()]})
            assert begun.wait(20)
            closing = pool.submit(engine.close)
            while not engine.stopping:
                time.sleep(0.005)
            ready = call(address, "GET", "/readyz")
            go_on.set()
            closing.result(20)
            status, answer = asked.result(20)

        assert ready == (503, {"ready": False, "stopping": True})
        assert status == 200
        assert get_prediction(sqlite_project, answer["id"]).version == version.id


@pytest.mark.parametrize(("events", "shared"), [("sync", False), ("group", True)])
def test_with_sync_each_request_has_a_sync_of_its_own(
    sqlite_project: LocalProject, version: ModelVersion, monkeypatch: pytest.MonkeyPatch, events: str, shared: bool
) -> None:
    sqlite_project.settings.tables["serve"] = {"models": {"delay": {"events": events}}}
    monkeypatch.setattr("headwater.serve.recording.ALONE_S", 0.001)  # a disk so slow that threads write to it
    real = os.fdatasync
    syncs: list[int] = []

    def slow(descriptor: int) -> None:
        time.sleep(0.01)
        syncs.append(len(syncs))
        real(descriptor)

    with Engine(sqlite_project) as engine, served(sqlite_project, serve_routes(engine)) as address:
        call(address, "POST", "/v1/models/delay/predict", {"inputs": [row()]})
        monkeypatch.setattr(os, "fdatasync", slow)
        with ThreadPoolExecutor(8) as pool:
            asked = [
                pool.submit(call, address, "POST", "/v1/models/delay/predict", {"inputs": [row(at)]})
                for at in range(16)
            ]
            answered = {one.result()[1]["id"] for one in asked}
        monkeypatch.setattr(os, "fdatasync", real)

    assert (len(syncs) < 16) == shared
    assert answered <= {each["prediction"] for each in sqlite_project.events.rows("predictions")}
