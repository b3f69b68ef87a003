"""A pull that is killed at any of its points leaves all of it or nothing, and the next pull makes it right."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from headwater.durable import on_crash_point
from headwater.ingest import history, pull
from headwater.lake import log, scan, verify
from headwater.project import LocalProject, create_project, open_project

SOURCE = """
from pathlib import Path

import headwater as hw

@hw.source("queue", dataset="queue")
def queue(since, into):
    at = (since or {}).get("at", 0)
    lines = (Path(__file__).parent / "queue.txt").read_text().split()
    if lines[at:]:
        into.put_table(f"part-{at:04d}", {"line": lines[at:]}, proof={"from": at, "to": len(lines)})
    return {"at": len(lines)}
"""

PULLER = textwrap.dedent(
    """
    import os, signal, sys
    from headwater.durable import on_crash_point
    from headwater.ingest import pull
    from headwater.project import open_project

    folder, at = sys.argv[1:]
    passed = []

    def point(name):
        passed.append(name)
        if len(passed) == int(at):
            os.kill(os.getpid(), signal.SIGKILL)

    project = open_project(folder)
    on_crash_point(point)
    done = pull(project, "queue")
    print(done.outcome, len(passed), *sorted(set(passed)), flush=True)
    """
)


def pulled(folder: Path, at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PULLER, str(folder), str(at)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)


def grow(folder: Path, number: int) -> None:
    with open(folder / "queue.txt", "a") as file:
        file.write(f"{number}\n")


def lines_of(project: LocalProject) -> list[str]:
    return sorted((row[0] for row in scan(project, "queue@main").fetchall()), key=int)


def free(project: LocalProject) -> None:
    """Let the killed pull's lease lapse, as it does by itself after a while."""
    with project.ledger.write() as tx:
        tx.execute("UPDATE leases SET expires_at = 0")


def prepared(folder: Path) -> int:
    """Make a project whose source was pulled once, and return how many points a pull of it passes."""
    create_project(folder).close()
    (folder / "sources.py").write_text(SOURCE)
    grow(folder, 0)
    assert pulled(folder, 0).stdout.startswith("published")
    grow(folder, 1)
    done = pulled(folder, 0)
    words = done.stdout.split()
    assert words[0] == "published", done.stderr
    wanted = {"begun", "taken_in", "committed", "published", "ended"}
    assert {f"ingest.pull.{name}" for name in wanted} <= set(words[2:])
    return int(words[1])


def check_killed_at(folder: Path, at: int) -> None:
    """Kill a pull at a point, look at what there is, pull again, and look that every line is there exactly once."""
    count = len((folder / "queue.txt").read_text().split())
    grow(folder, count)
    assert pulled(folder, at).returncode == -9, at
    with open_project(folder) as project:
        assert isinstance(project, LocalProject)
        assert list(verify(project)) == [], at
        assert lines_of(project) in ([str(n) for n in range(count)], [str(n) for n in range(count + 1)]), at
        free(project)
        again = pull(project, "queue")
        assert again.outcome in ("published", "unchanged"), at
        assert lines_of(project) == [str(n) for n in range(count + 1)], at
        versions = log(project, "queue", limit=1000)
        assert len(versions) == count + 1, at
        assert not [each for each in history(project, limit=1000) if each.outcome in ("running", "committed")], at


@pytest.mark.long
def test_a_pull_killed_at_every_point_is_exactly_once(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    points = prepared(folder)
    for at in range(1, points + 1):
        check_killed_at(folder, at)


def test_a_pull_killed_at_its_own_points_is_exactly_once(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    create_project(folder).close()
    (folder / "sources.py").write_text(SOURCE)
    grow(folder, 0)
    passed: list[str] = []
    with open_project(folder) as project:
        pull(project, "queue")
        grow(folder, 1)
        on_crash_point(passed.append)
        try:
            pull(project, "queue")
        finally:
            on_crash_point(None)
    ours = [number for number, name in enumerate(passed, 1) if name.startswith("ingest.")]
    assert len(ours) == 5

    for at in ours:
        check_killed_at(folder, at)


SENDER = textwrap.dedent(
    """
    import os, signal, sys
    from headwater.durable import on_crash_point
    from headwater.ingest.receiving import deliver
    from headwater.project import open_project

    folder, name = sys.argv[1:]
    project = open_project(folder)
    on_crash_point(lambda point: os.kill(os.getpid(), signal.SIGKILL) if point == name else None)
    print(deliver(project, "events", b'{"id": 1}').new, flush=True)
    """
)


@pytest.mark.parametrize(("point", "new"), [("ingest.deliver.put", "True"), ("ingest.deliver.recorded", "False")])
def test_a_delivery_killed_on_its_way_counts_once_when_it_is_sent_again(tmp_path: Path, point: str, new: str) -> None:
    folder = tmp_path / "p"
    create_project(folder).close()
    with open(folder / "headwater.toml", "a") as file:
        file.write('[[source]]\nname = "events"\nkind = "webhook"\ndataset = "queue"\n')

    def send(at: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", SENDER, str(folder), at]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)

    assert send(point).returncode == -9
    assert send("").stdout.strip() == new
    with open_project(folder) as project:
        pull(project, "events")
        assert scan(project, "queue@main").sql("SELECT body FROM data").fetchall() == [('{"id": 1}',)]
        assert list(verify(project)) == []
