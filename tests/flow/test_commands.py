"""Command steps: any program on declared files, remembered like any step."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest

from headwater.errors import InvalidInputError
from headwater.flow import command
from headwater.lake import Entry, commit, set_branch
from headwater.project import LocalProject
from headwater.track import read_log

from .playing import outcomes, run, write

COMMANDS = "from headwater.flow import command, File\nimport numpy as np\nfrom pathlib import Path\n"

SORTED = (
    COMMANDS
    + """
sort = command(["sort", "{flag}", "-o", "{done}", "{names}"], inputs={"names": "names.txt"},
               outputs={"done": "done.txt"}, defaults={"flag": "-u"})

@flow
def main(names="b\\na\\nb\\n", flag="-u"):
    return sort(names, flag=flag)
"""
)


def program(folder: Path, text: str, name: str = "tool") -> Path:
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def publish(project: LocalProject, files: dict[str, bytes]) -> None:
    entries = [Entry(path=name, digest=project.objects.put(data), size=len(data)) for name, data in files.items()]
    with project.ledger.read() as tx:
        before = tx.pointer("branch", "texts/main")
    made = commit(project, "texts", put=entries, base=before)
    set_branch(project, "texts", "main", made.id, expected=before)


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose ``bin`` is first on PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path


def test_a_program_runs_on_declared_files_and_is_remembered(sqlite_project: LocalProject) -> None:
    write(sqlite_project, SORTED)
    first, again, other = run(sqlite_project), run(sqlite_project), run(sqlite_project, flag="-r")

    assert first.value == {"done": "a\nb\n"}
    assert [outcomes(first), outcomes(again), outcomes(other)] == [["ran"], ["remembered"], ["ran"]]
    assert other.value == {"done": "b\nb\na\n"}
    assert "the argument flag is '-r', was '-u'" in other.tasks[0].why


def test_another_word_runs_it_again_and_a_comment_does_not(sqlite_project: LocalProject) -> None:
    write(sqlite_project, SORTED)
    run(sqlite_project)
    write(sqlite_project, SORTED.replace("sort = command", "# sorted\nsort = command"))
    commented = run(sqlite_project)
    write(sqlite_project, SORTED.replace('"sort", ', '"sort", "--stable", '))

    assert outcomes(commented) == ["remembered"]
    assert outcomes(run(sqlite_project)) == ["ran"]


def test_another_program_of_the_same_name_runs_it_again(sqlite_project: LocalProject, on_path: Path) -> None:
    write(
        sqlite_project,
        COMMANDS
        + 'tool = command(["tool", "{name}"], stdout="said.txt")\n\n@flow\ndef main():\n    return tool("x")\n',
    )
    program(on_path, 'echo "one $1"')
    first, again = run(sqlite_project), run(sqlite_project)
    program(on_path, 'echo "two $1"')
    other = run(sqlite_project)

    assert first.value == "one x\n" and outcomes(again) == ["remembered"]
    assert other.value == "two x\n" and "the program tool changed" in other.tasks[0].why


def test_a_step_that_calls_a_command_is_run_again_when_the_program_changes(
    sqlite_project: LocalProject, on_path: Path
) -> None:
    write(
        sqlite_project,
        COMMANDS
        + """
tool = command(["tool"], stdout="said.txt")

@step
def upper():
    return tool().upper()

@flow
def main():
    return upper()
""",
    )
    program(on_path, "echo one")
    first, again = run(sqlite_project), run(sqlite_project)
    program(on_path, "echo two")
    other = run(sqlite_project)

    assert (first.value, other.value) == ("ONE\n", "TWO\n") and outcomes(again) == ["remembered"]
    assert "the program tool changed" in other.tasks[0].why


def test_values_become_files_and_files_values_by_their_form(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        COMMANDS
        + """
copy = command(["sh", "-c", "for f in json npy txt bin lines; do cp in.$f out.$f; done; cp -r in/. out"],
    inputs={"j": "in.json", "n": "in.npy", "t": "in.txt", "b": "in.bin", "d": "in/", "l": File("in.lines", "lines")},
    outputs={"j2": "out.json", "n2": "out.npy", "t2": "out.txt", "b2": "out.bin", "d2": "out/",
             "l2": File("out.lines", "lines")})

@flow
def main():
    return copy(j={"k": [1, None]}, n=np.arange(3), t="é", b=b"\\xff", d={"a/b.txt": "c"}, l=["x", "y"])
""",
    )
    outcome = run(sqlite_project)

    assert outcome.value["j2"] == {"k": [1, None]} and outcome.value["t2"] == "é" and outcome.value["b2"] == b"\xff"
    assert outcome.value["d2"] == {"a/b.txt": b"c"} and outcome.value["l2"] == ["x", "y"]
    assert np.array_equal(outcome.value["n2"], np.arange(3))


@pytest.mark.long
def test_a_frame_goes_in_as_csv_and_comes_back_as_a_table(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        COMMANDS
        + """
