"""Small edits of many projects: no stale hit, few needless reruns, and a key with a hole in it is caught.

Whether an edit matters is not written anywhere: both versions are run. `make test` plays a part of the corpus, drawn
by a fixed seed; `make test-long` plays all of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.flow.closure import Analysis
from headwater.flow.execution import Execution
from headwater.flow.tree import read_tree
from headwater.project import LocalProject, create_project

from .corpus.edits import apply, write_project
from .corpus.holes import HOLES, plant
from .corpus.playing import Score, Truth, play, play_for_real, telling
from .corpus.projects import NAMES, WRITTEN, Corpus, corpus

PER_RULE = 2
# The longest are cut, so that the processes of a test run share them.
PARTS = {"modern": 5, "markdown_it": 2, "toolz": 2, "cronsim": 2, "itsdangerous": 2}
# Parts left to the long tests: what they edit is of the same kinds.
LONG_PARTS = {"modern": (4,), "markdown_it": (1,), "toolz": (1,), "cronsim": (1,)}
# Of the cases whose output is the same, how many may be computed again though nothing that the step could reach
# changed. toolz makes curried copies of its functions on import: what a call on import may change is not known.
# In markdown-it an object keeps whole modules as attributes: all that is in them counts.
NEEDLESS = {"toolz": 0.13, "markdown_it": 0.05, "itsdangerous": 0.04}


@pytest.fixture(scope="module")
def truth() -> Iterator[Truth]:
    with telling() as found:
        yield found


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Corpus], LocalProject]]:
    made: list[LocalProject] = []

    def project(given: Corpus) -> LocalProject:
        folder = tmp_path / given.name / "project"
        folder.mkdir(parents=True)
        write_project(folder, given.files)
        site = str(folder.parent / "site")
        monkeypatch.setenv("PYTHONPATH", site, prepend=":")
        monkeypatch.syspath_prepend(site)
        made.append(create_project(folder, name=given.name, actor="ann"))
        return made[-1]

    yield project
    for each in made:
        each.close()
    sys.modules.pop("corpuslib", None)


def test_the_corpus_is_broad() -> None:
    every = [edit for name in NAMES for edit in corpus(name, per_rule=PER_RULE).edits]

    assert len(every) >= 300
    assert len({edit.kind for edit in every}) >= 25
    assert len(NAMES) - len(WRITTEN) >= 3


@pytest.mark.parametrize(
    ("name", "part"),
    [
        pytest.param(name, part, marks=pytest.mark.long if part in LONG_PARTS.get(name, ()) else ())
        for name in NAMES
        for part in range(PARTS.get(name, 1))
    ],
)
def test_no_edit_gives_a_stale_hit_and_few_rerun_needlessly(
    make: Callable[[Corpus], LocalProject], truth: Truth, name: str, part: int
) -> None:
    given = corpus(name, per_rule=PER_RULE)
    score = play(make(given), given.edits[part :: PARTS.get(name, 1)], given.files, truth)

    assert score.of("stale") == []
    assert score.share("needless", "imported") <= NEEDLESS.get(name, 0.02), score.of("needless") + score.of("imported")


@pytest.mark.long
def test_the_whole_corpus_has_no_stale_hit_and_under_two_percent_of_needless_reruns(
    make: Callable[[Corpus], LocalProject], truth: Truth
) -> None:
    score = Score()
    for name in NAMES:
        given = corpus(name, per_rule=14, seed=2)
        score.add(play(make(given), given.edits, given.files, truth))
        print(name, score.summary())  # noqa: T201  # the figures of the page on memory

    assert score.edits >= 1000
    assert score.of("stale") == []
    assert score.share("needless", "imported") < 0.02, score.summary()


@pytest.mark.long
@pytest.mark.parametrize("name", WRITTEN)
def test_runs_with_a_growing_memory_give_what_runs_without_give(
    make: Callable[[Corpus], LocalProject], truth: Truth, name: str
) -> None:
    given = corpus(name, per_rule=0)

    assert play_for_real(make(given), given.edits, truth) == []


def whole_closures(project: LocalProject) -> dict[tuple[str, str], str]:
    """Return the digest of each step's closure in the code as it is, by the digest of its tree."""
    assert project.root is not None
    tree = read_tree(project.root)
    analysis = Analysis(tree)
    return {
        (tree.digest, f"flows:{name}"): analysis.closure("flows", name, ["flows"]).digest
        for name, numbers in analysis.facts("flows").bindings.items()
        if numbers
    }


@pytest.mark.parametrize("hole", HOLES)
def test_a_key_that_leaves_something_out_is_caught(
    make: Callable[[Corpus], LocalProject], truth: Truth, monkeypatch: pytest.MonkeyPatch, hole: str
) -> None:
    name, kind = HOLES[hole]
    given = corpus(name, per_rule=0)
    edits = [edit for edit in given.edits if edit.kind == kind]
    project = make(given)
    # A worker makes the key of the code itself and refuses another: here it is told the whole one.
    whole = whole_closures(project)
    plain = Execution.job_of

    def told(execution: Execution, task: Any, ended: Any) -> Any:
        job = plain(execution, task, ended)
        job.code = whole[execution.engine.found.tree.digest, task.name]
        return job

    monkeypatch.setattr(Execution, "job_of", told)
    plant(monkeypatch, hole)

    assert play(project, edits, given.files, truth).of("stale"), f"the corpus does not see that '{hole}' is missing"


def test_an_edit_that_does_not_fit_is_refused(make: Callable[[Corpus], LocalProject]) -> None:
    given = corpus("functions", per_rule=0)
    project = make(given)
    assert project.root is not None

    with pytest.raises(AssertionError, match="is there 0 times"):
        apply(project.root, given.edits[0]._replace(old="nothing of this kind"))
