from __future__ import annotations

import asyncio
import os
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import RefusedError
from headwater.model import Loaded, ModelVersion, load
from headwater.project import LocalProject
from headwater.serve import Engine
from headwater.serve.isolation import Isolated, ModelFailedError, child_environment
from headwater.serve.settings import ModelSettings
from tests.serve.models import add_version, point, row


@pytest.fixture
def version(sqlite_project: LocalProject) -> ModelVersion:
    return add_version(sqlite_project)


def isolated(project: LocalProject, version: ModelVersion, **settings: float) -> Isolated:
    return Isolated(version, project.objects.get, ModelSettings(isolate="always", **settings))  # type: ignore[arg-type]  # numbers by name


def test_an_isolated_model_answers_the_same_bytes_from_another_process(
    sqlite_project: LocalProject, version: ModelVersion
) -> None:
    model = isolated(sqlite_project, version)

    assert model.predict([row(0), row(1)]) == load(sqlite_project, "delay@v1").predict([row(0), row(1)])
    assert model.execution == load(sqlite_project, "delay@v1").execution
    assert model.pid not in (None, os.getpid())
    model.close()


def test_a_model_that_crashes_fails_one_request_and_the_next_is_answered(
    sqlite_project: LocalProject, version: ModelVersion
) -> None:
    model = isolated(sqlite_project, version)
    assert model.pid is not None
    os.kill(model.pid, 11)

    with pytest.raises(ModelFailedError, match="SIGSEGV"):
        model.predict([row()])

    assert len(model.predict([row()])) == 1
    assert model.restarts == 1
    model.close()


def test_a_model_that_hangs_is_ended_in_time(sqlite_project: LocalProject, version: ModelVersion) -> None:
    model = isolated(sqlite_project, version, answer_s=0.3)
    stuck = model.pid
    assert stuck is not None
    os.kill(stuck, 19)  # SIGSTOP: as one that never comes back
    began = time.monotonic()

    with pytest.raises(ModelFailedError, match=r"did not answer within 0\.3 s"):
        model.predict([row()])

    assert time.monotonic() - began < 5
    assert not Path(f"/proc/{stuck}").exists()
    model.close()


def test_a_model_that_holds_too_much_starts_anew_between_answers(
    sqlite_project: LocalProject, version: ModelVersion
) -> None:
    model = isolated(sqlite_project, version)
    first = model.pid
    model._settings = ModelSettings(most_memory_mib=1)

    with suppress(ModelFailedError):  # on a busy machine it is noticed while it answers
        model.predict([row()])

    assert model.pid is None
    model._settings = ModelSettings()
    assert len(model.predict([row()])) == 1
    assert model.pid != first
    model.close()


def test_a_model_that_dies_again_and_again_is_left_alone_for_a_while(
    sqlite_project: LocalProject, version: ModelVersion
) -> None:
    model = isolated(sqlite_project, version)
    model._deaths.extend([time.monotonic()] * 4)
    model.close()

    with pytest.raises(Exception, match="not started again for") as told:
        model.predict([row()])

    assert told.value.values["retry_after_s"] > 0  # type: ignore[attr-defined]  # an error of ours


def test_a_process_that_loaded_by_half_or_asks_for_bytes_of_others_is_ended(
    sqlite_project: LocalProject, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def start(*given: Any, **named: Any) -> Any:
        started.append(real(*given, **named))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(Exception, match="ONNX"):
        Isolated(version, lambda _: b"no model", ModelSettings(isolate="always"))
    monkeypatch.setattr(Isolated, "_ask", lambda *_: {"get": "f" * 64})
    with pytest.raises(RefusedError, match="asked for bytes that are no file of its version"):
        isolated(sqlite_project, version)

    assert [each.poll() for each in started] == [-9, -9]


def test_the_process_of_a_model_sees_no_credentials_of_the_server() -> None:
    ours = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "OMP_NUM_THREADS": "2",
        "HEADWATER_PASSWORD": "p",
        "AWS_SECRET_ACCESS_KEY": "k",
        "PGPASSWORD": "p",
        "MY_TOKEN": "t",
    }

    assert child_environment(ours) == {"PATH": "/bin", "LC_ALL": "C", "OMP_NUM_THREADS": "2"}


def test_an_isolated_model_is_computed_by_threads_however_quick_it_is(
    sqlite_project: LocalProject, version: ModelVersion
) -> None:
    point(sqlite_project, version)
    threads: list[str] = []

    class Far(Isolated):
        """As one in a process of its own that answers in no time."""

        def __init__(self, near: Loaded) -> None:
            Loaded.__init__(self, near.version, near._predictor, near.execution)

        def predict(self, rows: Sequence[dict[str, Any]], *, validated: bool = False) -> list[dict[str, Any]]:
            threads.append(threading.current_thread().name)
            return Loaded.predict(self, rows, validated=validated)

    async def ask() -> None:
        await asyncio.gather(*(engine.answer("delay", [row(at)], alone=at == 0) for at in range(4)))

    with Engine(sqlite_project) as engine:
        deployed = engine.deployment("delay")
        deployed.row_us = 1.0
        for loaded, at_home in ((deployed.loaded, True), (Far(deployed.loaded), False)):
            threads.clear()
            deployed.loaded = loaded
            engine._lots.clear()
            asyncio.run(ask())
            assert all(each.startswith("headwater-serve") for each in threads)
            assert (threads == []) == at_home  # what is in this process is computed in the loop
