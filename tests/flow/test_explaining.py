"""Every hit and miss has its sentence, and what no key can see has a warning."""

from __future__ import annotations

import os
from typing import Any

import pytest
from click.testing import CliRunner

from headwater.cli.root import cli
from headwater.errors import NotFoundError
from headwater.flow import explain
from headwater.flow.explaining import explain_task
from headwater.project import LocalProject
from headwater.track import list_runs

from .playing import CHAIN, outcomes, run, write


def test_every_rerun_says_why(sqlite_project: LocalProject) -> None:
    write(sqlite_project, "K = 1\n\ndef normalise(x):\n    return x + K\n", "helpers.py")
    text = """
        import helpers

        @step(env=["HW_TEST_MODE"])
        def one(x, depth=1):
            return helpers.normalise(x) * depth

        @flow
        def main(x=1, depth=6):
            return one(x, depth=depth)
    """
    write(sqlite_project, text)

    def why(**arguments: Any) -> str:
        return run(sqlite_project, **arguments).tasks[0].why

    assert why() == "ran: no result of this call is remembered yet"
    assert why(depth=8) == "ran again: the argument depth is 8, was 6"
    write(sqlite_project, "K = 1\n\ndef normalise(x):\n    return x - K\n", "helpers.py")
    assert why(depth=8) == "ran again: helpers.normalise changed (helpers.py:3)"
    os.environ["HW_TEST_MODE"] = "fast"
    try:
        assert why(depth=8) == "ran again: the environment variable HW_TEST_MODE changed"
    finally:
        del os.environ["HW_TEST_MODE"]
    assert why(depth=8).startswith("remembered from ")


def test_explaining_is_exact_up_to_the_first_miss(sqlite_project: LocalProject) -> None:
    write(sqlite_project, CHAIN)
    run(sqlite_project)
    same = explain(sqlite_project, "main")
    changed = explain(sqlite_project, "main", {"x": 2})

    assert [task.outcome for task in same.tasks] == ["remembered"] * 3 and same.would_run == 0
    assert [task.outcome for task in changed.tasks] == ["remembered", "would run", "unknown"]
    assert changed.tasks[1].why == "would run again: the argument x is 3, was 2"
    assert changed.tasks[2].why == "depends on double"
    assert len(list_runs(sqlite_project).runs) == 1


def test_explaining_stops_where_the_flow_needs_a_value(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        @step
        def count():
            return 3

        @step
        def each(i):
            return i

        @flow
        def main():
            return [each(i) for i in range(count().result())]
        """,
    )
    before = explain(sqlite_project, "main")
    outcome = run(sqlite_project)

    assert before.stopped_at == "count" and len(before.tasks) == 1
    assert outcome.value == [0, 1, 2]


def test_what_a_key_cannot_see_is_warned_of(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        import random, time
        from datetime import datetime
        from pathlib import Path

        @step
        def clock():
            return [time.time(), datetime.now().year]

        @step
        def dice():
            return random.random()

        @step(seed=1)
        def seeded():
            return random.random()

        @step
        def reader():
            return Path(__file__).with_name("notes.txt").read_text()

        @step(impure=True)
        def impure():
            return time.time()

        @flow
        def main():
            return [clock(), dice(), seeded(), reader(), impure()]
        """,
    )
    write(sqlite_project, "hello", "notes.txt")
    outcome = run(sqlite_project)
    clock, dice, seeded, reader, impure = outcome.tasks

    assert clock.warnings[0].startswith("flows.py:9: time.time() reads the clock")
    assert "datetime.datetime.now() reads the clock" in clock.warnings[1]
    assert dice.warnings[0].startswith("flows.py:13: random.random() is random without a seed")
    assert "it read the file notes.txt" in reader.warnings[0]
    assert seeded.warnings == impure.warnings == ()
    again = run(sqlite_project)
    assert outcomes(again) == ["remembered"] * 4 + ["ran"]
    assert again.tasks[0].warnings == clock.warnings


def test_a_strict_step_fails_on_what_it_does_not_declare(sqlite_project: LocalProject) -> None:
    write(sqlite_project, "hello", "notes.txt")
    write(
        sqlite_project,
        """
        from pathlib import Path

        def read():
            return Path(__file__).with_name("notes.txt").read_text()

        @step(strict=True)
        def careless():
            return read()

        @step(strict=True, files=["notes.txt"])
        def careful():
            return read()

        @flow
        def main():
            return [careful(), careless()]
        """,
    )
    outcome = run(sqlite_project)

    assert outcomes(outcome) == ["ran", "failed"]
    assert "the step is strict, and it read the file notes.txt" in outcome.tasks[1].error


def test_a_connection_is_warned_of(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        import socket

        @step
        def connect():
            with socket.socket() as s:
                s.settimeout(0.2)
                try:
                    s.connect(("127.0.0.1", 9))
                except OSError:
                    return "refused"

        @flow
        def main():
            return connect()
        """,
    )
    outcome = run(sqlite_project)

    assert outcome.value == "refused" and "it connected to 127.0.0.1:9" in outcome.tasks[0].warnings[0]


def test_a_step_of_a_run_is_explained_after_it(sqlite_project: LocalProject) -> None:
    write(sqlite_project, "K = 1\n\ndef normalise(x):\n    return x + K\n", "helpers.py")
    write(
        sqlite_project,
        """
        import helpers

        @step(seed=4, env=["HW_TEST_MODE"])
        def one(x):
            return helpers.normalise(x)

        @flow
        def main(x=1):
            return one(x)
        """,
    )
    first = run(sqlite_project)
    again = run(sqlite_project)
    (told,) = explain_task(sqlite_project, first.run.id, "one")
    (later,) = explain_task(sqlite_project, again.run.id, "one")

    assert told.why == "ran: no result of this call is remembered yet" and told.outcome == "ran"
    assert told.arguments == {"x": "1"} and told.seed == 4 and told.environment == ("HW_TEST_MODE",)
    assert {"helpers.normalise (helpers.py:3)", "helpers.K (helpers.py:1)"} <= set(told.code)
    assert later.outcome == "remembered" and later.key == told.key
    with pytest.raises(NotFoundError, match="has no step 'two'"):
        explain_task(sqlite_project, first.run.id, "two")


def test_the_command_explains_before_and_after(sqlite_project: LocalProject) -> None:
    write(sqlite_project, CHAIN)
    outcome = run(sqlite_project)
    assert sqlite_project.root is not None
    place = ["--project", str(sqlite_project.root)]
    after = CliRunner().invoke(cli, [*place, "run", "explain", outcome.run.id, "join"])
    before = CliRunner().invoke(cli, [*place, "run", "main", "x=5", "--explain"])

    assert after.exit_code == 0 and "flows:join ran: no result" in after.output
    assert "a = the result of double" in after.output and "flows.join (flows.py:" in after.output
    assert before.exit_code == 0 and "would run again: the argument x is 5" in before.output
