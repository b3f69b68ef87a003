"""What a step reads from the lake, from libraries and from memory of its process is part of what it depends on."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from headwater.flow import Outcome, execute_flow
from headwater.lake import Entry, commit, resolve, set_branch
from headwater.project import LocalProject

HEAD = "import headwater as hw\nfrom headwater.flow import DataRef\nfrom headwater import lake\n"


@pytest.fixture
def data_project(local_project: LocalProject, request: pytest.FixtureRequest) -> LocalProject:
    """A project whose settings say how its bucket is reached, so that the processes of its steps can open it."""
    assert local_project.root is not None
    if local_project.settings.text("stores", "objects"):
        place = request.getfixturevalue("s3")
        lines = [f"{key} = {json.dumps(str(getattr(place, key)))}" for key in ("endpoint", "access_key", "secret_key")]
        with (local_project.root / "headwater.toml").open("a") as file:
            file.write("\n".join(["[stores.s3]", 'region = "us-east-1"', *lines, ""]))
    return local_project


def write(project: LocalProject, text: str, name: str = "flows.py") -> None:
    assert project.root is not None
    (project.root / name).write_text(HEAD + textwrap.dedent(text) if name == "flows.py" else textwrap.dedent(text))


def run(project: LocalProject, **arguments: Any) -> Outcome:
    outcome = execute_flow(project, "main", arguments)
    assert outcome.status == "done", outcome.run.error + outcome.run.traceback
    return outcome


def publish(project: LocalProject, text: str) -> str:
    """Make a version of the dataset 'notes' with one file, move main to it, and return its id."""
    before = None
    with project.ledger.read() as tx:
        before = tx.pointer("branch", "notes/main")
    digest = project.objects.put(text.encode())
    version = commit(project, "notes", put=[Entry(path="a.txt", digest=digest, size=len(text))], base=before)
    set_branch(project, "notes", "main", version.id, expected=before)
    return version.id


def parents(project: LocalProject, ref: str) -> set[tuple[str, str]]:
    with project.ledger.read() as tx:
        return {(role, parent) for role, parent in tx.edges_of(ref)}


READING = """
    @hw.step
    def read():
        from headwater.project import current_project
        return lake.read_bytes(current_project(), "notes@main", "a.txt").decode()

    @hw.step
    def shout(text):
        return text.upper()

    @hw.flow
    def main():
        return shout(read())
