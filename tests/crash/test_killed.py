"""A writer killed at each crash point and at random moments has lost nothing that it acknowledged."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.cases import Cases, running


@pytest.fixture
def cases(tmp_path: Path) -> Iterator[Cases]:
    with running(tmp_path) as found:
        yield found


def points(cases: Cases) -> list[str]:
    """Return the names of the crash points that the writer passes when nothing kills it."""
    folder = cases.folder()
    assert cases.write(folder, at=0)["code"] == 0
    assert cases.check(folder) == []
    return (folder / "points.txt").read_text().split()


def chosen(names: list[str]) -> list[int]:
    """Return the last occurrence, when most is acknowledged, of every fourth name; counted from 1."""
    return sorted({name: number for number, name in enumerate(names, 1)}.values())[::4]


def lost(cases: Cases, at: list[int], **how: bool) -> dict[int, list[str]]:
    """Kill the writer at each of these points; return what was wrong afterwards, by point."""
    wrong = {}
    for number in at:
        folder = cases.folder()
        assert cases.write(folder, at=number, **how)["code"] == -9, number
        found = cases.check(folder)
        if found:
            wrong[number] = found
        shutil.rmtree(folder)
    return wrong


@pytest.mark.parametrize("turn", range(2))  # so that several workers share them
def test_a_writer_killed_at_the_crash_points_has_lost_nothing(cases: Cases, turn: int) -> None:
    names = points(cases)
    at = chosen(names)[turn::2]
    print(f"{len(names)} crash points, {len(set(names))} names, killed at {len(at)}")  # noqa: T201  # the count asked for
    assert len(set(names)) > 40

    assert lost(cases, at) == {}


@pytest.mark.long
def test_a_writer_killed_at_every_crash_point_has_lost_nothing(cases: Cases) -> None:
    names = points(cases)

    assert lost(cases, list(range(1, len(names) + 1))) == {}


@pytest.mark.parametrize("moments", [6, pytest.param(200, marks=pytest.mark.long)])
def test_a_writer_killed_at_any_moment_has_lost_nothing(cases: Cases, moments: int) -> None:
    seconds = cases.write(cases.folder())["seconds"]
    chance = random.Random(20_260_101)
    wrong = {}
    for _ in range(moments):
        folder, delay_s = cases.folder(), chance.uniform(0, seconds)
        cases.write(folder, delay_s=delay_s)
        found = cases.check(folder)
        if found:
            wrong[delay_s] = found
        shutil.rmtree(folder)

    assert wrong == {}


def test_a_writer_that_acknowledges_before_it_commits_is_caught(cases: Cases) -> None:
    names = points(cases)
    first = names.index("check.publish.checked") + 1  # the branch's commit follows, then the tag's

    wrong = lost(cases, list(range(first + 1, first + 10)), early=True)

    assert any("'kind': 'tag'" in text for found in wrong.values() for text in found)


def test_a_writer_that_leaves_out_the_commit_is_caught(cases: Cases) -> None:
    folder = cases.folder()
    assert cases.write(folder, uncommitted=True)["code"] == 0

    assert any("'kind': 'tag'" in text for text in cases.check(folder))
