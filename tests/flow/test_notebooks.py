"""Notebook steps: parameters in, the executed notebook and declared variables out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import InvalidInputError, NotFoundError
from headwater.flow import get_notebook, notebook
from headwater.flow.notebook_files import code_identity
from headwater.project import LocalProject
from headwater.track import read_log

from .playing import outcomes, run, write

Cells = list[tuple[str, str]]

REPORT: Cells = [
    ("markdown", "# Report"),
    ("parameters", "x = 1\nrows = None"),
    ("code", "from helping import twice\nprint('working on', x)"),
    ("code", "score = twice(x)\nsize = 0 if rows is None else len(rows)"),
    ("code", "score"),
]
FLOW = """
from headwater.flow import notebook
report = notebook("report.ipynb", parameters={"x": 1, "rows": None}, outputs=["score", "size"])

@flow
def main(x=1):
    return report(x)
"""


def ipynb(cells: Cells, **metadata: Any) -> str:
    made = []
    for kind, text in cells:
        tags = {"tags": ["parameters"]} if kind == "parameters" else {}
        cell: dict[str, Any] = {"metadata": tags, "source": text.splitlines(keepends=True)}
        if kind == "markdown":
            made.append({**cell, "cell_type": "markdown"})
        else:
            made.append({**cell, "cell_type": "code", "outputs": [], "execution_count": None})
    return json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": metadata, "cells": made})


@pytest.fixture
def reporting(sqlite_project: LocalProject) -> LocalProject:
    write(sqlite_project, FLOW)
    write(sqlite_project, "def twice(x):\n    return 2 * x\n", "helping.py")
    write(sqlite_project, ipynb(REPORT), "report.ipynb")
    return sqlite_project


def texts(executed: str) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(executed)["cells"]]


def test_a_notebook_takes_parameters_and_gives_variables_and_itself(reporting: LocalProject) -> None:
    first, again = run(reporting, x=4), run(reporting, x=4)
    executed = get_notebook(reporting, first.tasks[0].id)
    last = json.loads(executed)["cells"][-1]["outputs"][0]["data"]["text/plain"]

    assert first.value["score"] == 8 and first.value["size"] == 0
    assert texts(executed)[2] == "x = 4\nrows = None" and "".join(last) == "8"
    assert first.value["notebook"].cells() == json.loads(executed)["cells"]
    assert [artefact.name for artefact in first.run.artefacts] == [f"notebooks/{first.tasks[0].id}/report.ipynb"]
    assert "working on 4" in [line.text for line in read_log(reporting, first.run.id)]
    assert outcomes(again) == ["remembered"] and get_notebook(reporting, again.tasks[0].id) == executed


def test_only_the_code_of_the_notebook_and_what_it_imports_count(tmp_path: Path) -> None:
    def identity(cells: Cells, *, helping: str = "2 * x", used: bool = False) -> str:
        document = json.loads(ipynb(cells))
        if used:
            document["cells"][2]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "old"}]
        (tmp_path / "report.ipynb").write_text(json.dumps(document))
        (tmp_path / "helping.py").write_text(f"import more\ndef twice(x):\n    return {helping}\n")
        (tmp_path / "more.py").write_text(f"N = {len(helping)}\n")
        return code_identity(tmp_path / "report.ipynb", tmp_path)

    first = identity(REPORT)

    assert identity(REPORT, used=True) == first == identity([("markdown", "# Other"), *REPORT[1:]])
    assert identity([*REPORT[:-1], ("code", "score  # the same code")]) == first
    assert identity([*REPORT, ("code", "score = 7")]) != first
    assert identity(REPORT, helping="3 * x") != first  # as long as before: only helping.py differs
    assert identity(REPORT, helping="2 * x + 1") != identity(REPORT, helping="2 + x * 1") != first


@pytest.mark.long
def test_other_code_runs_it_again(reporting: LocalProject) -> None:
    run(reporting)
    write(reporting, ipynb([*REPORT, ("code", "score = 7")]), "report.ipynb")
    changed = run(reporting)

    assert changed.value["score"] == 7 and "the code of the notebook report.ipynb changed" in changed.tasks[0].why


def test_what_its_cells_read_is_part_of_the_memory(reporting: LocalProject) -> None:
    write(reporting, "one", "note.txt")
    write(reporting, ipynb([*REPORT, ("code", "score = open('note.txt').read()")]), "report.ipynb")
    first, again = run(reporting), run(reporting)
    write(reporting, "two", "note.txt")
    other = run(reporting)

    assert (first.value["score"], other.value["score"]) == ("one", "two") and outcomes(again) == ["remembered"]
    assert "the file note.txt changed" in other.tasks[0].why
    assert "it read the file note.txt, which it does not declare" in first.tasks[0].warnings[0]


@pytest.mark.long
def test_a_frame_goes_in_and_out_and_metrics_reach_the_run(reporting: LocalProject) -> None:
    write(
        reporting,
        """
