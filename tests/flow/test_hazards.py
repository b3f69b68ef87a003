"""What makes a key unsound is found with its place: before a step runs where the code says it, else while it runs."""

from __future__ import annotations

import os
import sqlite3

import pytest

from headwater.flow import execute_flow
from headwater.flow.facts import read_facts
from headwater.project import LocalProject

from .playing import outcomes, run, write

HEAD = """
import datetime as dt, glob, os, random, subprocess, time, uuid, secrets
from datetime import date, datetime
import numpy as np, pandas as pd
from numpy import random as npr
from os import environ, getenv
from sklearn.ensemble import RandomForestClassifier
from time import time as now
CACHE = {}
"""
FOUND = {
    "time.time()": "reads the clock",
    "now()": "time.time() reads the clock",
    "datetime.now(dt.timezone.utc)": "datetime.datetime.now() reads the clock",
    "dt.datetime.utcnow()": "reads the clock",
    "date.today()": "reads the clock",
    "pd.Timestamp.now()": "reads the clock",
    "np.datetime64('now')": "reads the clock",
    "time.strftime('%Y')": "reads the clock",
    "uuid.uuid4()": "is random each time",
    "secrets.token_hex()": "is random each time",
    "os.urandom(4)": "is random each time",
    "random.choice([1, 2])": "random.choice() is random without a seed",
    "random.Random()": "has no seed",
    "np.random.rand(3)": "numpy.random.rand() is random without a seed",
    "npr.normal()": "numpy.random.normal() is random without a seed",
    "np.random.default_rng()": "has no seed",
    "pd.DataFrame({'a': [1]}).sample(1)": "",
    "frame.sample(frac=0.5)": ".sample() draws at random",
    "RandomForestClassifier(n_estimators=3)": "has no random_state",
    "os.getenv('HW_X')": "reads the environment variable HW_X",
    "getenv('HW_X')": "reads the environment variable HW_X",
    "os.environ['HW_X']": "reads the environment variable HW_X",
    "environ.get('HW_X', '')": "reads the environment variable HW_X",
    "dict(os.environ)": "reads the whole environment",
    "os.environ.copy()": "reads the whole environment",
    "os.path.exists('x')": "asks about a file",
    "CACHE.update(a=1)": "changes the global CACHE",
}
HARMLESS = [
    "random.Random(3).random()",
    "np.random.default_rng(3).normal()",
    "frame.sample(frac=0.5, random_state=1)",
    "RandomForestClassifier(random_state=0)",
    "time.strftime('%Y', time.gmtime(0))",
    "datetime(2026, 1, 1)",
    "time.perf_counter()",
    "[].append(1)",
    "os.path.join('a', 'b')",
    "uuid.UUID(int=3)",
]


def hazards_in(expression: str) -> list[tuple[int, str]]:
    source = f"{HEAD}\n\ndef step(frame):\n    return {expression}\n"
    statements = read_facts("flows", "", source.encode()).statements
    return [(hazard.line, hazard.text) for each in statements if each.binds == ["step"] for hazard in each.hazards]


@pytest.mark.parametrize("expression", [each for each in FOUND if FOUND[each]])
def test_a_call_that_no_key_can_see_is_found_with_its_line(expression: str) -> None:
    found = hazards_in(expression)

    assert any(FOUND[expression] in text and line == HEAD.count("\n") + 4 for line, text in found), found


@pytest.mark.parametrize("expression", HARMLESS)
def test_what_a_key_sees_is_no_hazard(expression: str) -> None:
    assert [text for _, text in hazards_in(expression) if "clock" not in text or "gmtime" not in expression] == []


READS = """
import glob, mmap, os, sqlite3, subprocess
from pathlib import Path
import numpy as np

HERE = Path(__file__).parent

@step
def database():
    with sqlite3.connect(HERE / "data.db") as base:
        return base.execute("SELECT n FROM numbers").fetchall()[0][0]

@step
def mapped():
    with open(HERE / "bytes.bin", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return view[:2].decode()

@step
def array():
    return np.memmap(HERE / "bytes.bin", dtype="u1", mode="r").sum().item()

@step
def listed():
    return [sorted(os.listdir(HERE / "many")), sorted(map(os.path.basename, glob.glob(str(HERE / "many" / "*"))))]

@step
def program():
    return subprocess.run(["cat", str(HERE / "bytes.bin")], capture_output=True).stdout.decode()

@step
def variable():
    return os.getenv("HW_HAZARD", "unset")

@flow
def main():
    return [database(), mapped(), array(), listed(), program(), variable()]
"""


