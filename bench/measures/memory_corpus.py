"""The corpus of small edits (``tests/flow/corpus``) played against memories: stale hits, and needless reruns.

Each tool is given what it can be told: joblib and Prefect the functions, DVC every file of the project as a
dependency of each stage. Tools whose memory a person has to bump by hand (Dagster's ``code_version``) are not here:
they remember what the person says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process import environment
from bench.setting import PROGRAMS, PYTHON, Setting
from bench.values import Comparison, Contender, Go, Goal, MeasureError, Quantity, Sample
from tests.flow.corpus.edits import write_project
from tests.flow.corpus.playing import Call, Memory, Ours, Score, Truth, play_with
from tests.flow.corpus.projects import NAMES, corpus

PER_RULE = 3
STALE = "stale hits per 1,000 edited steps whose output changed"
NEEDLESS = "needless reruns among steps whose output stayed"
ANY = "reruns of any kind among steps whose output stayed"


@contextmanager
def memory_corpus(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield the comparison: ours, joblib.Memory, Prefect's cache policy, DVC."""
    rules = setting.much(PER_RULE)
    contenders = (
        Contender("Headwater", "us", lambda folder: _played(folder, rules, None)),
        Contender("joblib.Memory", "peer", lambda folder: _played(folder, rules, [PYTHON, "joblib"])),
        setting.peer("Prefect, INPUTS + TASK_SOURCE", "prefect", "python", lambda at: _peer(at, "prefect", rules)),
        setting.peer("DVC, every file a dependency", "dvc", "python", lambda at: _peer(at, "dvc", rules)),
    )
    quantities = (
        Quantity(STALE, "‰", "lower", Goal(0.0)),
        Quantity(NEEDLESS, "%", "lower", Goal(2.0)),
        Quantity(ANY, "%", "lower"),
    )
    yield [Comparison("memory-corpus", quantities, contenders, once=True)]


def _peer(python: Path, tool: str, rules: int) -> Go:
    return lambda folder: _played(folder, rules, [python, tool])


def _played(folder: Path, rules: int, command: list[Path | str] | None) -> dict[str, Sample]:
    score, truth = Score(), Truth()
    try:
        for name in NAMES:
            given = corpus(name, per_rule=rules)
            place = folder / name / "project"
            place.mkdir(parents=True)
            write_project(place, given.files)
            with _memory(place, command) as memory:
                score.add(play_with(memory, place, given.edits, given.files, truth))
    finally:
        truth.close()
    print(f"{command[1] if command else 'headwater'}: {score.summary()}", file=sys.stderr, flush=True)
    changed = sum(not case.same for case in score.cases)
    return {
        STALE: Sample(1000 * len(score.of("stale")) / max(1, changed)),
        NEEDLESS: Sample(100 * score.share("needless", "imported")),
        ANY: Sample(100 * score.share("needless", "imported", "reachable", "unseen")),
    }


@contextmanager
def _memory(place: Path, command: list[Path | str] | None) -> Iterator[Memory]:
    if command is not None:
        asked = _Asked(place, command)
        try:
            yield asked
        finally:
            asked.close()
        return
    from headwater.project import create_project

    site = str(place.parent / "site")
    kept = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = site
    sys.path.insert(0, site)
    project = create_project(place, name="corpus", actor="bench")
    try:
        yield Ours(project)
    finally:
        project.close()
        sys.path.remove(site)
        sys.modules.pop("corpuslib", None)
        if kept is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = kept


class _Asked:
    """A tool in a process of its own environment."""

    def __init__(self, place: Path, command: list[Path | str]) -> None:
        python, tool = command
        self.process = subprocess.Popen(
            [str(python), str(PROGRAMS / "remember.py"), str(tool), str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(place.parent, {"PYTHONHASHSEED": "0"}),
        )

    def begin(self) -> None:
        """Have it run and remember what is there."""
        self.ask()

    def ask(self) -> dict[Call, tuple[bool, str]]:
        """Return which calls it remembers."""
        assert self.process.stdin is not None and self.process.stdout is not None
        given = {name: value for name, value in os.environ.items() if name.startswith("HW_CORPUS")}
        print(json.dumps(given), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise MeasureError("the tool's process ended")
        found: dict[Call, tuple[bool, str]] = {}
        for name, remembered in json.loads(line):
            found[name, sum(1 for each, _ in found if each == name)] = (remembered, "")
        return found

    def close(self) -> None:
        """End it."""
        self.process.communicate()