from headwater.flow import notebook
import pandas as pd
report = notebook("report.ipynb", parameters=["rows"], outputs=["rows", "size"], seed=3)

@flow
def main():
    return report(pd.DataFrame({"x": [1, 2]}))
""",
    )
    logging = "import headwater.flow as hf, random\nhf.active_run().log({'loss': 0.5})\nsize = random.random()"
    write(reporting, ipynb([("parameters", "rows = None"), ("code", logging)]), "report.ipynb")
    outcome = run(reporting)
    import random

    assert outcome.value["rows"].to_dict() == {"x": {0: 1, 1: 2}} and outcome.run.metrics["loss"].last == 0.5
    assert outcome.value["size"] == random.Random(3).random()
    assert "rows = headwater_given['rows']" in texts(get_notebook(reporting, outcome.tasks[0].id))[1]


def test_a_cell_that_fails_is_shown(reporting: LocalProject) -> None:
    write(reporting, ipynb([*REPORT, ("code", "divisor = 0\nscore / divisor")]), "report.ipynb")
    outcome = run(reporting)
    executed = get_notebook(reporting, outcome.tasks[0].id)

    assert "code cell 6 of report.ipynb raised ZeroDivisionError: division by zero" in outcome.run.error
    assert "    score / divisor" in outcome.run.error and "Traceback" in outcome.run.error
    assert "\x1b" not in outcome.run.error
    assert json.loads(executed)["cells"][-1]["outputs"][0]["ename"] == "ZeroDivisionError"


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ([("parameters", "y = 1")], "has no parameter 'x'; its parameters are y"),
        ([("code", "x = 1")], "tag the cell that assigns them 'parameters'"),
        pytest.param(
            [*REPORT, ("code", "import os; os._exit(1)")], "ended the kernel's process", marks=pytest.mark.long
        ),
        pytest.param([*REPORT, ("code", "del score")], "left no variable 'score'", marks=pytest.mark.long),
        pytest.param([*REPORT, ("code", "score = open")], "cannot be kept", marks=pytest.mark.long),
    ],
)
def test_what_a_notebook_lacks_is_told(reporting: LocalProject, cells: Cells, told: str) -> None:
    write(reporting, ipynb(cells), "report.ipynb")

    assert told in run(reporting).run.error


def test_files_that_are_no_notebooks_are_told(reporting: LocalProject) -> None:
    other = ipynb([], kernelspec={"language": "R", "name": "ir", "display_name": "R"})
    for text, told in (("[]", "not a notebook of format 4"), ("no", "is not a notebook"), (other, "a notebook of R")):
        write(reporting, text, "report.ipynb")
        assert told in run(reporting).run.error
    with pytest.raises(NotFoundError, match="ran no notebook"):
        get_notebook(reporting, "01")


@pytest.mark.parametrize(
    ("path", "options", "told"),
    [
        ("../x.ipynb", {}, "has to lie in the project"),
        ("x.ipynb", {"outputs": "score"}, "lists of names"),
        ("x.ipynb", {"outputs": ["notebook"]}, "call the variable otherwise"),
        ("x.ipynb", {"parameters": ["a b"]}, "is no name"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(path: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        notebook(path, **options)
