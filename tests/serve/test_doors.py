from __future__ import annotations

import http.client
import json
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from headwater import canonical
from headwater.model import ModelVersion, load
from headwater.project import LocalProject
from headwater.serve import get_prediction
from headwater.serve.http import serve_app
from headwater.trace import replay
from tests.projects import running
from tests.serve.models import add_version, point, row

ROWS = [row(0), row(1), row(2)]


@pytest.fixture
def version(sqlite_project: LocalProject) -> ModelVersion:
    made = add_version(sqlite_project)
    point(sqlite_project, made)
    return made


@pytest.fixture
def address(sqlite_project: LocalProject, version: ModelVersion) -> Iterator[str]:
    with running(serve_app(sqlite_project, models=["delay"])) as where:
        yield where


@pytest.fixture
def right(sqlite_project: LocalProject, version: ModelVersion) -> list[dict[str, Any]]:
    return load(sqlite_project, version.id).predict(ROWS)


def ask(
    address: str, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def post(address: str, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, _, answer = ask(address, "POST", path, data, **{"content_type": "application/json", **headers})
    return status, json.loads(answer)


def tensors() -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": [3, 1], "datatype": "FP64", "data": [each[name] for each in ROWS]} for name in ROWS[0]
    ]


def test_the_open_inference_protocol_answers_json_tensors_as_the_model_does(
    address: str, sqlite_project: LocalProject, right: list[dict[str, Any]]
) -> None:
    status, answer = post(address, "/v2/models/delay/versions/1/infer", {"id": "a7", "inputs": tensors()})

    assert (status, answer["model_name"], answer["model_version"], answer["id"]) == (200, "delay", "1", "a7")
    for tensor in answer["outputs"]:
        assert tensor["shape"] == [3]
        assert tensor["data"] == [each[tensor["name"]] for each in right]
    for number, prediction in enumerate(answer["parameters"]["predictions"]):
        assert get_prediction(sqlite_project, prediction).inputs == ROWS[number]


def test_binary_tensors_go_in_and_come_out_with_the_same_bits(address: str, right: list[dict[str, Any]]) -> None:
    parts = [np.array([each[name] for each in ROWS], "<f8").tobytes() for name in ROWS[0]]
    inputs = [
        {"name": name, "shape": [3], "datatype": "FP64", "parameters": {"binary_data_size": len(part)}}
        for name, part in zip(ROWS[0], parts, strict=True)
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()

    status, headers, body = ask(
        address,
        "POST",
        "/v2/models/delay/infer",
        head + b"".join(parts),
        Inference_Header_Content_Length=str(len(head)),
    )

    end = int(headers["inference-header-content-length"])
    told, data = json.loads(body[:end]), body[end:]
    assert status == 200
    for tensor in told["outputs"]:
        size = tensor["parameters"]["binary_data_size"]
        mine, data = data[:size], data[size:]
        form = {"FP64": "<3d", "INT64": "<3q", "BOOL": "<3?"}[tensor["datatype"]]
        assert list(struct.unpack(form, mine)) == [each[tensor["name"]] for each in right]
    assert data == b""


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"shape": [2, 1]}, 400, "wants 2 values, its data have 3"),
        ({"data": ["x", 1, 2]}, 422, "the text 'x'"),
        ({"name": "colour"}, 422, "is not in the contract"),
        ({"parameters": {"binary_data_size": 24}}, 400, "binary_data_size 24"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_and_said_why(
    address: str, change: dict[str, Any], status: int, said: str
) -> None:
    inputs = tensors()
    inputs[1] = inputs[1] | change

    found, answer = post(address, "/v2/models/delay/infer", {"inputs": inputs})

    assert (found, said in answer["error"]["message"]) == (status, True), answer


def test_a_version_that_does_not_answer_is_not_found(address: str) -> None:
    assert post(address, "/v2/models/delay/versions/7/infer", {"inputs": tensors()})[0] == 404


def test_what_cannot_be_told_is_refused_before_it_is_computed(address: str, sqlite_project: LocalProject) -> None:
    wrong = {"inputs": tensors(), "outputs": [{"name": "colour"}]}
    status, answer = post(address, "/v2/models/delay/infer", wrong)
    assert (status, "colour" in answer["error"]["message"]) == (400, True), answer

    for length in ("9" * 5000, "-1", "x", "999999"):
        headers = {"inference_header_content_length": length}
        assert post(address, "/v2/models/delay/infer", {"inputs": tensors()}, **headers)[0] == 400, length

    status, answer = post(address, "/invocations", b"distance,hour\n1," + b"9" * 140_000, content_type="text/csv")
    assert (status, "cannot be read" in answer["error"]["message"]) == (400, True), answer
    assert sqlite_project.events.rows("predictions") == []


def test_metadata_and_health_are_the_protocols(address: str) -> None:
    metadata = json.loads(ask(address, "GET", "/v2/models/delay")[2])

    assert [(each["name"], each["datatype"], each["shape"]) for each in metadata["inputs"]] == [
        (name, "FP64", [-1, 1]) for name in ROWS[0]
    ]
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/delay/ready", "/healthz", "/readyz"):
        assert ask(address, "GET", path)[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": list(ROWS[0]), "data": [list(each.values()) for each in ROWS]}},
        {"dataframe_records": ROWS},
        {"instances": [list(each.values()) for each in ROWS]},
        {"inputs": {name: [each[name] for each in ROWS] for name in ROWS[0]}},
    ],
)
def test_mlflows_protocol_answers_each_of_its_forms(
    address: str, body: dict[str, Any], right: list[dict[str, Any]]
) -> None:
    assert post(address, "/invocations", body) == (200, {"predictions": right})