"""


def test_a_step_that_reads_a_branch_runs_again_when_the_branch_moved(data_project: LocalProject) -> None:
    first = publish(data_project, "one")
    write(data_project, READING)
    before = run(data_project)
    again = run(data_project)
    publish(data_project, "two")
    after = run(data_project)

    assert (before.value, again.value, after.value) == ("ONE", "ONE", "TWO")
    assert [task.outcome for task in again.tasks] == ["remembered"] * 2
    assert after.tasks[0].why == "ran again: notes@main is another version now"
    assert ("read", f"version:{first}") in parents(data_project, f"result:{before.tasks[0].result}")


def test_a_later_step_is_remembered_when_the_bytes_it_gets_are_the_same(data_project: LocalProject) -> None:
    publish(data_project, "one")
    write(data_project, READING)
    run(data_project)
    publish(data_project, "two")
    run(data_project)
    publish(data_project, "one")
    back = run(data_project)

    assert back.value == "ONE"
    assert [task.outcome for task in back.tasks] == ["remembered", "remembered"]


def test_a_data_ref_is_the_version_it_names_when_the_step_is_called(data_project: LocalProject) -> None:
    publish(data_project, "one")
    write(
        data_project,
        """
        @hw.step
        def read(ref):
            from headwater.project import current_project
            return lake.read_bytes(current_project(), ref.ref, "a.txt").decode()

        @hw.flow
        def main(ref="notes@main"):
            return read(DataRef(ref))
        """,
    )
    before = run(data_project)
    same = run(data_project, ref="notes@v1")
    second = publish(data_project, "two")
    after = run(data_project)

    assert (before.value, after.value) == ("one", "two")
    assert same.tasks[0].outcome == "remembered"
    assert ("read", f"version:{second}") in parents(data_project, f"result:{after.tasks[0].result}")


def test_what_the_flow_itself_reads_is_noted_with_the_run(data_project: LocalProject) -> None:
    version = publish(data_project, "one")
    write(
        data_project,
        """
        @hw.flow
        def main():
            return lake.read_bytes(PROJECT[0], "notes@main", "a.txt").decode()

        PROJECT = []
        """,
    )
    from headwater.flow import Flow
    from headwater.flow.finding import find_flow

    assert data_project.root is not None
    found = find_flow(data_project, "main", data_project.root)
    assert isinstance(found.flow, Flow)
    found.flow.function.__globals__["PROJECT"].append(data_project)
    outcome = execute_flow(data_project, found.flow)

    assert outcome.value == "one"
    assert ("read", f"version:{version}") in parents(data_project, outcome.run.ref)


def test_a_commit_in_a_step_is_seen_by_the_next(data_project: LocalProject) -> None:
    publish(data_project, "one")
    write(
        data_project,
        """
        @hw.step(impure=True)
        def put():
            from headwater.project import current_project
            project = current_project()
            digest = project.objects.put(b"more")
            version = lake.commit(project, "notes", put=[lake.Entry(path="b.txt", digest=digest, size=4)],
                                  produced_by=f"task:{hw.flow.current_task_id()}")
            return version.id

        @hw.flow
        def main():
            return put()
        """,
    )
    outcome = run(data_project)

    assert resolve(data_project, outcome.value).produced_by == f"task:{outcome.tasks[0].id}"


def fake_library(folder: Path, version: str) -> None:
    place = folder / "site"
    place.mkdir(exist_ok=True)
    for old in place.glob("hwfake-*.dist-info"):
        for each in old.iterdir():
            each.unlink()
        old.rmdir()
    (place / "hwfake.py").write_text(f"VERSION = {version!r}\n")
    info = place / f"hwfake-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: hwfake\nVersion: {version}\n")
    (info / "top_level.txt").write_text("hwfake\n")
    (info / "RECORD").write_text("hwfake.py,,\n")


def test_another_version_of_an_imported_library_runs_the_step_again(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib
    import sys

    fake_library(tmp_path, "1.0")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    write(
        sqlite_project,
        """
        import hwfake

        @hw.step
        def uses():
            return hwfake.VERSION

        @hw.step
        def does_not():
            return 1

        @hw.flow
        def main():
            return [uses(), does_not()]
        """,
    )
    first = run(sqlite_project)
    fake_library(tmp_path, "2.0.0")
    importlib.invalidate_caches()
    sys.modules.pop("hwfake", None)
    second = run(sqlite_project)
    sys.modules.pop("hwfake", None)

    assert (first.value, second.value) == (["1.0", 1], ["2.0.0", 1])
    assert [task.outcome for task in second.tasks] == ["ran", "remembered"], [task.why for task in second.tasks]
    assert second.tasks[0].why == "ran again: the library hwfake is 2.0.0, was 1.0"


@pytest.mark.parametrize("library", ["importlib.metadata", "importlib_metadata"])
def test_a_step_that_asks_for_a_librarys_version_does_not_run_again_for_a_file_beside_it(
    sqlite_project: LocalProject, library: str
) -> None:
    pytest.importorskip(library)
    write(
        sqlite_project,
        f"""
        @hw.step
        def uses():
            import importlib
            return importlib.import_module("{library}").version("msgspec")

        @hw.flow
        def main():
            return uses()
        """,
    )
    run(sqlite_project)
    (sqlite_project.folder / "server.log").write_text("started")
    again = run(sqlite_project)

    assert [task.outcome for task in again.tasks] == ["remembered"]


def test_no_step_sees_what_another_left_in_memory(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        LEFT = []

        @hw.step
        def leave(x):
            LEFT.append(x)
            return len(LEFT)

        @hw.flow
        def main():
            return leave.map([1, 2, 3])
        """,
    )

    assert run(sqlite_project).value == [1, 1, 1]


def test_libraries_that_do_not_survive_a_fork_run_in_processes_of_their_own(sqlite_project: LocalProject) -> None:
    pytest.importorskip("polars")
    write(
        sqlite_project,
        """
        import polars as pl

        @hw.step
        def frame(n):
            print("rows", n)
            return pl.DataFrame({"x": list(range(n))})

        @hw.step
        def total(frame):
            return frame["x"].sum()

        @hw.flow
        def main():
            return total.map(frame.map([3, 4]))
        """,
    )

    assert run(sqlite_project).value == [3, 6]
    assert [task.outcome for task in run(sqlite_project).tasks] == ["remembered"] * 4


def test_frames_and_models_travel_between_steps_in_open_formats(sqlite_project: LocalProject) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("pandas")
    write(
        sqlite_project,
        """
        import numpy as np
        import pandas as pd

        @hw.step(seed=1)
        def make(n):
            x = np.random.rand(n)
            return pd.DataFrame({"x": x, "y": x > 0.5})

        @hw.step(seed=1)
        def fit(frame):
            from sklearn.linear_model import LogisticRegression
            return LogisticRegression().fit(frame[["x"]], frame["y"])

        @hw.step
        def score(model, frame):
            return float(model.score(frame[["x"]], frame["y"]))

        @hw.flow
        def main(n=500):
            frame = make(n)
            return score(fit(frame), frame)
        """,
    )
    outcome = run(sqlite_project)

    assert outcome.value > 0.9
    assert [task.outcome for task in run(sqlite_project).tasks] == ["remembered"] * 3
    with sqlite_project.ledger.read() as tx:
        kept = {row.step: row.parts for row in tx.all("SELECT step, parts FROM results")}
    assert '"parquet"' in kept["flows:make"] and '"skops"' in kept["flows:fit"]
