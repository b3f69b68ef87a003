"""Processes that write to a ledger for the tests: ``python -m tests.ledger.workers ACT URL ...``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headwater import durable
from headwater.errors import ConflictError
from headwater.ledger import Ledger, create_ledger, open_ledger, take_lease

ROOT = Path(__file__).parents[2]


def start_worker(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start one act in a process of its own; its standard output is what it acknowledges."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.ledger.workers", *arguments],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, **options,
    )  # fmt: skip


def now() -> int:
    return time.time_ns() // 1000


def say(text: str) -> None:
    # One write: a kill leaves a line whole or not at all.
    os.write(1, f"{text}\n".encode())


def race(ledger: Ledger, number: str, turns: str) -> None:
    say("ready")
    sys.stdin.readline()
    for turn in range(int(turns)):
        head = None if turn == 0 else f"head {turn}"
        try:
            with ledger.write() as tx:
                tx.move_pointer("channel", "c", expected=head, new=f"head {turn + 1}", by=number)
            say(f"won {turn}")
        except ConflictError:
            pass
        while current(ledger) < turn + 1:
            time.sleep(0.001)


def current(ledger: Ledger) -> int:
    with ledger.read() as tx:
        return int((tx.pointer("channel", "c") or "head 0").removeprefix("head "))


def announce(ledger: Ledger, number: str, count: str) -> None:
    for each in range(int(count)):
        with ledger.write() as tx:
            tx.announce("version", f"version:{number}/{each}")


def facts(ledger: Ledger, name: str) -> None:
    """Record facts until killed: two edges, an announcement, a link of the chain and a pointer's move, at once."""
    say("begun")
    turn = 0
    while True:
        turn += 1
        with ledger.write() as tx:
            tx.edge(f"{name}/{turn}", "left", "x")
            tx.announce("fact", f"{name}/{turn}")
            tx.govern("fact", f"{name}/{turn}", {"turn": turn})
            tx.move_pointer("fact", name, expected=None if turn == 1 else f"{turn - 1}", new=str(turn))
            tx.edge(f"{name}/{turn}", "right", "x")
        say(str(turn))


def lease(ledger: Ledger, fenced: str) -> None:
    """Take a lease, say so, be paused by the test, and record a fact as if nothing had happened."""
    with ledger.write() as tx:
        taken = take_lease(tx, "job:1", "slow", ttl_s=0.3)
    assert taken is not None
    say(f"token {taken.token}")
    sys.stdin.readline()
    try:
        with ledger.write() as tx:
            tx.edge("result:slow", "made by", "job:1")
            if fenced == "fenced":
                tx.fence("job:1", taken.token)
    except ConflictError:
        say("fenced out")
        return
    say("recorded")


def die_at(point: str) -> Callable[[str], None]:
    """Return an action that kills this process at the n-th crash point."""
    left = int(point)

    def at(name: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            say(f"killed at {name}")
            os.kill(os.getpid(), signal.SIGKILL)

    return at


def create(url: str) -> None:
    create_ledger(url, now, "p", "n").close()
    say("finished")


def write_three(url: str) -> None:
    with open_ledger(url, now) as ledger:
        for turn in range(1, 4):
            with ledger.write() as tx:
                tx.edge(f"f/{turn}", "left", "x")
                tx.announce("fact", f"f/{turn}")
                tx.govern("fact", f"f/{turn}", {"turn": turn})
                tx.edge(f"f/{turn}", "right", "x")
            say(str(turn))
    say("finished")


def write_torn(url: str) -> None:
    """Record one fact in two transactions: the planted failure, torn by a kill between them."""
    with open_ledger(url, now) as ledger:
        with ledger.write() as tx:
            tx.edge("f/1", "left", "x")
            tx.announce("fact", "f/1")
            tx.govern("fact", "f/1", {"turn": 1})
        with ledger.write() as tx:
            tx.edge("f/1", "right", "x")
    say("finished")


MORTAL: dict[str, Callable[[str], None]] = {"create": create, "write_three": write_three, "write_torn": write_torn}
ACTS: dict[str, Callable[..., None]] = {
    "announce": announce,
    "facts": facts,
    "lease": lease,
    "race": race,
}

if __name__ == "__main__":
    act, url, *rest = sys.argv[1:]
    if act in MORTAL:
        durable.on_crash_point(die_at(rest[0]))
        MORTAL[act](url)
    else:
        ACTS[act](open_ledger(url, now), *rest)