def test_mlflows_protocol_answers_csv_and_pings(address: str, right: list[dict[str, Any]]) -> None:
    lines = [",".join(ROWS[0]), *(",".join(map(repr, each.values())) for each in ROWS)]

    status, answer = post(address, "/invocations", "\n".join(lines).encode(), content_type="text/csv")

    assert (status, answer) == (200, {"predictions": right})
    assert ask(address, "GET", "/ping")[0] == 200
    assert post(address, "/invocations", {"rows": []})[0] == 400


def test_a_server_of_one_model_answers_predict_without_a_name(address: str) -> None:
    status, answer = post(address, "/predict", {"inputs": ROWS})

    assert (status, answer["model"], len(answer["predictions"])) == (200, "delay", 3)


def test_metrics_count_requests_rows_and_refusals(address: str) -> None:
    post(address, "/predict", {"inputs": ROWS})
    post(address, "/predict", {"inputs": [{}]})

    text = ask(address, "GET", "/metrics")[2].decode()

    assert 'headwater_predictions_total{model="delay",channel="production",version="v1"} 3' in text
    assert 'headwater_requests_total{status="422"} 1' in text
    assert "headwater_refused_rows_total 1" in text
    assert "headwater_ledger_away 0" in text


def test_the_page_shows_the_contract_and_answers_its_form(address: str) -> None:
    status, headers, shown = ask(address, "GET", "/v1/docs")
    form = {name: repr(value) for name, value in ROWS[0].items()}
    good = ask(address, "POST", "/v1/docs?model=delay", urlencode(form).encode())
    bad = ask(address, "POST", "/v1/docs?model=delay", urlencode(form | {"hour": "noon"}).encode())

    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert all(f">{name} <" in shown.decode() for name in ROWS[0])
    assert good[0] == 200
    assert "probability" in good[2].decode()
    assert bad[0] == 422
    assert "the text &#39;noon&#39;" in bad[2].decode()


def test_json_nested_too_deeply_is_refused(address: str) -> None:
    deep = b'{"inputs": [{"hour": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}"

    status, answer = post(address, "/predict", deep)

    assert status in (400, 422)
    assert answer["error"]["message"].endswith(".")
    assert post(address, "/predict", {"inputs": ROWS})[0] == 200


def with_settings(project: LocalProject, **serve: Any) -> LocalProject:
    project.settings.tables["serve"] = serve
    return project


def test_a_body_that_comes_too_slowly_is_given_up(sqlite_project: LocalProject, version: ModelVersion) -> None:
    with running(serve_app(with_settings(sqlite_project, body_s=0.3), models=["delay"])) as address:
        host, _, port = address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(b'POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"inputs"')
            answer = connection.recv(4096)

        assert answer.startswith(b"HTTP/1.1 408")
        assert post(address, "/predict", {"inputs": ROWS})[0] == 200


def test_more_requests_than_the_server_takes_on_are_turned_away_and_told_when_to_come_back(
    sqlite_project: LocalProject, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = serve_app(with_settings(sqlite_project, most_under_way=2), models=["delay"])
    engine = app.rest.state.engine
    with running(app) as address:
        deployed = engine.deployment("delay")
        monkeypatch.setattr(deployed, "row_us", 1e6)  # computed by threads
        real = deployed.loaded.predict

        def slow(rows: Any, **more: Any) -> Any:
            time.sleep(0.3)
            return real(rows, **more)

        monkeypatch.setattr(deployed.loaded, "predict", slow)
        body = json.dumps({"inputs": [row()]}).encode()
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: ask(address, "POST", "/predict", body), range(8)))

    counts = [status for status, _, _ in answers]
    assert counts.count(200) >= 2
    assert set(counts) == {200, 503}
    assert all(headers["retry-after"] == "1" for status, headers, _ in answers if status == 503)


def test_one_caller_with_too_many_requests_is_turned_away_and_others_are_not(
    sqlite_project: LocalProject, version: ModelVersion
) -> None:
    app = serve_app(with_settings(sqlite_project, most_per_caller=2), models=["delay"])
    gate = app.rest.state.engine.gate
    body = json.dumps({"inputs": [row()]}).encode()
    with running(app) as address:
        begun = [gate.enter(""), gate.enter("ann")]  # two callers: the one without a name asks over HTTP here
        assert ask(address, "POST", "/predict", body)[0] == 200
        gate.enter("")
        status, headers, answer = ask(address, "POST", "/predict", body)
        gate.leave("", begun[0])
        again = ask(address, "POST", "/predict", body)[0]

    assert (status, json.loads(answer)["error"]["kind"], headers["retry-after"]) == (429, "too_many_requests", "1")
    assert again == 200
    assert gate.turned_away == 1


