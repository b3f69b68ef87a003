"""Flows described in TOML: the same flow as in Python, and errors that say where."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import HeadwaterError, InvalidInputError, NotFoundError
from headwater.flow import check_flow_file, draw_flow, execute_flow, explain, list_flows, show_flow
from headwater.flow.described import schema
from headwater.project import LocalProject

from .playing import outcomes, write

STEPS = """
from headwater.flow import step

def clean(rows, rate=1):
    return [row * rate for row in rows]

@step
def fit(rows, rate):
    return {"rate": rate, "score": sum(rows) * rate}

def best(models):
    return max(models, key=lambda model: model["score"])

def total(rows, more=0):
    return sum(rows) + more
"""
FLOW = """# A report.
[flow]
name = "report"
description = "Clean, fit, choose."
returns = { best = "$choose.rate", words = "$count" }

[parameters]
rates = [1, 3]
city = { type = "text", default = "Bonn", choices = ["Bonn", "Paris"] }

[[step]]
name = "choose"
run = "work:best"
with = { models = "$train" }

[[step]]
name = "train"
run = "work:fit"
map = "rate"
with = { rows = "$clean", rate = "$rates" }

[[step]]
name = "clean"
run = "work:clean"
with = { rows = [1, 2], rate = 2 }
retries = 1

[[step]]
name = "count"
command = ["wc", "-c"]
stdin = "text"
inputs = { text = "t.txt" }
stdout = "n.txt"
with = { text = "$city" }
needs = ["train"]
"""


@pytest.fixture
def described(sqlite_project: LocalProject) -> LocalProject:
    write(sqlite_project, STEPS, "work.py")
    write(sqlite_project, FLOW, "report.toml")
    return sqlite_project


def run(project: LocalProject, **arguments: Any) -> Any:
    return execute_flow(project, "report.toml", arguments)


def test_a_file_is_a_flow_like_any_other(described: LocalProject) -> None:
    first, again = run(described), run(described)

    assert first.value == {"best": 3, "words": "4\n"} and first.run.flow == "report.toml"
    assert [task.step for task in first.tasks] == [
        "report_toml:clean", "work:fit", "work:fit", "report_toml:choose", "report_toml:count", "report_toml:_pick",
    ]  # fmt: skip
    assert outcomes(again) == ["remembered"] * 6


def test_only_what_changed_runs_again(described: LocalProject) -> None:
    run(described)
    write(described, "# A comment.\n" + FLOW.replace("rates = [1, 3]", "rates = [1,  5]"), "report.toml")
    rated = run(described)
    write(described, STEPS.replace("row * rate", "rate * row + 1"), "work.py")

    assert outcomes(rated) == ["remembered", "remembered", "ran", "ran", "remembered", "ran"]
    assert outcomes(run(described))[:3] == ["ran", "ran", "ran"]


def test_the_same_flow_in_python_gives_the_same_outputs(described: LocalProject) -> None:
    write(
        described,
        """
from work import best, clean, fit
clean, best = step(clean), step(best)

@flow
def main(rates=(1, 3)):
    rows = clean([1, 2], rate=2)
    return best([fit(rows, rate) for rate in rates])
""",
    )
    assert execute_flow(described, "main").value == {"rate": 3, "score": 18}
    assert run(described).tasks[3].result is not None


def test_arguments_come_from_the_command_line_and_are_checked(described: LocalProject) -> None:
    assert described.root is not None
    hw = [str(Path(sys.executable).with_name("hw")), "--json"]

    def call(*words: str) -> tuple[int, Any]:
        done = subprocess.run([*hw, *words], cwd=described.root, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout)

    code, ended = call("run", "report.toml", "--set", 'city="Paris"', "rates=[2]")
    wrong, error = call("run", "report.toml", "--set", 'city="Rom"')
    shown = call("flow", "show", "report.toml", "--svg", "out.svg")[1]

    assert code == 0 and ended["returned"] == {"best": 2, "words": "5\n"}
    assert wrong == 2 and "city is 'Rom', and should be one of 'Bonn', 'Paris'" in error["error"]["message"]
    assert [box["name"] for box in shown["picture"]["boxes"]] == ["clean", "train", "choose", "count"]
    assert (described.root / "out.svg").read_text().startswith("<svg xmlns=")


def test_it_is_listed_shown_explained_and_drawn(described: LocalProject) -> None:
    [info] = list_flows(described)
    picture = draw_flow(described, "report.toml")

    assert (info.name, info.ref, info.steps) == ("report", "report.toml", ("clean", "train", "choose", "count"))
    assert show_flow(described, "report.toml") == info
    assert explain(described, "report.toml").tasks[0].outcome == "would run"
    assert picture.drawn_from == "file"
    assert {(line.start, line.end) for line in picture.lines} == {
        ("clean", "train"), ("train", "choose"), ("train", "count"),
    }  # fmt: skip
    assert check_flow_file(described, "report.toml") == []


def test_data_files_and_notebooks_are_given_as_tables(described: LocalProject) -> None:
    from tests.flow.test_commands import publish

    publish(described, {"a.txt": b"abc"})
    write(described, "de", "b.txt")
    write(
        described,
        """
