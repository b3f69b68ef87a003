"""Somebody's HTTP API as a model: asked within its rate and cost, its answers recorded, its credentials kept out."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from headwater.errors import CorruptError, InvalidInputError, RefusedError, UnavailableError
from headwater.lake import add_table
from headwater.model import ModelFile, add_model, get_model_version, load
from headwater.model.flavours import get_flavour
from headwater.model.flavours.api import ANSWERS, Api, ApiPredictor
from headwater.model.recording import record_answers
from headwater.project import LocalProject
from tests.model.made import api_files, made

CONTRACT = made("api").contract


class Vendor:
    """A server that says late from 16 on; ``codes`` are answered first."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.codes: list[int] = []
        self.body: bytes | None = None
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                vendor.asked.append(given)
                vendor.headers.append(dict(self.headers))
                code = vendor.codes.pop(0) if vendor.codes else 200
                late = given["rows"][0]["hour"] >= 16
                answer = vendor.body or json.dumps({"answers": [{"late": late, "sure": 0.75}]}).encode()
                self.send_response(code)
                if code == 302:
                    self.send_header("Location", "http://127.0.0.1:1/")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    made_one = Vendor()
    yield made_one
    made_one.server.shutdown()
    made_one.server.server_close()
    made_one.thread.join()


def opened(vendor: Vendor, **more: Any) -> ApiPredictor:
    files = api_files(vendor.url, **{"allow_private": True, **more})
    return cast(ApiPredictor, get_flavour("api").load(files, CONTRACT, ()))


def ask(predictor: ApiPredictor, *hours: int) -> Any:
    import numpy as np

    return predictor.predict({"hour": np.array(hours)})["label"].tolist()


def test_each_row_is_asked_once_and_counted(vendor: Vendor) -> None:
    predictor = opened(vendor, cost_per_call=0.5, currency="EUR")

    assert ask(predictor, 15, 16, 15) == [False, True, False]

    assert vendor.asked == [{"rows": [{"hour": 15}]}, {"rows": [{"hour": 16}]}]
    usage = predictor.usage()
    assert (usage.calls, usage.recorded, usage.cost, usage.currency) == (2, 1, 1.0, "EUR")


def test_what_would_cost_too_much_is_not_asked(vendor: Vendor) -> None:
    predictor = opened(vendor, cost_per_call=0.5, currency="EUR", most_cost=1.0)

    with pytest.raises(RefusedError, match="2 calls have cost 1 EUR"):
        ask(predictor, 1, 2, 3)
    assert len(vendor.asked) == 2


def test_calls_keep_the_rate_of_the_api() -> None:
    files = api_files("https://vendor.example/v1", per_second=4.0)
    import msgspec

    now, waits = [100.0], []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    api = msgspec.json.decode(files["api.json"], type=Api)
    predictor = ApiPredictor(api, {}, CONTRACT, clock=lambda: now[0], wait=wait)
    for _ in range(4):
        predictor._take_turn()

    assert waits == pytest.approx([0.25, 0.25, 0.25])
    for _ in range(40):  # nobody waits for these turns, so the next one is ten seconds away
        predictor._next_at += 0.25
    predictor._next_at += 0.25
    with pytest.raises(UnavailableError, match="may be asked 4 times a second"):
        predictor._take_turn()


def test_an_answer_that_may_change_is_asked_for_again_and_others_are_not(vendor: Vendor) -> None:
    vendor.codes = [503, 429]
    assert ask(opened(vendor), 16) == [True]
    vendor.codes = [400]
    with pytest.raises(RefusedError, match="refused the request: 400"):
        ask(opened(vendor), 16)
    vendor.codes = [302]
    with pytest.raises(RefusedError, match="302"):
        ask(opened(vendor), 16)
    vendor.codes = [500, 500]
    with pytest.raises(UnavailableError, match="after 2 attempts: 500"):
        ask(opened(vendor, retries=1), 16)
    assert len(vendor.asked) == 3 + 1 + 1 + 2


@pytest.mark.parametrize(("body", "told"), [(b"<html>", "what is no JSON"), (b'{"answers": []}', "has no '/answers/0")])
def test_an_answer_of_another_form_is_told(vendor: Vendor, body: bytes, told: str) -> None:
    vendor.body = body

    with pytest.raises(UnavailableError, match=told):
        ask(opened(vendor), 16)