import pandas as pd
head = command(["head", "-n", "2", "{rows}"], inputs={"rows": File("rows.csv", "table")},
               stdout="top.csv", outputs=File("top.csv", "table"))

@flow
def main():
    return head(pd.DataFrame({"x": [1, 2], "y": ["a", "b"]}))
""",
    )
    assert run(sqlite_project).value.to_pylist() == [{"x": 1, "y": "a"}]


def test_a_failing_program_is_told_with_its_last_lines(sqlite_project: LocalProject, on_path: Path) -> None:
    program(on_path, "echo first >&2; echo the disk is on fire >&2; exit 3")
    write(sqlite_project, COMMANDS + 'tool = command(["tool"])\n\n@flow\ndef main():\n    tool()\n')
    outcome = run(sqlite_project)

    assert outcome.status == "failed"
    assert "exit status 3" in outcome.run.error and "the disk is on fire" in outcome.run.error
    assert [(line.level, line.text) for line in read_log(sqlite_project, outcome.run.id)] == [
        ("err", "first"), ("err", "the disk is on fire"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "declaration", "told"),
    [
        pytest.param("exit 4", 'exits=(0, 4), stdout="o.txt"', "", marks=pytest.mark.long),
        ("exit 5", 'exits=(0, 4), stdout="o.txt"', r"exit status 5 \(0, 4 would be well\)"),
        ("touch there", 'outputs="gone.txt"', "did not write 'gone.txt'. It wrote: there"),
        pytest.param("kill -9 $$", "", "was ended by SIGKILL", marks=pytest.mark.long),
        pytest.param("echo x > o.json", 'outputs="o.json"', "cannot be read as json", marks=pytest.mark.long),
    ],
)
def test_how_a_program_ends_is_told(
    sqlite_project: LocalProject, on_path: Path, text: str, declaration: str, told: str
) -> None:
    import re

    program(on_path, text)
    write(sqlite_project, COMMANDS + f'tool = command(["tool"], {declaration})\n\n@flow\ndef main():\n    tool()\n')
    outcome = run(sqlite_project)

    assert outcome.status == ("failed" if told else "done")
    assert re.search(told, outcome.run.error)


def test_a_program_that_is_not_there_is_told(sqlite_project: LocalProject) -> None:
    write(sqlite_project, COMMANDS + 'tool = command(["no-such-tool"])\n\n@flow\ndef main():\n    tool()\n')

    assert "there is no program 'no-such-tool'. Install it" in run(sqlite_project).run.error


def test_what_is_not_declared_is_ignored_with_a_warning(sqlite_project: LocalProject, on_path: Path) -> None:
    program(on_path, "touch kept.txt left.txt")
    write(
        sqlite_project,
        COMMANDS + 'tool = command(["tool"], outputs="kept.txt")\n\n@flow\ndef main():\n    return tool()\n',
    )
    outcome = run(sqlite_project)
    said = [line.text for line in read_log(sqlite_project, outcome.run.id)]

    assert outcome.value == "" and said == ["warning: left.txt not declared in outputs: left behind with the folder"]


def test_a_program_sees_only_the_environment_that_was_declared(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEN", "yes")
    monkeypatch.setenv("SECRET", "no")
    write(
        sqlite_project,
        COMMANDS
        + """
