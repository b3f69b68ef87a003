from __future__ import annotations

import http.client
import json
import threading
import time
from typing import Any

import pytest

from headwater.model import ModelVersion, load
from headwater.project import LocalProject, open_project
from headwater.serve import Engine, get_prediction, serve_routes
from headwater.serve.deployments import Deployment, Fleet
from tests.projects import served
from tests.serve.models import add_version, point, row

CLIENTS = 8
ROWS = [row(0), row(1), row(2)]


class Clients:
    """Threads that ask over and over on a kept connection, and keep every answer and every failure."""

    def __init__(self, address: str) -> None:
        self.answers: list[dict[str, Any]] = []
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(address,)) for _ in range(CLIENTS)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, address: str) -> None:
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
        body = json.dumps({"inputs": ROWS})
        while not self._stop.is_set():
            try:
                connection.request("POST", "/v1/models/delay/predict", body, {"content-type": "application/json"})
                response = connection.getresponse()
                answer = response.read()
                if response.status == 200:
                    self.answers.append(json.loads(answer))
                else:
                    self.failures.append(answer.decode())
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
        connection.close()


def expected(project: LocalProject, versions: list[ModelVersion]) -> dict[str, list[dict[str, Any]]]:
    return {version.id: load(project, version.id).predict(ROWS) for version in versions}


def wrong_answers(answers: list[dict[str, Any]], right: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the answers that are not, in every row, what the version they name says."""
    return [
        answer
        for answer in answers
        if [{k: v for k, v in each.items() if k != "id"} for each in answer["predictions"]]
        != right[answer["model_version"]]
    ]


def wait_for(clients: Clients, version: ModelVersion, seconds: float = 20) -> float:
    """Return after how long the newest answer is by a version."""
    start = time.monotonic()
    while not clients.answers or clients.answers[-1]["model_version"] != version.id:
        assert time.monotonic() - start < seconds, f"{version.label} never answered: {clients.failures[:1]}"
        time.sleep(0.005)
    return time.monotonic() - start


def test_releases_and_rollbacks_under_load_drop_nothing_and_mix_no_answer(sqlite_project: LocalProject) -> None:
    old, new = add_version(sqlite_project, 2), add_version(sqlite_project, 3)
    right = expected(sqlite_project, [old, new])
    point(sqlite_project, old)

    with (
        Engine(sqlite_project) as engine,
        served(sqlite_project, serve_routes(engine)) as address,
        Clients(address) as clients,
    ):
        wait_for(clients, old)
        for _ in range(5):
            for version in (new, old):
                point(sqlite_project, version)
                wait_for(clients, version)

    assert clients.failures == []
    assert wrong_answers(clients.answers, right) == []
    assert {answer["model_version"] for answer in clients.answers} == {old.id, new.id}
    for answer in clients.answers[:: max(len(clients.answers) // 50, 1)]:
        assert get_prediction(sqlite_project, answer["predictions"][2]["id"]).version == answer["model_version"]


def test_an_engine_that_swapped_parts_in_place_would_be_caught(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = add_version(sqlite_project, 2), add_version(sqlite_project, 3)
    right = expected(sqlite_project, [old, new])
    point(sqlite_project, old)
    real = Fleet._deploy

    def in_place(self: Fleet, project: Any, key: Any, head: str) -> Deployment:
        made, lane = real(self, project, key, head), self.lane(*key)
        if lane is None:
            return made
        current = lane.stable
        current.loaded = made.loaded
        time.sleep(0.3)  # the version follows its model a moment later
        current.version, current.label, current.execution = made.version, made.label, made.execution
        return current

    monkeypatch.setattr(Fleet, "_deploy", in_place)
    with (
        Engine(sqlite_project) as engine,
        served(sqlite_project, serve_routes(engine)) as address,
        Clients(address) as clients,
    ):
        wait_for(clients, old)
        point(sqlite_project, new)
        wait_for(clients, new)

    assert wrong_answers(clients.answers, right)


@pytest.mark.long
def test_an_engine_that_closed_the_old_model_at_once_would_be_caught(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = add_version(sqlite_project, 2), add_version(sqlite_project, 3)
    point(sqlite_project, old)
    real = Fleet._deploy

    def without_draining(self: Fleet, project: Any, key: Any, head: str) -> Deployment:
        if (lane := self.lane(*key)) is not None:
            lane.stable.loaded._predictor = None  # type: ignore[assignment]  # as a freed session would be
            time.sleep(0.5)  # a large model takes its time to load
        return real(self, project, key, head)

    monkeypatch.setattr(Fleet, "_deploy", without_draining)
    with (
        Engine(sqlite_project) as engine,
        served(sqlite_project, serve_routes(engine)) as address,
        Clients(address) as clients,
    ):
        wait_for(clients, old)
        point(sqlite_project, new)
        wait_for(clients, new)

    assert clients.failures


def test_a_release_by_another_process_takes_over_soon(sqlite_project: LocalProject) -> None:
    old, new = add_version(sqlite_project, 2), add_version(sqlite_project, 3)
    point(sqlite_project, old)
    with (
        Engine(sqlite_project) as engine,
        served(sqlite_project, serve_routes(engine)) as address,
        open_project(sqlite_project.root) as other,
        Clients(address) as clients,
    ):
        wait_for(clients, old)
        assert isinstance(other, LocalProject)
        point(other, new)

        assert wait_for(clients, new) < 10


def test_a_version_that_cannot_be_loaded_leaves_the_one_before_in_place(
    sqlite_project: LocalProject, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = add_version(sqlite_project, 2), add_version(sqlite_project, 3)
    point(sqlite_project, old)
    with sqlite_project.ledger.write() as tx:
        tx.execute("UPDATE model_files SET digest = ? WHERE version = ?", ("a" * 64, new.id))
    with Engine(sqlite_project) as engine:
        point(sqlite_project, new)
        time.sleep(0.6)

        assert engine.predict("delay", [row()]).model_version == old.id
        assert [each.loaded for each in engine.served()] == [False]
    assert "the one before goes on answering" in caplog.text


def test_a_request_that_began_before_the_release_ends_with_its_version(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = add_version(sqlite_project, 2), add_version(sqlite_project, 3)
    point(sqlite_project, old)
    with Engine(sqlite_project) as engine:
        begun, go_on = threading.Event(), threading.Event()
        real = engine.deployment("delay").loaded.predict

        def slow(rows: Any, **more: Any) -> Any:
            begun.set()
            assert go_on.wait(20)
            return real(rows, **more)

        monkeypatch.setattr(engine.deployment("delay").loaded, "predict", slow)
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(engine.predict("delay", [row()])))
        thread.start()
        assert begun.wait(20)
        point(sqlite_project, new)
        while engine.deployment("delay").version.id != new.id:
            time.sleep(0.01)
        go_on.set()
        thread.join()

    assert answers[0].model_version == old.id