def test_an_answer_that_comes_too_late_is_not_given(
    sqlite_project: LocalProject, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = serve_app(sqlite_project, models=["delay"])
    with running(app) as address:
        deployed = app.rest.state.engine.deployment("delay")
        monkeypatch.setattr(deployed, "row_us", 1e6)
        monkeypatch.setattr(deployed.loaded, "predict", lambda rows, **more: time.sleep(1))
        began = time.monotonic()

        status, answer = post(address, "/predict", {"inputs": [row()]}, x_headwater_deadline_ms="100")

        assert (status, answer["error"]["kind"]) == (504, "deadline")
        assert time.monotonic() - began < 0.9


def test_masked_inputs_are_answered_by_and_not_kept(sqlite_project: LocalProject, version: ModelVersion) -> None:
    settings = {"models": {"delay": {"mask": ["hour"]}}}
    with running(serve_app(with_settings(sqlite_project, **settings), models=["delay"])) as address:
        _, answer = post(address, "/predict", {"inputs": [row()]})
        text = ask(address, "GET", "/metrics")[2].decode()

        kept = get_prediction(sqlite_project, answer["id"])
    assert kept.inputs == row() | {"hour": None}
    assert (kept.left_out, len(kept.commitment or "")) == ("hour", 64)
    replayed = replay(sqlite_project, [answer["id"]])
    assert [each.why for each in replayed.not_kept] == [
        f"prediction {answer['id']} of its batch was kept without hour, as the model's settings say"
    ]
    assert answer["predictions"][0]["probability"] == kept.outputs["probability"]
    assert 'headwater_left_out_total{model="delay",channel="production",version="v1"} 1' in text


def test_of_a_refused_masked_field_the_value_is_not_kept(sqlite_project: LocalProject, version: ModelVersion) -> None:
    for mask, told in (["hour"], "masked"), ([], "77123"):
        settings = {"models": {"delay": {"mask": mask}}}
        with running(serve_app(with_settings(sqlite_project, **settings), models=["delay"])) as address:
            status, answer = post(address, "/predict", {"inputs": [row() | {"hour": "77123"}]})
            sqlite_project.events.flush()

        kept = sqlite_project.events.rows("refusals")[-1]
        assert (status, "77123" in str(answer)) == (422, True)  # who sent it may see it
        assert told in kept["problems"]
        assert ("77123" in kept["problems"]) == (not mask)


def test_of_sampled_predictions_a_share_is_kept_whole_and_the_rest_by_id(
    sqlite_project: LocalProject, version: ModelVersion
) -> None:
    settings = {"models": {"delay": {"events": "sampled", "sample": 0.3}}}
    with running(serve_app(with_settings(sqlite_project, **settings), models=["delay"])) as address:
        _, answer = post(address, "/predict", {"inputs": [row(at) for at in range(400)]})
        sqlite_project.events.flush()

        rows = sqlite_project.events.rows("predictions")
    assert {each["prediction"] for each in rows} == {each["id"] for each in answer["predictions"]}
    whole = [each for each in rows if each["inputs"] is not None]
    assert 70 < len(whole) < 170  # 0.3 of 400, five standard deviations either way
    assert all(each["left_out"] == "*" and each["commitment"] for each in rows if each["inputs"] is None)
    assert all(canonical.decode(each["inputs"]) == row(each["position"]) for each in whole)


def test_requests_of_one_turn_share_a_batch_that_a_replay_repeats(
    sqlite_project: LocalProject, version: ModelVersion, right: list[dict[str, Any]]
) -> None:
    app = serve_app(with_settings(sqlite_project, models={"delay": {"batching": "on"}}), models=["delay"])
    with running(app) as address:
        monkey = app.rest.state.engine.deployment("delay")
        real = monkey.loaded.predict
        sizes: list[int] = []

        def slow(rows: Any, **more: Any) -> Any:
            sizes.append(len(rows))
            time.sleep(0.02)
            return real(rows, **more)

        monkey.loaded.predict = slow
        monkey.row_us = 20_000.0  # computed by threads, so that requests gather
        monkey.more_us = 1.0
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda at: post(address, "/predict", {"inputs": [ROWS[at % 3]]}), range(64)))

    for at, (status, answer) in enumerate(answers):
        assert status == 200
        assert {k: v for k, v in answer["predictions"][0].items() if k != "id"} == right[at % 3]
    assert sum(sizes) == 64
    assert max(sizes) > 1
    kept = sqlite_project.events.rows("predictions")
    batches: dict[str, list[int]] = {}
    for each in kept:
        batches.setdefault(each["batch"], []).append(each["position"])
    assert sorted(map(len, batches.values())) == sorted(sizes)
    assert all(sorted(places) == list(range(len(places))) for places in batches.values())
    again = replay(sqlite_project, [answer["id"] for _, answer in answers])
    assert (again.equal, again.different) == (64, ())