def test_credentials_come_from_the_environment_and_are_in_no_error(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENDOR_KEY", "s3cret-key")
    vendor.body, vendor.codes = b"no such key: s3cret-key", [401]

    with pytest.raises(RefusedError) as caught:
        ask(opened(vendor, headers={"Authorization": "Bearer env:VENDOR_KEY"}), 16)

    assert vendor.headers[0]["Authorization"] == "Bearer s3cret-key"
    assert "s3cret-key" not in str(caught.value)
    with pytest.raises(InvalidInputError, match="written out"):
        opened(vendor, headers={"Authorization": "Bearer s3cret-key"})


def test_an_address_off_the_public_network_is_not_asked_unless_the_description_says_so(vendor: Vendor) -> None:
    with pytest.raises(RefusedError, match="not on the public network"):
        ask(opened(vendor, allow_private=False), 16)
    assert vendor.asked == []


def test_a_description_that_cannot_work_is_refused_when_it_is_saved() -> None:
    save = get_flavour("api").save

    with pytest.raises(InvalidInputError, match="takes no input"):
        save(api_files("https://vendor.example", body={"rows": []}), CONTRACT)
    with pytest.raises(InvalidInputError, match="takes minute"):
        save(api_files("https://vendor.example", body={"$input": "minute"}), CONTRACT)
    with pytest.raises(CorruptError, match="cannot be read"):
        save(api_files("https://vendor.example", per_minute=3), CONTRACT)
    with pytest.raises(CorruptError, match="line 1"):
        get_flavour("api").load(api_files("https://vendor.example") | {ANSWERS: b"{}\n"}, CONTRACT, ())


def test_answers_are_recorded_in_a_version_that_asks_nobody_about_them(
    sqlite_project: LocalProject, vendor: Vendor, tmp_path: Path
) -> None:
    (tmp_path / "api.json").write_bytes(
        api_files(vendor.url, allow_private=True, cost_per_call=1.0, most_cost=4.0)["api.json"]
    )
    add_table(sqlite_project, "flights", "a.parquet", {"hour": [1, 16, 1, 20, 5, 6]})
    add_model(sqlite_project, "vendor", tmp_path / "api.json", contract=CONTRACT)

    first = record_answers(sqlite_project, "vendor@v1", "flights@v1", limit=3)
    second = record_answers(sqlite_project, "vendor@v2", "flights@v1")
    asked = len(vendor.asked)
    answers = load(sqlite_project, "vendor@v3").predict([{"hour": 1}, {"hour": 20}])

    assert (first.label, first.recorded, first.calls, first.cost) == ("vendor@v2", 2, 2, 2.0)
    assert (second.recorded, second.calls, second.ended) == (5, 3, "")
    assert [answer["label"] for answer in answers] == [False, True] and len(vendor.asked) == asked == 5
    version = get_model_version(sqlite_project, "vendor@v3")
    assert version.description == "as v2, recorded 2 → 5"
    assert {file.name for file in version.files} == {"api.json", ANSWERS}


def test_what_was_answered_before_the_cost_ended_it_is_kept(
    sqlite_project: LocalProject, vendor: Vendor, tmp_path: Path
) -> None:
    (tmp_path / "api.json").write_bytes(
        api_files(vendor.url, allow_private=True, cost_per_call=1.0, most_cost=2.0)["api.json"]
    )
    add_table(sqlite_project, "flights", "a.parquet", {"hour": [1, 2, 3]})
    add_model(sqlite_project, "vendor", tmp_path / "api.json", contract=CONTRACT)

    found = record_answers(sqlite_project, "vendor@v1", "flights@v1")

    assert (found.recorded, found.label) == (2, "vendor@v2") and "most_cost = 2" in found.ended


def test_only_an_api_is_recorded(sqlite_project: LocalProject) -> None:
    from headwater.model import register

    trees = made("xgboost")
    data = trees.files["model.ubj"]
    file = ModelFile(name="model.ubj", digest=sqlite_project.objects.put(data), size=len(data), flavour="xgboost")
    register(sqlite_project, "trees", files=[file], contract=trees.contract)

    with pytest.raises(InvalidInputError, match="only an 'api' is recorded"):
        record_answers(sqlite_project, "trees@v1", "flights@v1")