env_ = command(["env"], env=["SEEN"], environ={"FIXED": "1"}, stdout=\"out.txt\")

@flow
def main():
    return env_()
""",
    )
    first = run(sqlite_project)
    monkeypatch.setenv("SEEN", "other")
    names = {line.partition("=")[0] for line in first.value.splitlines()}

    assert {"SEEN", "FIXED", "PATH"} <= names and not names & {"SECRET", "HEADWATER_PROJECT", "HEADWATER_RUN"}
    assert "the environment variable SEEN changed" in run(sqlite_project).tasks[0].why


def test_a_script_of_the_project_is_a_declared_file(sqlite_project: LocalProject) -> None:
    assert sqlite_project.root is not None
    text = (
        COMMANDS + 'awk = command(["awk", "-f", "tools/sum.awk", "{n}"], inputs={"n": "n.txt"}, stdout="s.txt", FILES)'
    )
    text += '\n\n@flow\ndef main():\n    return awk("1\\n2\\n")\n'
    write(sqlite_project, "{ s += $1 } END { print s }\n", "tools/sum.awk")
    write(sqlite_project, text.replace(", FILES", ""))
    undeclared = run(sqlite_project)
    write(sqlite_project, text.replace("FILES", 'files=["tools/sum.awk"]'))
    first, again = run(sqlite_project), run(sqlite_project)
    write(sqlite_project, "{ s += 10 * $1 } END { print s }\n", "tools/sum.awk")
    other = run(sqlite_project)

    assert undeclared.status == "failed" and "tools/sum.awk" in undeclared.run.error
    assert first.value == "3\n" and outcomes(again) == ["remembered"] and not first.tasks[0].warnings
    assert other.value == "30\n" and "the file tools/sum.awk changed" in other.tasks[0].why


def test_a_time_that_is_over_ends_the_program_and_keeps_what_it_wrote(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        COMMANDS
        + """
slow = command(["sh", "-c", "echo begun > out.txt; sleep 60"], outputs="out.txt", stop_after_s="limit")

@flow
def main():
    return slow(0.2)
""",
    )
    outcome = run(sqlite_project)

    assert outcome.value == "begun\n" and outcome.tasks[0].seconds < 20


def test_lines_are_heard_as_they_come_and_may_be_metrics(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        COMMANDS
        + """
def hear(line, arguments):
    if line.startswith("loss"):
        active_run().log({f"loss of {arguments['name']}": float(line.split()[1])}, step=int(line.split()[2]))

train = command(["printf", "%s\\\\n", "loss 0.5 1", "noise of {name}", "loss 0.25 2"], on_line=hear)

@flow
def main():
    train("ann")
""",
    )
    outcome = run(sqlite_project)

    assert outcome.status == "done" and outcome.run.metrics["loss of ann"].points == 2
    assert outcome.run.metrics["loss of ann"].last == 0.25


def test_a_version_of_the_lake_is_an_input(sqlite_project: LocalProject) -> None:
    publish(sqlite_project, {"a.txt": b"1\n", "b/c.txt": b"2\n"})
    write(
        sqlite_project,
        COMMANDS
        + """
count = command(["sh", "-c", "cat texts/a.txt texts/b/c.txt"], inputs={"texts": "texts/"}, stdout="all.txt")

@flow
def main():
    return count(DataRef("texts@main"))
""",
    )
    first, again = run(sqlite_project), run(sqlite_project)
    publish(sqlite_project, {"a.txt": b"3\n", "b/c.txt": b"2\n"})

    assert first.value == "1\n2\n" and outcomes(again) == ["remembered"]
    assert run(sqlite_project).value == "3\n2\n"


def test_outside_of_a_run_a_command_is_a_plain_call() -> None:
    assert command(["cat", "{text}"], inputs={"text": "t.txt"}, stdout="o.txt")("hello") == "hello"


def test_a_container_gets_the_folder_and_no_network(sqlite_project: LocalProject, on_path: Path) -> None:
    # An engine planted on PATH: it writes down the words that it was called with.
    program(on_path, 'at="$(echo "$*" | sed "s/.*--volume \\([^:]*\\):.*/\\1/")"\nprintf "%s\\n" "$@" > "$at/w.txt"',
            "docker")  # fmt: skip
    write(
        sqlite_project,
        COMMANDS
        + """
tool = command(["wc", "-l", "{t}"], inputs={"t": "t.txt"}, outputs="w.txt", environ={"A": "1"},
               image="debian@sha256:0123")

@flow
def main():
    return tool("x")
""",
    )
    words = run(sqlite_project).value.splitlines()

    assert words[:5] == ["run", "--rm", "--init", "--pull=never", "--network=none"]
    assert words[words.index("--workdir") + 1] == "/work" and words[words.index("--env") + 1] == "A=1"
    assert words[-4:] == ["debian@sha256:0123", "wc", "-l", "t.txt"]


def test_a_container_without_an_engine_is_told(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    write(sqlite_project, COMMANDS + 'tool = command(["wc"], image="debian")\n\n@flow\ndef main():\n    tool()\n')

    assert "neither docker nor podman is on PATH" in run(sqlite_project).run.error


@pytest.mark.parametrize(
    ("words", "options", "told"),
    [
        ("sort", {}, "a list of words"),
        (["sort", "{not a name}"], {}, "is no name"),
        (["sort"], {"inputs": {"a": "../a"}}, "below its folder"),
        (["sort"], {"inputs": {"a": "/a"}}, "below its folder"),
        (["sort"], {"inputs": {"a": "a"}, "outputs": {"a": "b"}}, "both an input and an output"),
        (["sort"], {"stdin": "a"}, "which is no input"),
        (["sort"], {"defaults": {"b": 1}}, "a default for 'b'"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(
    words: list[str], options: dict[str, object], told: str
) -> None:
    with pytest.raises(InvalidInputError, match=told):
        command(words, **options)  # type: ignore[arg-type]  # wrong on purpose
