from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import InvalidInputError, NotFoundError, StorageError, UnavailableError
from headwater.model import ContractError, load
from headwater.project import LocalProject, Project, create_project
from headwater.sdk.models import model as follow_channel
from headwater.serve import get_prediction, list_predictions
from headwater.serve.following import FollowedModel
from headwater.serve.spool import read_records
from headwater.trace import replay
from tests.projects import served
from tests.serve.models import add_version, point, row


class Line:
    """A way to a project that can be cut: opens it again and again, and fails while it is down."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.down = False

    def open(self) -> Project:
        if self.down:
            raise UnavailableError("no answer from http://far:8787.")
        return self.project


def follow(line: Line, home: Path, ref: str = "delay@production", **more: Any) -> FollowedModel:
    """Follow without a clock: tests say when to look."""
    return FollowedModel(ref, line.open, "http://far:8787", home=home, every_s=3600, **more)


def wait_for(done: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def released(sqlite_project: LocalProject) -> LocalProject:
    point(sqlite_project, add_version(sqlite_project, 2))
    return sqlite_project


def test_a_model_follows_its_channel_and_its_predictions_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with create_project(tmp_path / "project", name="test", actor="ann") as behind:
        first, second = add_version(behind, 2), add_version(behind, 3)
        point(behind, first)
        with served(behind) as address, follow_channel("delay@production", project=address, every_s=0.05) as model:
            before = model.answer([row(1)])
            point(behind, second)
            wait_for(lambda: model.version.id == second.id)
            after = model.answer([row(1), row(2)])
            wait_for(lambda: len(list_predictions(behind, "delay")) == 3)

        assert (before.version, after.version) == ("v1", "v2")
        kept = get_prediction(behind, after.predictions[1]["id"])
        assert (kept.version, kept.position, kept.batch_size, kept.channel) == (second.id, 1, 2, "production")
        assert kept.outputs == load(behind, "delay@v2").predict([row(1), row(2)])[1]
        assert replay(behind, [each.id for each in list_predictions(behind, "delay")]).all_equal


def test_while_the_project_is_away_the_last_version_answers_in_this_process_and_in_a_new_one(
    released: LocalProject, tmp_path: Path
) -> None:
    line = Line(released)
    expected = load(released, "delay@v1").predict([row(1)])[0]
    model = follow(line, tmp_path)
    line.down = True
    model._project = None

    with pytest.raises(UnavailableError):
        model.look()
    during = model.predict([row(1)])
    fresh = follow(line, tmp_path)
    also = fresh.predict([row(1)])

    assert "no answer" in model.problem
    assert fresh.checked_at == model.checked_at > 0
    assert [{name: each[name] for name in expected} for each in (*during, *also)] == [expected, expected]
    assert list_predictions(released, "delay") == []
    line.down = False
    model.close()
    fresh.close()
    follow(line, tmp_path).close()
    assert {each.id for each in list_predictions(released, "delay")} == {during[0]["id"], also[0]["id"]}


def test_without_a_kept_version_an_absent_project_is_an_error_that_says_so(
    released: LocalProject, tmp_path: Path
) -> None:
    line = Line(released)
    with pytest.raises(NotFoundError, match="no version or channel 'staging'"):
        follow(line, tmp_path, "delay@staging")
    line.down = True
    with pytest.raises(UnavailableError, match="no answer from"):
        follow(line, tmp_path)

    def hang() -> Project:
        time.sleep(1)
        raise UnavailableError("gone")

    with pytest.raises(UnavailableError, match="did not answer in time, and no version is kept"):
        FollowedModel("delay@production", hang, "http://slow", home=tmp_path, patience_s=0.05)


def test_a_project_that_hangs_delays_a_start_no_longer_than_its_patience(
    released: LocalProject, tmp_path: Path
) -> None:
    follow(Line(released), tmp_path).close()
    stop = threading.Event()

    def hang() -> Project:
        stop.wait(20)
        raise UnavailableError("gone")

    begun = time.monotonic()
    model = FollowedModel("delay@production", hang, "http://far:8787", home=tmp_path, patience_s=0.2)
    took_s = time.monotonic() - begun
    assert model.predict([row(1)])
    stop.set()
    assert took_s < 5
    model.close()


def test_a_version_that_cannot_be_loaded_leaves_the_one_before(
    released: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = follow(Line(released), tmp_path)
    point(released, add_version(released, 3))
    get = released.objects.get
    monkeypatch.setattr(released.objects, "get", lambda digest: bytes([get(digest)[0] ^ 1]) + get(digest)[1:])

    with pytest.raises(Exception, match="ONNX"):
        model.look()
    assert model.answer([row(1)]).version == "v1"
    assert "ONNX" in model.problem
    model.close()


def test_kept_bytes_that_changed_on_the_disk_are_fetched_again_or_refused(
    released: LocalProject, tmp_path: Path
) -> None:
    line = Line(released)
    model = follow(line, tmp_path)
    model.close()
    file = next(tmp_path.rglob("model.onnx"))
    data = file.read_bytes()
    file.write_bytes(bytes([data[0] ^ 1]) + data[1:])

    line.down = True
    with pytest.raises(UnavailableError):
        follow(line, tmp_path)
    line.down = False
    again = follow(line, tmp_path)
    assert again.predict([row(1)])
    assert file.read_bytes() == data
    again.close()


def test_every_answer_is_by_one_version_while_the_channel_goes_back_and_forth(
    released: LocalProject, tmp_path: Path
) -> None:
    versions = [load(released, "delay@v1").version, add_version(released, 3)]
    rows = [row(number) for number in range(8)]
    expected = {f"v{each.number}": load(released, each.id).predict(rows) for each in versions}
    model = follow(Line(released), tmp_path, record=False)
    seen: list[Any] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            seen.append(model.answer(rows))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(30):
        point(released, versions[(number + 1) % 2])
        model.look()
    stop.set()
    for thread in threads:
        thread.join()

    assert {each.version for each in seen} == {"v1", "v2"}
    for each in seen:
        outputs = [{name: value for name, value in one.items() if name != "id"} for one in each.predictions]
        assert outputs == expected[each.version]
    model.close()


def test_rows_beyond_the_contract_are_refused_and_a_full_disk_gives_no_answer(
    released: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = follow(Line(released), tmp_path)
    with pytest.raises(ContractError, match="'hour' is the text"):
        model.predict([{**row(1), "hour": "noon"}])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("headwater.serve.spool.sync_file", full)
    with pytest.raises(StorageError, match="the disk is full"):
        model.predict([row(1)])
    monkeypatch.undo()
    model.predict([row(1)])
    model.close()
    assert len(list_predictions(released, "delay")) == 1


# ---- predictions that wait


def test_an_answer_of_more_rows_than_are_received_at_once_arrives_whole(
    released: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = follow(Line(released), tmp_path)
    monkeypatch.setattr("headwater.serve.receiving.MOST", 2)
    monkeypatch.setattr("headwater.serve.following.MOST_AT_ONCE", 2)
    answer = model.answer([row(number) for number in range(5)])
    model.close()

    kept = {each.id: each for each in list_predictions(released, "delay")}
    assert [kept[each["id"]].position for each in answer.predictions] == [0, 1, 2, 3, 4]
    assert {(each.batch, each.batch_size) for each in kept.values()} == {(answer.id, 5)}
    assert list(tmp_path.rglob("*.spool")) == list(tmp_path.rglob("*.refused")) == []


def test_what_is_refused_for_good_is_kept_aside_and_what_is_behind_it_is_sent(
    released: LocalProject, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = follow(Line(released), tmp_path)
    assert model._spool is not None
    model._spool.append(b"no record of ours")
    answer = model.answer([row(1)])
    model.close()

    [refused] = tmp_path.rglob("*.refused")
    assert list(read_records(refused.read_bytes(), "x")) == [b"no record of ours"]
    assert [each.id for each in list_predictions(released, "delay")] == [answer.id]
    assert "predictions were refused" in caplog.text and str(refused) in caplog.text


def test_a_time_that_cannot_be_kept_is_refused_before_it_waits_to_be_sent(
    released: LocalProject, tmp_path: Path
) -> None:
    model = follow(Line(released), tmp_path)
    for moment, said in ((2**63, "no time of the years 1 to 9999"), (1.5e15, "no whole number")):
        with pytest.raises(InvalidInputError, match=said):
            model.answer([row(1)], occurred_at=moment)  # type: ignore[arg-type]  # what time.time() * 1e6 gives
    model.close()
    assert list_predictions(released, "delay") == []
