"""Canaries, shadows and an absent ledger, as they are served."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from headwater.errors import InvalidInputError, NotFoundError, StorageError, UnavailableError
from headwater.ledger import Ledger, WriteTx
from headwater.model import ContractError, ModelVersion
from headwater.project import LocalProject
from headwater.serve import Engine, predict
from headwater.serve.deployments import Deployment, Fleet
from headwater.serve.engine import fleet_of
from headwater.serve.failures import FAILURES, NOT_KEPT, is_fault
from headwater.serve.http import serve_app
from headwater.serve.limits import BusyError, DeadlineError
from headwater.serve.shadowing import SHADOWS
from headwater.serve.traffic import WHOLE, Following, Route, changed_over, picked, place_of, told
from tests.projects import running
from tests.serve.models import add_version, point, row


def roll_out(project: LocalProject, version: ModelVersion, kind: str, share: int, step: int = 1) -> None:
    """Record a rollout beside what production points to, as a release does."""

    def change(tx: WriteTx) -> None:
        tx.execute("UPDATE rollouts SET status = 'withdrawn', step = step + 1 WHERE status = 'open'")
        if share >= 0:
            tx.insert(
                "rollouts", id=tx.new_id(), place=f"{version.model}/production", model=version.model,
                channel="production", kind=kind, version=version.id, number=version.number,
                stable=tx.pointer("channel", f"{version.model}/production"), request=None, stages="[]", rules="null",
                stage=0, share=share, step=step, status="open", why="", person="ann", claimed=1, reason="test",
                started_at=tx.now, stage_at=tx.now, ended_at=None,
            )  # fmt: skip
        tx.announce("rollout", f"rollout:{tx.new_id()}")

    with project.ledger.write() as tx:
        change(tx)


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def post(address: str, path: str, body: Any) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
    try:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def candidate_ready(engine: Engine) -> bool:
    lane = engine._fleet.lane("delay", "production")
    return lane is not None and lane.candidate is not None


@pytest.fixture
def versions(sqlite_project: LocalProject) -> tuple[ModelVersion, ModelVersion]:
    old, new = add_version(sqlite_project, 2), add_version(sqlite_project, 3)
    point(sqlite_project, old)
    return old, new


def test_a_canary_answers_its_share_of_requests_and_each_answer_says_by_which_version(
    sqlite_project: LocalProject, versions: tuple[ModelVersion, ModelVersion]
) -> None:
    old, new = versions
    with Engine(sqlite_project) as engine:
        right = {each.id: engine._fleet._deploy(sqlite_project, ("delay", "production"), each.id) for each in versions}
        expected = {key: each.loaded.predict([row()]) for key, each in right.items()}
        roll_out(sqlite_project, new, "canary", 3000)
        wait_until(lambda: candidate_ready(engine))

        answers = [engine.predict("delay", [row()]) for _ in range(300)]
        roll_out(sqlite_project, new, "canary", -1)
        wait_until(lambda: not candidate_ready(engine))
        after = {engine.predict("delay", [row()]).model_version for _ in range(50)}

    by = Counter(each.model_version for each in answers)
    assert set(by) == {old.id, new.id}
    assert 45 < by[new.id] < 145  # 90 expected; a sound count misses this once in 10^7
    for each in answers:
        [said] = each.predictions
        assert {key: value for key, value in said.items() if key != "id"} == expected[each.model_version][0]
    assert after == {old.id}


Send = Callable[[str], str]


@contextmanager
def doors(project: LocalProject, new: ModelVersion) -> Iterator[dict[str, Send]]:
    """Serve a canary of half the requests; yields by each door what sends a key and returns the version that answered.

    An empty key is not sent.
    """
    app = serve_app(project, models=["delay"])
    given, tensors = row(), [{"name": n, "shape": [1], "datatype": "FP64", "data": [v]} for n, v in row().items()]
    csv = f"{','.join(given)}\n{','.join(map(str, given.values()))}\n"
    with running(app) as address, closing(http.client.HTTPConnection(address.removeprefix("http://"))) as connection:
        roll_out(project, new, "canary", WHOLE // 2)
        wait_until(lambda: candidate_ready(app.rest.state.engine))

        def door(path: str, body: Any, media: str = "application/json", method: str = "POST") -> Send:
            data = body if isinstance(body, str) else json.dumps(body)

            def send(key: str) -> str:
                headers = {"content-type": media, **({"X-Headwater-Key": key} if key else {})}
                connection.request(method, path, data, headers)
                response = connection.getresponse()
                said = response.read()
                assert response.status == 200, said
                version = response.getheader("x-headwater-version") or json.loads(said).get("version")
                return version or "v" + json.loads(said)["model_version"]

            return send

        yield {
            "predict": door("/v1/models/delay/predict", {"inputs": [given]}),
            "predict of the only model": door("/predict", {"inputs": [given]}),
            "file": door("/v1/models/delay/predict/file", csv, "text/csv"),
            "mlflow": door("/invocations", {"dataframe_records": [given]}),
            "inference": door("/v2/models/delay/infer", {"inputs": tensors}),
            "about": door("/v1/models/delay", "", method="GET"),
        }


def test_requests_of_one_key_are_answered_by_one_version_whichever_door_they_take(
    sqlite_project: LocalProject, versions: tuple[ModelVersion, ModelVersion]
) -> None:
    with doors(sqlite_project, versions[1]) as by:
        one = {by["predict"]("user-7") for _ in range(200)}
        keys = [f"user-{number}" for number in range(16)]
        answered = {name: [send(key) for key in keys] for name, send in by.items()}
        told = [predict(sqlite_project, "delay", [row()], key=key).version for key in keys]
        chance = {name: {send("") for _ in range(40)} for name, send in by.items()}  # planted: no key is sent
        with pytest.raises(AssertionError, match="a key at most 200"):
            by["predict"]("x" * 201)

    assert len(one) == 1
    assert set(answered["predict"]) == {"v1", "v2"}
    assert all(each == answered["predict"] == told for each in answered.values())
    assert all(each == {"v1", "v2"} for each in chance.values()), chance  # none misses one of them in 10^10


def test_a_request_that_a_canary_fails_is_answered_whole_by_the_present_version(
    sqlite_project: LocalProject, versions: tuple[ModelVersion, ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = versions
    with Engine(sqlite_project) as engine:
        roll_out(sqlite_project, new, "canary", WHOLE)
        wait_until(lambda: candidate_ready(engine))
        lane = engine._fleet.lane("delay", "production")
        assert lane is not None and lane.candidate is not None

        def broken(rows: Any, **more: Any) -> Any:
            raise ValueError("out of range")

        monkeypatch.setattr(lane.candidate.loaded, "predict", broken)
        answers = [engine.predict("delay", [row(), row(1)]) for _ in range(5)]

    assert {each.model_version for each in answers} == {old.id}
    kept = sqlite_project.events.query("SELECT * FROM serve_failures", streams=[FAILURES.name]).dicts()
    assert [(each["version"], each["kind"], each["answered_by"]) for each in kept] == [
        (new.id, "ValueError", old.id)
    ] * 5


def test_what_the_caller_did_wrong_is_no_fault_of_a_canary(
    sqlite_project: LocalProject, versions: tuple[ModelVersion, ModelVersion]
) -> None:
    with Engine(sqlite_project) as engine:
        roll_out(sqlite_project, versions[1], "canary", WHOLE)
        wait_until(lambda: candidate_ready(engine))
        with pytest.raises(ContractError):
            engine.predict("delay", [{"distance": "far"}])
        with pytest.raises(InvalidInputError):
            engine.predict("delay", [])

    assert sqlite_project.events.query("SELECT 1 FROM serve_failures", streams=[FAILURES.name]).fetchall() == []
    assert is_fault(ValueError())
    assert not is_fault(InvalidInputError("x"))


def test_what_the_disk_the_load_or_the_clock_did_is_no_fault_of_a_version() -> None:
    for error in (StorageError("x"), BusyError("x"), DeadlineError("x"), InvalidInputError("x")):
        assert not is_fault(error)
    assert is_fault(ContractError("x"))


def test_what_a_canary_said_of_a_masked_field_is_not_kept(
    sqlite_project: LocalProject, versions: tuple[ModelVersion, ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(rows: Any, **more: Any) -> Any:
        raise ValueError(f"hour {rows[0]['hour']} is out of range")

    for mask, said in (["hour"], NOT_KEPT), ([], "hour 77123.0 is out of range"):
        sqlite_project.settings.tables["serve"] = {"models": {"delay": {"mask": mask}}}
        with Engine(sqlite_project) as engine:
            roll_out(sqlite_project, versions[1], "canary", WHOLE)
            wait_until(lambda: candidate_ready(engine))
            lane = engine._fleet.lane("delay", "production")
            assert lane is not None and lane.candidate is not None
            monkeypatch.setattr(lane.candidate.loaded, "predict", broken)
            engine.predict("delay", [row() | {"hour": 77123.0}])

        sqlite_project.events.flush()
        assert sqlite_project.events.rows("serve_failures")[-1]["message"] == said


def test_a_request_for_one_version_is_answered_by_that_one_or_not_at_all(
    sqlite_project: LocalProject, versions: tuple[ModelVersion, ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = versions
    app = serve_app(sqlite_project, models=["delay"])
    engine = app.rest.state.engine
    inputs = [{"name": name, "shape": [1], "datatype": "FP64", "data": [value]} for name, value in row().items()]
    chances = itertools.cycle([0.9, 0.1])  # the present version, the canary, ...
    with running(app) as address:
        roll_out(sqlite_project, new, "canary", WHOLE // 2)
        wait_until(lambda: candidate_ready(engine))
        monkeypatch.setattr("headwater.serve.deployments.random", SimpleNamespace(random=lambda: next(chances)))
        pinned = [post(address, "/v2/models/delay/versions/1/infer", {"inputs": inputs}) for _ in range(4)]
        free = [post(address, "/v2/models/delay/infer", {"inputs": inputs}) for _ in range(4)]
        records = [post(address, "/invocations", {"dataframe_records": [row()]})[0] for _ in range(4)]

        def broken(rows: Any, **more: Any) -> Any:
            raise ValueError("out of range")

        monkeypatch.setattr(engine._fleet.lane("delay", "production").candidate.loaded, "predict", broken)
        failed = [post(address, "/v2/models/delay/versions/2/infer", {"inputs": inputs}) for _ in range(2)]
        helped = [post(address, "/v2/models/delay/infer", {"inputs": inputs}) for _ in range(2)]

    assert [(status, told.get("model_version")) for status, told in pinned] == [(200, "1"), (404, None)] * 2
    assert [told["model_version"] for _, told in free] == ["1", "2"] * 2
    assert records == [200] * 4
    assert [status for status, _ in failed] == [404, 500]
    assert [(status, told["model_version"]) for status, told in helped] == [(200, "1")] * 2
    answered = sqlite_project.events.query("SELECT version FROM predictions", streams=["predictions"]).fetchall()
    assert Counter(each for (each,) in answered) == {old.id: 2 + 2 + 2 + 2, new.id: 2 + 2}


def test_a_shadow_sees_each_request_and_answers_nobody(
    sqlite_project: LocalProject, versions: tuple[ModelVersion, ModelVersion]
) -> None:
    old, new = versions
    with Engine(sqlite_project) as engine:
        roll_out(sqlite_project, new, "shadow", 0)
        wait_until(lambda: candidate_ready(engine))
        answers = [engine.predict("delay", [row(), row(1)]) for _ in range(10)]
        expected = engine._fleet._deploy(sqlite_project, ("delay", "production"), new.id).loaded.predict([row()])

    assert {each.model_version for each in answers} == {old.id}
    kept = sqlite_project.events.query("SELECT * FROM serve_shadows", streams=[SHADOWS.name]).dicts()
    ids = {each["id"] for answer in answers for each in answer.predictions}
    assert {each["prediction"] for each in kept} == ids
    assert {(each["version"], each["answered_by"], each["agrees"]) for each in kept} == {(new.id, old.id, False)}
    assert len(kept) == 20 and expected


def test_a_shadow_that_breaks_or_is_slow_changes_no_answer(
    sqlite_project: LocalProject, versions: tuple[ModelVersion, ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.serve.shadowing.MOST_WAITING", 4)
    with Engine(sqlite_project) as engine:
        roll_out(sqlite_project, versions[1], "shadow", 0)
        wait_until(lambda: candidate_ready(engine))
        lane = engine._fleet.lane("delay", "production")
        assert lane is not None and lane.shadow is not None

        def slow(rows: Any, **more: Any) -> Any:
            time.sleep(0.05)
            raise ValueError("no")

        monkeypatch.setattr(lane.shadow.loaded, "predict", slow)
        start = time.monotonic()
        for _ in range(12):
            assert engine.predict("delay", [row()]).model_version == versions[0].id
        assert time.monotonic() - start < 0.5

    kept = sqlite_project.events.query("SELECT error, left_out FROM serve_shadows", streams=[SHADOWS.name]).dicts()
    assert {each["error"] for each in kept} == {"ValueError: no"}
    assert len(kept) < 12


def test_predicting_as_an_operation_leaves_no_thread_behind(
    sqlite_project: LocalProject, versions: tuple[ModelVersion, ModelVersion]
) -> None:
    predict(sqlite_project, "delay", [row()])
    roll_out(sqlite_project, versions[1], "shadow", 0)
    fleet_of(sqlite_project).follow(sqlite_project, wait=True)

    answers = [predict(sqlite_project, "delay", [row()]) for _ in range(3)]

    assert [each.name for each in threading.enumerate() if "shadow" in each.name or "serve" in each.name] == []
    sqlite_project.events.flush()
    kept = sqlite_project.events.rows("serve_shadows")
    assert [each["prediction"] for each in kept] == [each.id for each in answers]


def test_a_name_that_is_not_released_is_told_while_another_version_loads(
    sqlite_project: LocalProject, versions: tuple[ModelVersion, ModelVersion]
) -> None:
    fleet = Fleet()
    with fleet._loading, ThreadPoolExecutor(1) as pool:
        for name, channel in (("weather", "production"), ("delay", "staging")):
            asked = pool.submit(fleet.find, sqlite_project, name, channel)
            with pytest.raises(NotFoundError):
                asked.result(10)


def test_a_release_during_the_first_load_is_what_answers(
    sqlite_project: LocalProject, versions: tuple[ModelVersion, ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = versions
    fleet = Fleet()
    real = Fleet._deploy
    loaded: list[str] = []

    def meanwhile(self: Fleet, project: Any, key: Any, head: str) -> Deployment:
        made = real(self, project, key, head)
        if not loaded:
            point(sqlite_project, new)
            fleet._look(project)  # as the follower does
        loaded.append(head)
        return made

    monkeypatch.setattr(Fleet, "_deploy", meanwhile)

    assert fleet.find(sqlite_project, "delay", "production").version.id == new.id
    assert loaded == [old.id, new.id]


@contextmanager
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let every transaction of every ledger fail, as with a database that is gone."""

    def gone(self: Ledger, *_: Any) -> Any:
        raise UnavailableError("the database does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_begin", gone)
        yield


