from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from headwater.model import ModelVersion, load
from headwater.project import LocalProject
from headwater.serve.isolation import Isolated, ModelFailedError
from headwater.serve.settings import ModelSettings
from tests.serve.models import add_version, row


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
