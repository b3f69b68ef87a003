from __future__ import annotations

from pathlib import Path

from headwater.ingest import history, list_sources
from headwater.jobs import Scheduler, Worker, fire_trigger
from headwater.project import open_project
from headwater.project.local import create_project, open_folder
from tests.ingest.test_files import aged

SETTINGS = """
[project]
name = "test"

[[source]]
name = "inbox"
kind = "files"
dataset = "inbox"
path = "inbox"

[[triggers]]
name = "inbox-every-hour"
on = "schedule"
cron = "0 * * * *"
operation = "ingest.pull"
arguments = { name = "inbox" }
"""
HOUR = 3_600_000_000
START = 1_767_225_600_000_000  # 2026-01-01 00:00


def test_a_trigger_pulls_by_the_clock_and_what_is_unchanged_makes_no_version(tmp_path: Path) -> None:
    now = START + HOUR // 2
    folder = tmp_path / "p"
    (folder / "inbox").mkdir(parents=True)
    (folder / "inbox" / "a.txt").write_text("a")
    aged(folder / "inbox" / "a.txt")
    (folder / "headwater.toml").write_text(SETTINGS)
    create_project(folder).close()
    with open_folder(folder, actor="ann", clock=lambda: now) as project:
        scheduler, worker = Scheduler(project), Worker(project)
        assert scheduler.tick() == []
        (listed,) = list_sources(project)
        assert [(w.trigger, w.next_at) for w in listed.schedules] == [("inbox-every-hour", START + HOUR)]
        for _ in range(2):
            now += HOUR
            (job,) = scheduler.tick()
            done = worker.run_once()
            assert done is not None and (done.id, done.status) == (job.id, "done"), done
        scheduler.resign()

        pulls = history(project, "inbox")
        assert [pull.outcome for pull in pulls] == ["unchanged", "published"]
        assert {pull.actor for pull in pulls} == {"trigger:inbox-every-hour"}


def test_a_pull_that_fails_fails_its_job_with_the_reason(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "headwater.toml").write_text(SETTINGS)
    create_project(folder).close()
    with open_project(folder) as project:
        fire_trigger(project, "inbox-every-hour")
        assert (done := Worker(project).run_once()) is not None

    assert (done.status, "no file or folder" in done.error) == ("failed", True)