def test_serving_goes_on_from_the_last_known_release_while_the_ledger_is_away_and_says_so(
    sqlite_project: LocalProject, versions: tuple[ModelVersion, ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = versions
    with Engine(sqlite_project) as engine:
        assert engine.predict("delay", [row()]).notice == ""
        with away(monkeypatch):
            wait_until(lambda: engine.notice() != "")
            without = engine.predict("delay", [row()])
            assert engine.only_model() == "delay"
        point(sqlite_project, new)
        wait_until(lambda: engine.deployment("delay").version.id == new.id)
        again = engine.predict("delay", [row()])

    assert (without.model_version, again.model_version, again.notice) == (old.id, new.id, "")
    assert "last known release" in without.notice
    assert "does not answer" in without.notice
    kept = sqlite_project.events.query("SELECT count(*) FROM predictions", streams=["predictions"]).fetchall()
    assert kept == [(3,)]


def test_a_ledger_that_hangs_is_noticed_too(
    sqlite_project: LocalProject, versions: tuple[ModelVersion, ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.serve.deployments.AWAY_S", 0.2)
    real = Ledger._begin

    def hanging(self: Ledger, *given: Any) -> Any:
        time.sleep(1.5)
        return real(self, *given)

    with Engine(sqlite_project) as engine:
        monkeypatch.setattr(Ledger, "_begin", hanging)
        wait_until(lambda: "has not answered" in engine.notice(), 5)
        assert engine.predict("delay", [row()]).model_version == versions[0].id
        monkeypatch.setattr(Ledger, "_begin", real)


def test_going_back_takes_no_loading_and_does_not_wait_for_another_that_loads(
    sqlite_project: LocalProject, versions: tuple[ModelVersion, ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = versions
    other = add_version(sqlite_project, 1, model="slow")
    point(sqlite_project, other)
    with Engine(sqlite_project) as engine:
        point(sqlite_project, new)
        wait_until(lambda: engine.deployment("delay").version.id == new.id)
        real = Fleet._deploy

        def slowly(self: Fleet, project: Any, key: Any, head: str) -> Deployment:
            time.sleep(3)
            return real(self, project, key, head)

        monkeypatch.setattr(Fleet, "_deploy", slowly)
        point(sqlite_project, add_version(sqlite_project, 3, model="slow"))
        wait_until(engine._fleet._loading.locked)
        start = time.monotonic()
        point(sqlite_project, old)
        wait_until(lambda: engine.deployment("delay").version.id == old.id)

        assert time.monotonic() - start < 1
        assert engine._fleet._loading.locked()


def test_a_key_keeps_its_version_while_the_share_grows_and_shares_are_what_they_say() -> None:
    def route(share: int) -> Route:
        return Route(revision=1, stable="a", candidate="b", kind="canary", share=share, rollout="r")

    keys = [f"caller-{number}" for number in range(20_000)]
    small = {key for key in keys if picked(route(500), key) == "b"}
    large = {key for key in keys if picked(route(2500), key) == "b"}

    assert small < large
    assert 0.04 < len(small) / len(keys) < 0.06
    assert 0.24 < len(large) / len(keys) < 0.26
    assert place_of("r", keys[0]) != place_of("q", keys[0]) or place_of("r", keys[1]) != place_of("q", keys[1])
    assert picked(route(0), keys[0]) == "a"


def test_an_older_route_changes_nothing() -> None:
    now = told(Following(), Route(revision=5, stable="b"))

    assert told(now, Route(revision=4, stable="a")) == now
    assert changed_over(now, set()).answering is None
    assert changed_over(now, {"b"}).answering == Route(revision=5, stable="b")