[flow]
name = "files"
[parameters]
source = "texts@main"
[[step]]
name = "join"
command = ["cat", "a.txt", "b.txt"]
inputs = { a = "a.txt", b = "b.txt" }
stdout = "c.txt"
with = { a = { data = "$source" }, b = { file = "b.txt" } }
[[step]]
name = "keep"
run = "work:total"
with = { rows = [1], more = 2 }
stage = "end"
""",
        "report.toml",
    )
    outcome = run(described)

    assert outcome.value == 3 and outcome.tasks[0].step == "report_toml:join" and outcome.status == "done"
    assert [box.name for box in draw_flow(described, "report.toml").boxes] == ["join", "end"]


CHANGES = [
    ("retries = 1", "retires = 1", r"report.toml:26: step 'clean': there is no key 'retires'; the keys are name, run,"),
    ("retries = 1", 'retries = "x"', r"report.toml:26: step 'clean': 'retries': Expected `int`, got text"),
    ("[parameters]", "[params]", r"there is no key 'params'; the keys are flow, parameters, step"),
    ('name = "report"\n', "", r"report.toml:2: it lacks the key `name`"),
    ('run = "work:best"', "", r"step 'choose': a step has one of run, command, notebook; it has none"),
    ('run = "work:best"', 'run = "work"', r"report.toml:13: step 'choose': run = 'work' is not 'module:function'"),
    ('run = "work:best"', 'run = "wrok:best"', r"report.toml:11: step 'choose': .* there is no module 'wrok'"),
    ('run = "work:best"', 'run = "work:bets"', r"report.toml:11: step 'choose': .* the module 'work' has no 'bets'"),
    ('"$train" }', '"$trian" }', r"report.toml:14: step 'choose': '\$trian' is neither a step nor a parameter"),
    ('needs = ["train"]', 'needs = ["tarin"]', r"report.toml:35: step 'count': needs 'tarin', and there"),
    ('map = "rate"', 'map = "rat"', r"report.toml:19: step 'train': maps over 'rat', which 'with' does not give"),
    ('name = "choose"', 'name = "train"', r"report.toml:17: step 'train': an earlier step has that name"),
    ('name = "choose"', 'name = "city"', r"report.toml:12: step 'city': a parameter has that name too"),
    ('name = "choose"', 'name = "a b"', r"report.toml:12: step 'a b': 'a b' is no name of a step"),
    ("rows = [1, 2]", 'rows = "$choose"', r"steps need each other in a circle: "),
    ("rate = 2 }", "rat = 2 }", r"report.toml:22: step 'clean': got an unexpected keyword argument 'rat'"),
    ('default = "Bonn"', "default = 7", r"report.toml:9: its default does not fit: city is 7, and should be text"),
    ('type = "text"', 'type = "string"', r"report.toml:9: 'city': there is no type 'string'; there are text, int,"),
    ('stdin = "text"', 'stdin = "txt"', r"stdin names 'txt', which is no input"),
    ("[flow]", "[flow", r"report.toml: Expected ']'"),
    ('words = "$count"', 'words = "$cuont"', r"report.toml:5: 'returns' names '\$cuont', which is neither"),
    ("retries = 1", 'outputs = "x"', r"report.toml:26: step 'clean': 'outputs' is for a command or a notebook"),
    ("retries = 1", 'stdout = "x"', r"report.toml:26: step 'clean': 'stdout' is for a command; this step has run"),
]


@pytest.mark.parametrize(("old", "new", "told"), CHANGES)
def test_a_mistake_is_told_with_its_line(described: LocalProject, old: str, new: str, told: str) -> None:
    assert old in FLOW
    write(described, FLOW.replace(old, new, 1), "report.toml")

    with pytest.raises(HeadwaterError, match=told) as raised:
        check_flow_file(described, "report.toml")
    assert raised.value.exit_code == 2


def test_what_is_not_there_is_told(described: LocalProject) -> None:
    with pytest.raises(NotFoundError, match=r"there is no file 'other\.toml'"):
        draw_flow(described, "other.toml")
    write(described, FLOW.replace('["wc", "-c"]', '["no-such-tool"]'), "report.toml")
    [warning] = check_flow_file(described, "report.toml")

    assert warning == "report.toml:28: step 'count': the program 'no-such-tool' is not on PATH of this machine"


def test_a_notebook_is_asked_for_its_parameters(described: LocalProject) -> None:
    from tests.flow.test_notebooks import ipynb

    write(described, ipynb([("parameters", "x = 1")]), "report.ipynb")
    text = '[flow]\nname = "n"\n[[step]]\nname = "look"\nnotebook = "report.ipynb"\nwith = { x = 2 }\n'
    write(described, text, "report.toml")
    assert check_flow_file(described, "report.toml") == []
    write(described, text.replace("x = 2", "y = 2"), "report.toml")

    with pytest.raises(InvalidInputError, match=r"report.toml:3: step 'look': report.ipynb has no parameter 'y'"):
        check_flow_file(described, "report.toml")


def test_the_schema_knows_every_key() -> None:
    keys = schema()["$defs"]["StepTable"]["properties"]

    assert {"name", "run", "command", "notebook", "with", "needs", "map", "retries", "timeout_s"} <= set(keys)
