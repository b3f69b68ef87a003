from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.measures.size import core_of
from bench.page import page
from bench.peers import Peers
from bench.process import free_port, run, runs, serving, tree
from bench.runner import run_comparison
from bench.table import table
from bench.values import Comparison, Contender, Go, Goal, MeasureError, Quantity, Sample, absent, without_goals

WALL = Quantity("wall", "s", "lower", Goal(10))


def timed(code: str) -> Go:
    def go(folder: Path) -> dict[str, Sample]:
        done = run([sys.executable, "-c", code], folder)
        return {"wall": Sample(done.wall_s, done.cpu_s)}

    return go


def failing_later() -> Go:
    rounds = iter(["pass", "raise SystemExit('no space left')"])

    def go(folder: Path) -> dict[str, Sample]:
        return timed(next(rounds))(folder)

    return go


def test_a_command_that_fails_at_once_is_shown_as_failed_and_not_as_fast(tmp_path: Path) -> None:
    slow = Contender("slow", "us", timed("import time; time.sleep(0.2)"))
    quick = Contender("quick", "peer", timed("raise SystemExit('no space left')"))

    (result,) = run_comparison(Comparison("work", (WALL,), (slow, quick)), 3, tmp_path)

    ours, theirs = result.lines
    assert ours.median is not None and ours.median >= 0.2
    assert (theirs.median, theirs.ratio) == (None, None)
    assert theirs.failed.endswith("ended with 1: no space left")
    for shown in (table([result]), page([result], {})):
        assert "no space left" in shown


def test_what_fails_in_one_round_of_three_keeps_no_number(tmp_path: Path) -> None:
    (result,) = run_comparison(Comparison("work", (WALL,), (Contender("hw", "us", failing_later()),)), 3, tmp_path)

    (line,) = result.lines
    assert (line.median, line.rounds, line.goal) == (None, 0, "≤ 10 s: failed")


def test_everybody_works_in_every_round_and_nobody_always_goes_first(tmp_path: Path) -> None:
    seen: list[str] = []

    def noting(name: str) -> Contender:
        def go(folder: Path) -> dict[str, Sample]:
            assert list(folder.iterdir()) == []
            (folder / "left").touch()
            seen.append(name)
            return {"wall": Sample(1.0)}

        return Contender(name, "floor", go)

    run_comparison(Comparison("work", (WALL,), (noting("a"), noting("b"), noting("c"))), 3, tmp_path)

    assert seen == [*"abc", *"bca", *"cab"]
    assert list(tmp_path.iterdir()) == []


def test_the_pass_that_warms_up_is_not_counted(tmp_path: Path) -> None:
    values = iter([100.0, 1.0, 2.0])
    contender = Contender("hw", "us", lambda folder: {"wall": Sample(next(values))})

    (result,) = run_comparison(Comparison("work", (WALL,), (contender,), warm=True), 2, tmp_path)

    assert (result.lines[0].median, result.lines[0].rounds) == (1.5, 2)


def test_a_share_of_the_work_meets_no_goal(tmp_path: Path) -> None:
    part = without_goals(Comparison("work", (WALL,), (Contender("hw", "us", timed("pass")),)))

    (result,) = run_comparison(part, 1, tmp_path)

    assert (result.lines[0].goal, result.lines[0].rounds) == ("", 1)


def test_a_peer_that_is_not_there_has_a_row_that_says_so(tmp_path: Path) -> None:
    ours = Contender("hw", "us", timed("pass"))

    (result,) = run_comparison(
        Comparison("work", (WALL,), (ours, absent("dvc", "peer", "left out (--no-peers)"))), 1, tmp_path
    )

    assert [line.failed for line in result.lines] == ["", "left out (--no-peers)"]


def test_a_peer_that_cannot_be_installed_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "broken.txt").write_text("./nothing-is-here-1.0-py3-none-any.whl\n")
    peers = Peers(lists=lists, places=tmp_path / "venvs")

    with pytest.raises(MeasureError, match="broken cannot be installed"):
        peers.program("broken", "broken")

    assert list((tmp_path / "venvs").iterdir()) == []


def test_a_server_and_its_children_end_with_the_block(tmp_path: Path) -> None:
    port = free_port()
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    code = f"{child}; import http.server; http.server.test(http.server.SimpleHTTPRequestHandler, port={port})"

    with serving([sys.executable, "-c", code], f"http://127.0.0.1:{port}/", tmp_path) as server:
        pids = tree(server.pid)
        assert len(pids) == 2
        assert server.memory_mib() > 1

    assert [pid for pid in pids if runs(pid)] == []


def test_a_server_that_ends_before_it_answers_is_an_error_with_its_last_line(tmp_path: Path) -> None:
    with (
        pytest.raises(MeasureError, match="ended: no port for me"),
        serving([sys.executable, "-c", "raise SystemExit('no port for me')"], "http://127.0.0.1:9/", tmp_path),
    ):
        raise AssertionError("the block must not begin")


def test_the_core_of_a_lock_is_what_the_core_needs_and_no_more() -> None:
    lock = (
        "anyio==4 \\\n    --hash=sha256:aa\n    # via starlette\n"
        "jinja2==3 \\\n    --hash=sha256:bb\n    # via headwater (pyproject.toml)\n"
        "httpx==1 \\\n    --hash=sha256:cc\n    # via headwater (pyproject.toml)\n"
        "idna==3 \\\n    --hash=sha256:dd\n    # via\n    #   anyio\n    #   httpx\n"
        "certifi==5 \\\n    --hash=sha256:ee\n    # via httpx\n"
        "starlette==1 \\\n    --hash=sha256:ff\n    # via headwater (pyproject.toml)\n"
    )

    core = core_of(lock, {"Jinja2", "starlette"})

    assert [line.split("==")[0] for line in core.splitlines() if "==" in line] == [
        "anyio",
        "jinja2",
        "idna",
        "starlette",
    ]
