"""Turns: writers of one branch on one machine go one after the other, so that none works for nothing.

A turn is a courtesy, not a lock: who waited long enough goes on without one, and the branch itself is compared and
set in the ledger all the same, which also settles writers of different machines.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..canonical import digest
from ..project import Project
from ..project.settings import STATE

TURN_TIMEOUT_S = 30.0
_WAITS_S = (0.0003, 0.0011, 0.0005, 0.0017, 0.0007, 0.0023, 0.0013)


@contextmanager
def in_turn(project: Project, dataset: str, branch: str, *, timeout_s: float = TURN_TIMEOUT_S) -> Iterator[bool]:
    """Wait for the writers of this branch that came before; yield whether the turn came in time.

    A turn ends with its block, and with its process however that ends.
    """
    file = _turn_file(project, f"{dataset}@{branch}")
    if file is None:
        yield False
        return
    try:
        yield _locked(file, timeout_s)
    finally:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)  # a child forked meanwhile has the file open too
        os.close(file)


def _turn_file(project: Project, name: str) -> int | None:
    if project.root is None:
        return None
    folder = project.root / STATE / "turns"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / digest(name.encode())[:32], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:  # a folder that takes no files: the ledger decides alone
        return None


def _locked(file: int, timeout_s: float) -> bool:
    give_up_at = time.monotonic() + timeout_s
    for wait_s in itertools.cycle(_WAITS_S):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= give_up_at:
                return False
        except OSError:
            return False
        time.sleep(wait_s)
    raise AssertionError("unreachable")
