"""Killed at random moments and run again: each task's result once, and the same result in the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import UnavailableError
from headwater.flow import Outcome, execute_flow, patience
from headwater.project import LocalProject, create_project
from tests.servers import postgres, process, s3

from .faults import FLOW, TASKS, Disturbed, last_output, require_each_once, worker_pids
from .playing import CHAIN, run, write


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the result of a run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with create_project(folder) as project:
        write(project, FLOW)
        assert len(run(project).tasks) == TASKS
        return last_output(project)


def test_killed_at_random_and_run_again_each_task_is_there_once(sqlite_project: LocalProject, undisturbed: str) -> None:
    write(sqlite_project, FLOW)
    Disturbed(sqlite_project, 2).until_done(kills=3, longest_s=0.7)

    require_each_once(sqlite_project, undisturbed)
    assert sqlite_project.root is not None
    time.sleep(0.1)
    assert worker_pids(sqlite_project.root) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100))
def test_killed_at_a_hundred_random_moments(
    request: pytest.FixtureRequest, project_folder: Path, undisturbed: str, seed: int
) -> None:
    url = request.getfixturevalue("postgres_url") if seed % 5 == 4 else None
    with create_project(project_folder, ledger_url=url) as project:
        write(project, FLOW)
        Disturbed(project, 1000 + seed).until_done(kills=1 + seed % 3, longest_s=1.5)

        require_each_once(project, undisturbed)


def test_a_resumed_run_that_forgot_what_was_finished_is_caught(sqlite_project: LocalProject) -> None:
    write(sqlite_project, CHAIN)
    run(sqlite_project)
    digest = last_output(sqlite_project)
    require_each_once(sqlite_project, digest, tasks=3)
    execute_flow(sqlite_project, "main", {"x": 1}, forget=True)

    with pytest.raises(AssertionError, match="3 tasks have several results"):
        require_each_once(sqlite_project, digest, tasks=3)


def test_another_result_than_that_of_an_undisturbed_run_is_caught(sqlite_project: LocalProject) -> None:
    write(sqlite_project, CHAIN)
    run(sqlite_project)

    with pytest.raises(AssertionError, match="not that of an undisturbed run"):
        require_each_once(sqlite_project, "another", tasks=3)


class Away:
    """A server that can be gone for a while and comes back at the same address with what it held."""

    def __init__(self, server: Any, folder: Path, user: str | None) -> None:
        self.server = server
        self.folder = folder
        self.user = user

    def gone_for(self, seconds: float) -> None:
        self.server.kill()
        self.server.wait()
        time.sleep(seconds)
        self.server = process.start(self.server.args, log=self.folder / "log", user=self.user)

    def stop(self) -> None:
        self.server.kill()
        self.server.wait()


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[tuple[Away, str]]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="hwpg", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        server, told = postgres.start(folder)
        away = Away(server, folder, postgres._user())
        try:
            with postgres.new_database(told["url"]) as url:
                yield away, url
        finally:
            away.stop()


SLOWER = FLOW.replace("time.sleep(0.002)", "time.sleep(0.02)")


def in_thread(project: LocalProject) -> tuple[threading.Thread, list[Outcome]]:
    found: list[Outcome] = []
    thread = threading.Thread(target=lambda: found.append(execute_flow(project, "main", workers=2)))
    thread.start()
    return thread, found


def some_results(project: LocalProject) -> None:
    for _ in range(400):
        with project.ledger.read() as tx:
            if tx.value("SELECT COUNT(*) FROM results") > 5:
                return
        time.sleep(0.02)
    raise AssertionError("the flow made no results")


def test_a_run_waits_while_postgres_is_restarted(own_postgres: tuple[Away, str], tmp_path: Path) -> None:
    away, url = own_postgres
    folder = tmp_path / "project"
    folder.mkdir()
    with create_project(folder, ledger_url=url) as project:
        write(project, SLOWER)
        thread, found = in_thread(project)
        some_results(project)
        away.gone_for(1.0)
        thread.join(60)

        assert found and found[0].status == "done", found
        require_each_once(project, last_output(project))


@pytest.mark.long
def test_a_run_whose_ledger_stays_away_fails_clearly_and_resumes(
    own_postgres: tuple[Away, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.5)
    away, url = own_postgres
    folder = tmp_path / "project"
    folder.mkdir()
    with create_project(folder, ledger_url=url) as project:
        write(project, SLOWER)
        raised: list[BaseException] = []

        def act() -> None:
            try:
                execute_flow(project, "main", workers=2)
            except BaseException as error:  # noqa: BLE001  # looked at below
                raised.append(error)

        thread = threading.Thread(target=act)
        thread.start()
        some_results(project)
        away.gone_for(3.0)
        thread.join(60)
        for _ in range(100):
            try:
                outcome = execute_flow(project, "main", workers=2)
                break
            except UnavailableError:
                time.sleep(0.1)

        assert raised and isinstance(raised[0], UnavailableError), raised
        assert outcome.status == "done" and outcome.remembered > 5
        require_each_once(project, last_output(project))


@pytest.mark.long
def test_a_run_waits_while_the_object_store_is_away_for_twenty_seconds(tmp_path: Path) -> None:
    folder, store = tmp_path / "project", tmp_path / "store"
    folder.mkdir()
    store.mkdir()
    server, told = s3.start(store)
    away = Away(server, store, None)
    keys = {name: told[name] for name in ("endpoint", "access_key", "secret_key")}
    try:
        with create_project(
            folder, objects_url=f"s3://{told['bucket']}/faults", credentials={**keys, "region": "us-east-1"}
        ) as project:
            write(project, SLOWER)
            thread, found = in_thread(project)
            some_results(project)
            away.gone_for(20.0)
            thread.join(120)

            assert found and found[0].status == "done", found
            require_each_once(project, last_output(project))
    finally:
        away.stop()
