"""Whether the process of a run still lives: by its number and start on this machine, by heartbeat elsewhere."""

from __future__ import annotations

import functools
import os
import socket
from typing import TYPE_CHECKING, Any

from headwater.operation import operation

if TYPE_CHECKING:
    from headwater.ledger import WriteTx
    from headwater.project import Project

BEAT_S = 10.0
SILENT_US = 60_000_000


@functools.lru_cache(maxsize=1)
def host() -> str:
    """Return the name of this machine."""
    return socket.gethostname()


@functools.lru_cache(maxsize=1)
def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()[:8]
    except OSError:
        return "-"


def process_mark(pid: int | None = None) -> str:
    """Return the text ``boot:pid:start`` that names a process for ever, since pids are used again."""
    number = os.getpid() if pid is None else pid
    return f"{_boot()}:{number}:{_started(number)}"


def _started(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return "-"
    return "-" if fields[0] in "ZX" else fields[19]


def is_alive(mark: str) -> bool:
    """Tell whether the process of a mark, made on this machine, still runs."""
    boot, _, rest = mark.partition(":")
    pid, _, start = rest.partition(":")
    if boot != _boot() or not pid.isdigit():
        return False
    return _started(int(pid)) == start != "-" or (start == "-" and os.path.exists(f"/proc/{pid}"))


@operation("run.heartbeat", needs="run:write", audited=False)
def heartbeat(project: Project, run: str) -> None:
    """Say that the process of a run lives; a run silent for a minute on another machine is shown as killed."""
    with project.ledger.write() as tx:
        tx.execute("UPDATE runs SET heartbeat_at = ? WHERE id = ? AND status = 'running'", (tx.now, run))


def notice_killed(project: Project, limit: int = 200) -> list[str]:
    """Mark runs whose process is gone as killed, and return their ids; oldest first, at most ``limit``."""
    with project.ledger.read() as tx:
        running = tx.all(
            "SELECT id, host, process, heartbeat_at FROM runs WHERE status = 'running' ORDER BY started_at, id LIMIT ?",
            (limit,),
        )
    dead = [row for row in running if _is_dead(row, project.clock())]
    if not dead:
        return []
    with project.ledger.write() as tx:
        return [row.id for row in dead if _mark_killed(tx, row)]


def _is_dead(row: Any, now: int) -> bool:
    if row.host == host():
        return not is_alive(row.process)
    return bool(now - row.heartbeat_at > SILENT_US)


def _mark_killed(tx: WriteTx, row: Any) -> bool:
    error = (
        f"the process {row.process.split(':')[1]} on {row.host} ended without a word: it was killed, or the machine "
        "stopped. Run it again: what was finished is remembered."
    )
    changed = tx.execute(
        "UPDATE runs SET status = 'killed', ended_at = ?, error = ? WHERE id = ? AND status = 'running'",
        (tx.now, error, row.id),
    )
    if changed:
        tx.announce("run", f"run:{row.id}")
    return bool(changed)
