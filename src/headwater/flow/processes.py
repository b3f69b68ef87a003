"""Trees of processes: what came of one, what memory it holds, and ending it whole.

A process that asked to adopt orphans (``adopt_orphans``) stays the ancestor of everything that was started below it,
whatever session or group that moved to; so a tree is found by its parents alone. Linux; elsewhere a tree is the
process's group, and its memory is not known.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_ROUNDS = 50
_PAUSE_S = 0.004
_SET_DEATH_SIGNAL, _SET_SUBREAPER = 1, 36


class Process(NamedTuple):
    """One process: its parent, its state (a letter, ``Z`` when it only waits to be noticed), its resident bytes."""

    parent: int
    state: str
    resident_bytes: int


def processes() -> dict[int, Process]:
    """Return every process of this machine by its number; none where there is no /proc."""
    page = os.sysconf("SC_PAGE_SIZE")
    found = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return {}
    for name in names:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            found[int(name)] = Process(int(fields[1]), fields[0].decode(), int(fields[21]) * page)
    return found


def below(root: int, known: Mapping[int, Process]) -> list[int]:
    """Return the living processes below one, nearest first; not the one itself."""
    children: dict[int, list[int]] = {}
    for pid, process in known.items():
        children.setdefault(process.parent, []).append(pid)
    found: list[int] = []
    waiting = [root]
    while waiting:
        next_ones = [pid for parent in waiting for pid in children.get(parent, [])]
        found += next_ones
        waiting = next_ones
    return [pid for pid in found if known[pid].state not in "ZX"]


def resident_bytes(root: int, known: Mapping[int, Process]) -> int:
    """Return the resident size of a process and all below it; pages that several share count for each."""
    return sum(known[pid].resident_bytes for pid in (root, *below(root, known)) if pid in known)


def own_bytes(root: int, known: Mapping[int, Process]) -> int:
    """Return the same with a page that n processes share counted as 1/n: exact, and slow for a large process."""
    total = 0
    for pid in (root, *below(root, known)):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
        except (OSError, ValueError, IndexError):
            total += known[pid].resident_bytes if pid in known else 0
    return total


def end_tree(root: int) -> None:
    """End a process and everything below it at once; none of them can start another meanwhile that survives."""
    _send(root, signal.SIGSTOP)
    end_below(root)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it leads no group, or ended by itself
        os.killpg(root, signal.SIGKILL)
    _send(root, signal.SIGKILL)


def end_below(root: int, spare: Iterable[int] = ()) -> None:
    """End everything below a process that adopts orphans, except the trees of ``spare``."""
    spared = set(spare)
    for _ in range(_ROUNDS):
        known = {pid: each for pid, each in processes().items() if pid not in spared}
        living = below(root, known)
        if not living:
            return
        for pid in living:
            _send(pid, signal.SIGKILL)
        time.sleep(_PAUSE_S)


def end_marked(mark: str) -> None:
    """End every process of this user in whose first environment ``mark`` (``NAME=value``) stands."""
    wanted = mark.encode()
    for pid in processes():
        try:
            found = wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue  # another user's, or it ended meanwhile
        if found and pid != os.getpid():
            _send(pid, signal.SIGKILL)


def has_children() -> bool:
    """Tell whether this process has children, living or not yet waited for."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def adopt_orphans() -> None:
    """Become the parent of what is below this process when its own parent ends (Linux)."""
    _control(_SET_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process when its parent, of number ``parent``, ends however it does (Linux)."""
    _control(_SET_DEATH_SIGNAL, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(70)  # it ended before the kernel was asked


def end_with_starter(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when the thread that started it ends (Linux)."""
    _control(_SET_DEATH_SIGNAL, int(number))


def _control(what: int, value: int) -> None:
    if sys.platform == "linux":
        _libc().prctl(what, value, 0, 0, 0)


@functools.cache
def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None)


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return