def fill(project: LocalProject, number: int) -> None:
    assert project.root is not None
    with sqlite3.connect(project.root / "data.db") as base:
        base.execute("CREATE TABLE IF NOT EXISTS numbers (n)")
        base.execute("DELETE FROM numbers")
        base.execute("INSERT INTO numbers VALUES (?)", (number,))
    base.close()
    (project.root / "bytes.bin").write_bytes(b"ab" if number == 1 else b"cd")
    (project.root / "many").mkdir(exist_ok=True)
    (project.root / "many" / str(number)).write_text("")


def test_what_a_step_reads_without_saying_so_is_seen_and_counts(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(sqlite_project, READS)
    fill(sqlite_project, 1)
    first = run(sqlite_project)
    again = run(sqlite_project)
    fill(sqlite_project, 2)
    monkeypatch.setenv("HW_HAZARD", "set")
    changed = run(sqlite_project)

    warned = ["data.db", "bytes.bin", "bytes.bin", "", "started cat", "HW_HAZARD"]
    for task, text in zip(first.tasks, warned, strict=True):
        assert text in " ".join(task.warnings), task
    assert sum("HW_HAZARD" in each for each in first.tasks[5].warnings) == 1
    assert outcomes(again) == ["remembered"] * 6
    # What a started program reads is not seen: that is what the warning says.
    assert outcomes(changed) == ["ran", "ran", "ran", "ran", "remembered", "ran"]
    assert changed.value[0] == 2 and changed.value[5] == "set"


def test_strict_refuses_before_the_step_runs(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        import os, random
        from pathlib import Path

        def tell(name):
            Path(__file__).with_name(name).write_text("ran")

        @step(strict=True)
        def careless():
            tell("careless")
            return random.random()

        @step(strict=True, seed=1, env=["HW_HAZARD"])
        def careful():
            return [random.random(), os.environ.get("HW_HAZARD")]

        @step(strict=True, impure=True)
        def open_handed():
            return random.random() > 2

        @flow
        def main():
            return [careful(), open_handed(), careless()]
        """,
    )
    outcome = run(sqlite_project)

    assert outcomes(outcome) == ["ran", "ran", "failed"]
    assert "the step is strict, and flows.py:" in outcome.tasks[2].error
    assert "random.random() is random without a seed" in outcome.tasks[2].error
    assert sqlite_project.root is not None and not os.path.exists(sqlite_project.root / "careless")


def test_strict_refuses_what_was_remembered_without_it(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        import random

        @step
        def careless(x):
            return random.random()

        @flow
        def main():
            return careless(1)
        """,
    )
    assert outcomes(run(sqlite_project)) == ["ran"]
    assert outcomes(run(sqlite_project)) == ["remembered"]

    strict = execute_flow(sqlite_project, "main", strict=True)

    assert (outcomes(strict), strict.status) == (["failed"], "failed")
    assert "the remembered result was made although flows.py:" in strict.tasks[0].error


def test_code_from_elsewhere_counts(sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sqlite_project.root is not None
    beside = sqlite_project.root.parent / f"{sqlite_project.root.name} beside"
    for name in ("linked", "on_path/far"):
        (beside / name).mkdir(parents=True)
    (sqlite_project.root / "near").symlink_to(beside / "linked")
    monkeypatch.setenv("PYTHONPATH", str(beside / "on_path"))
    monkeypatch.syspath_prepend(str(beside / "on_path"))
    write(
        sqlite_project,
        """
        @step
        def linked():
            from near import behind
            return behind.VALUE

        @step
        def on_path():
            import far.away
            return far.away.VALUE

        @flow
        def main():
            return [linked(), on_path()]
        """,
    )
    near, far = beside / "linked" / "behind.py", beside / "on_path" / "far" / "away.py"
    near.write_text("VALUE = 1")
    far.write_text("VALUE = 1")
    run(sqlite_project)
    near.write_text("VALUE = 20")
    changed = run(sqlite_project)
    far.write_text("VALUE = 300")
    last = run(sqlite_project)

    assert outcomes(changed) == ["ran", "remembered"] and changed.value == [20, 1]
    assert changed.tasks[0].why == "ran again: the module near/behind.py changed"
    assert outcomes(last) == ["remembered", "ran"] and last.value == [20, 300]
