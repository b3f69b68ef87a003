"""Pictures of flows."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from headwater.errors import UserCodeError
from headwater.flow import draw_flow
from headwater.flow.drawing import as_svg, as_text
from headwater.project import LocalProject

from .playing import run, write

FLOWS = """
from headwater.flow import command

@step(stage="get")
def load(n):
    return list(range(n))

@step(stage="get")
def check(rows):
    return rows

@step
def train(rows, rate):
    return sum(rows) * rate

@step
def compare(scores):
    return max(scores)

count = command(["wc", "-c"], stdin="t", inputs={"t": "t.txt"}, stdout="n.txt")

@step
def store(best):
    return best

@flow
def inner(scores):
    return compare(scores)

@flow
def main(n=3):
    rows = check(load(n))
    best = inner(train.map([rows, rows], [1, 2]))
    count(str(best.result()))
    return store(best)

@flow
def broken():
    raise ValueError("no")
"""


def lines(picture: object) -> set[tuple[str, str]]:
    return {(line.start, line.end) for line in picture.lines}  # type: ignore[attr-defined]  # a Picture


def test_a_flow_in_python_is_drawn_from_a_dry_run_and_then_from_its_last(sqlite_project: LocalProject) -> None:
    write(sqlite_project, FLOWS)
    dry = draw_flow(sqlite_project, "main")
    ran = run(sqlite_project)
    whole = draw_flow(sqlite_project, "main")
    other = draw_flow(sqlite_project, "main", {"n": 4})

    assert [(box.name, box.kind, box.calls) for box in dry.boxes] == [
        ("get", "stage", 2), ("train", "step", 2), ("inner", "stage", 1),
    ]  # fmt: skip
    assert (dry.drawn_from, dry.stopped_at) == ("dry run", "compare")
    assert lines(dry) == {("get", "train"), ("train", "inner")}
    assert "what follows the value of compare" in as_text(dry)
    assert (whole.drawn_from, whole.stopped_at) == ("dry run", None)
    assert lines(whole) == lines(dry) | {("inner", "store"), ("inner", "count")}
    assert [line.asked for line in whole.lines if line.end == "count"] == [True]
    assert other.drawn_from == f"run:{ran.run.id}" and {box.name for box in other.boxes} == {
        "get", "train", "inner", "count", "store",
    }  # fmt: skip
    assert next(box.kind for box in whole.boxes if box.name == "count") == "command"


def test_each_step_may_have_its_box(sqlite_project: LocalProject) -> None:
    write(sqlite_project, FLOWS)
    picture = draw_flow(sqlite_project, "main", every_step=True)

    assert [box.name for box in picture.boxes] == ["load", "check", "train", "compare"]


def test_a_picture_is_svg_that_stands_by_itself_and_text(sqlite_project: LocalProject) -> None:
    write(sqlite_project, FLOWS)
    picture = draw_flow(sqlite_project, "main")
    root = ElementTree.fromstring(as_svg(picture, styled=True))
    said = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]

    assert "train" in said and "step × 2" in said and "stage of 2 steps" in said
    assert as_text(picture).splitlines()[:2] == ["get          stage of 2 steps", "└─ train     step × 2  ← get"]


def test_a_flow_that_raises_says_so(sqlite_project: LocalProject) -> None:
    write(sqlite_project, FLOWS)

    with pytest.raises(UserCodeError, match="ValueError: no"):
        draw_flow(sqlite_project, "broken")
