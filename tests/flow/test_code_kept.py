"""Each run keeps the code that it ran, the files that its steps read, git's state and the packages."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headwater.errors import InvalidInputError
from headwater.flow import Outcome, execute_flow, get_tasks
from headwater.flow.again import changed_packages, run_again
from headwater.flow.code_kept import RunCode, get_run_code, write_code
from headwater.project import LocalProject, open_project
from headwater.track import track
from headwater.track.capture import installed

from .playing import run, write

FLOW = """
    import helpers

    @step(files=["factor.txt"])
    def times(x):
        from pathlib import Path
        return x * int(Path("factor.txt").read_text()) + helpers.MORE

    @flow
    def main(x=2, name="a"):
        return times(x)
"""


def prepare(project: LocalProject, more: int = 1, factor: int = 10) -> None:
    assert project.root is not None
    write(project, FLOW)
    (project.root / "helpers.py").write_text(f"MORE = {more}\n")
    (project.root / "factor.txt").write_text(str(factor))


def outputs(project: LocalProject, outcome: Outcome) -> list[str]:
    return [task.output for task in get_tasks(project, outcome.run.id)]


def test_a_run_keeps_its_modules_and_the_files_that_its_steps_read(local_project: LocalProject, tmp_path: Path) -> None:
    prepare(local_project)
    first = run(local_project)
    prepare(local_project, more=5, factor=7)
    code = write_code(local_project, first.run.id, tmp_path / "then")

    assert [each.path for each in code.modules] == ["flows.py", "helpers.py"]
    assert [each.path for each in code.files] == ["factor.txt"]
    assert (tmp_path / "then" / "helpers.py").read_text() == "MORE = 1\n"
    assert (tmp_path / "then" / "factor.txt").read_text() == "10"
    assert list(code.packages) == installed()
    assert f"duckdb=={__import__('duckdb').__version__}" in code.packages


def test_running_from_an_old_run_gives_what_it_gave_whatever_the_folder_holds_now(local_project: LocalProject) -> None:
    prepare(local_project)
    first = run(local_project, x=3)
    prepare(local_project, more=5, factor=7)
    now = run(local_project, x=3)
    again = run_again(local_project, first.run.id, forget=True)
    changed = run_again(local_project, first.run.id, {"x": 4})

    assert (first.value, now.value) == (31, 26)
    assert again.outcome.value == 31
    assert outputs(local_project, again.outcome) == outputs(local_project, first)
    assert (again.same, again.different, again.packages) == (1, (), ())
    assert again.outcome.run.params == {"x": 3}
    assert again.outcome.run.tags == {"again": first.run.id}
    assert changed.outcome.value == 41
    assert run(local_project, x=3).value == 26  # what is imported is the folder's code again
    root = local_project.root
    assert root is not None and not list((root / ".headwater" / "cache" / "flow").glob("again-*"))


def test_what_did_not_change_since_is_remembered_in_a_run_from_old_code(sqlite_project: LocalProject) -> None:
    prepare(sqlite_project)
    first = run(sqlite_project)
    prepare(sqlite_project, more=5)

    assert run_again(sqlite_project, first.run.id).outcome.remembered == 1


def test_a_result_that_is_not_the_same_again_is_named(sqlite_project: LocalProject) -> None:
    write(  # planted: no key sees the random numbers
        sqlite_project,
        """
        import secrets

        @step
        def luck():
            return secrets.token_hex(8)

        @step
        def steady():
            return 1

        @flow
        def main():
            return luck(), steady()
        """,
    )
    again = run_again(sqlite_project, run(sqlite_project).run.id, forget=True)

    assert (again.same, again.different) == (1, ("flows:luck (call 1)",))


def test_packages_that_differ_from_then_are_told_those_that_the_code_reaches_first() -> None:
    kept = [each for each in installed() if not each.startswith(("numpy==", "click=="))]
    code = RunCode(
        run="r", flow="f", commit="", branch="", python="", modules=(), files=(), libraries={"numpy": "1.0"},
        packages=(*kept, "numpy==1.0", "click==1.0", "vanished==3"),
    )  # fmt: skip
    changed = changed_packages(code)

    assert [(each.name, each.then, each.reached) for each in changed] == [
        ("numpy", "1.0", True),
        ("click", "1.0", False),
        ("vanished", "3", False),
    ]
    assert changed[2].now == ""
    assert changed_packages(msgspec.structs.replace(code, packages=tuple(installed()))) == ()


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_commit_branch_and_uncommitted_changes_are_kept_as_text(sqlite_project: LocalProject) -> None:
    prepare(sqlite_project)
    root = sqlite_project.root
    assert root is not None
    git(root, "init", "-q", "-b", "try-it")
    git(root, "add", "helpers.py", "flows.py")
    git(root, "commit", "-q", "-m", "one")
    clean = get_run_code(sqlite_project, run(sqlite_project).run.id)
    (root / "helpers.py").write_text("MORE = 99\n")
    changed = get_run_code(sqlite_project, run(sqlite_project).run.id)

    assert (clean.commit, clean.branch, clean.diff) == (git(root, "rev-parse", "HEAD"), "try-it", "")
    assert "-MORE = 1\n+MORE = 99\n" in changed.diff


def test_a_tracked_block_keeps_packages_and_says_that_it_has_no_code(sqlite_project: LocalProject) -> None:
    from headwater.errors import NotFoundError

    with track(sqlite_project, "fit") as active:
        pass
    with pytest.raises(NotFoundError, match="only runs of flows keep theirs"):
        get_run_code(sqlite_project, active.id)
    with pytest.raises(InvalidInputError, match="run of kind 'track'"):
        run_again(sqlite_project, active.id)


def test_code_of_a_collected_snapshot_is_kept_again_by_the_next_run(sqlite_project: LocalProject) -> None:
    from headwater.trace.collecting import collect

    prepare(sqlite_project)
    first = run(sqlite_project)
    with sqlite_project.ledger.write() as tx:  # long ago
        tx.execute("UPDATE runs SET ended_at = 1")
        tx.execute("UPDATE snapshots SET created_at = 1")
        tx.execute("UPDATE results SET created_at = 1")
    done = collect(sqlite_project, free=True, grace_hours=0)
    again = run(sqlite_project)

    assert any(each.what.startswith("snapshot:") for each in done.freed)
    assert [each.path for each in get_run_code(sqlite_project, again.run.id).files] == ["factor.txt"]
    assert first.value == again.value == 21


def test_a_run_of_another_process_is_run_again_from_its_code(sqlite_project: LocalProject) -> None:
    prepare(sqlite_project)
    first = run(sqlite_project)
    assert sqlite_project.root is not None
    prepare(sqlite_project, more=3)
    with open_project(sqlite_project.root, actor="ben") as other:
        again: Any = run_again(other, first.run.id[:20], forget=True)

    assert again.outcome.value == first.value
    assert execute_flow(sqlite_project, "main", {}).value == 23


def test_the_command_line_shows_writes_and_runs_old_code_again(sqlite_project: LocalProject, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from headwater.cli.root import cli

    prepare(sqlite_project)
    first = run(sqlite_project)
    prepare(sqlite_project, more=4)
    project = ["--project", str(sqlite_project.root)]
    shown = CliRunner().invoke(cli, [*project, "runs", "code", first.run.id, "--to", str(tmp_path / "then")])
    again = CliRunner().invoke(cli, [*project, "run", "--from", first.run.id, "--forget"])
    changed = CliRunner().invoke(cli, [*project, "run", "--from", first.run.id, "x=3"])
    nothing = CliRunner().invoke(cli, [*project, "run"])

    assert shown.exit_code == 0 and "helpers.py" in shown.output and "factor.txt" in shown.output
    assert (tmp_path / "then" / "helpers.py").read_text() == "MORE = 1\n"
    assert again.exit_code == 0 and "1 of 1 result are the same" in again.output.replace("results", "result")
    assert changed.exit_code == 0 and "returned 31" in changed.output
    assert nothing.exit_code == 2 and "--from" in nothing.output


def test_the_page_of_a_run_shows_its_code(sqlite_project: LocalProject) -> None:
    import urllib.request

    from tests.projects import running

    prepare(sqlite_project)
    outcome = run(sqlite_project)
    from headwater.web.app import build_server

    with (
        running(build_server(sqlite_project, workers=0)) as address,
        urllib.request.urlopen(f"{address}/runs/{outcome.run.id}") as answer,
    ):
        text = answer.read().decode()

    assert f"hw run --from {outcome.run.id}" in text
    assert "helpers.py" in text and "factor.txt (read)" in text


def test_an_erasure_reaches_the_files_that_runs_kept(sqlite_project: LocalProject) -> None:
    from headwater.lake.erasing import Subject
    from headwater.testing import put_data
    from headwater.trace.erasing import erase

    prepare(sqlite_project)
    assert sqlite_project.root is not None
    (sqlite_project.root / "factor.txt").write_text(["10", " of customer-4711-ann"][0] + "\n")
    write(sqlite_project, FLOW.replace("factor.txt", "people.txt").replace("int(Path", "len(Path"))
    (sqlite_project.root / "people.txt").write_text("customer-4711-ann bought")
    outcome = run(sqlite_project)
    kept = get_run_code(sqlite_project, outcome.run.id).files[0].digest
    put_data(sqlite_project, "people", {"id": ["customer-4711-ann", "customer-2-ben"], "n": [1, 2]})
    subject = Subject(datasets=("people",), key={"id": "customer-4711-ann"})
    done = erase(sqlite_project, subject, why="asked", carry_out=True)

    assert any(each.store == "run files" for each in done.effects)
    assert get_run_code(sqlite_project, outcome.run.id).files[0].digest != kept
    assert sqlite_project.objects.missing([kept]) == [kept]
