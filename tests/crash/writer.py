"""A writer that acknowledges, to be killed: it does what a project does, and notes each answer in a file of its own.

As a program it reads one JSON case a line and answers one; each case runs in a fork of a process that has imported
everything and started no thread.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb  # noqa: F401  # imported once, before the forks
import numpy  # noqa: F401  # imported once, before the forks

from headwater import durable
from headwater.check.publishing import publish
from headwater.lake import Entry, add_files, add_table, commit, set_branch, tag
from headwater.lake.collecting import delete
from headwater.lake.erasing import Subject
from headwater.ledger.dialect import sqlite
from headwater.model import Contract, Field, ModelFile, register
from headwater.project import create_project
from headwater.release import request_release, rollback
from headwater.trace import collect, erase
from headwater.track import Point, end_run, log_metrics, start_run
from tests.crash.checker import check

ROUNDS = 2
SUBJECT = "Zebulon Quarterstaff"
CONTRACT = Contract(inputs=(Field(name="x", type="float"),), outputs=(Field(name="probability", type="float"),))
Ack = Callable[..., None]


def prepare(folder: Path) -> None:
    """Write the files that the writer will add."""
    for number in range(ROUNDS):
        files = folder / "files" / str(number)
        files.mkdir(parents=True)
        for name in ("a", "b"):
            (files / f"{name}-{number}.txt").write_text(f"{name} of round {number}\n" * 20)


def write(folder: Path, early: bool = False, uncommitted: bool = False, rounds: int = ROUNDS) -> None:
    """Write to a new project; every answer goes to ``acks.jsonl``, synced, before the next act.

    ``early`` acknowledges each tag before it is set; ``uncommitted`` sets it without the ledger's commit.
    """
    file = os.open(folder / "acks.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def ack(kind: str, **said: Any) -> None:
        os.write(file, (json.dumps({"kind": kind, **said}) + "\n").encode())
        os.fsync(file)

    with create_project(folder / "project", name="crash", actor="ann") as project:
        ack("project", id=project.id)
        for number in range(rounds):
            _lake(project, folder, number, ack, early, uncommitted)
            run = start_run(project, "training", {"round": number}).id
            ack("run", id=run)
            for step in range(3):
                log_metrics(project, run, [Point(key="loss", value=1 / (step + 1), step=step)])
                ack("metrics", run=run, count=step + 1)
            end_run(project, run)
            ack("ended", run=run)
            if number:
                project.events.seal(all=True)
                ack("sealed", run=run)
            _release(project, number, ack)
        if rounds > 1:
            _space(project, ack)


def _lake(project: Any, folder: Path, number: int, ack: Ack, early: bool, uncommitted: bool) -> None:
    files = folder / "files" / str(number)
    version = add_files(project, "notes", [files])
    ack("version", id=version.id, root=version.root, texts={p.name: p.read_text() for p in sorted(files.iterdir())})
    publish(project, "notes", version=version.id)
    ack("branch", dataset="notes", number=version.number)
    if early:
        ack("tag", name=f"round-{number}", version=version.id)
    if uncommitted:
        _tag_uncommitted(project, f"round-{number}", version.id)
    else:
        tag(project, "notes", f"round-{number}", version.id)
    if not early:
        ack("tag", name=f"round-{number}", version=version.id)
    table = add_table(project, "numbers", "table", {"x": list(range(10 + number))})
    ack("table", id=table.id, rows=10 + number)


def _tag_uncommitted(project: Any, name: str, version: str) -> None:
    commit = sqlite.SQLite.commit
    setattr(sqlite.SQLite, "commit", lambda self, connection: connection.execute("ROLLBACK"))  # noqa: B010  # mypy refuses the assignment
    try:
        tag(project, "notes", name, version)
    finally:
        setattr(sqlite.SQLite, "commit", commit)  # noqa: B010  # mypy refuses the assignment


def _release(project: Any, number: int, ack: Ack) -> None:
    data = f"weights {number}".encode()
    file = ModelFile(name="model", digest=project.objects.put(data), size=len(data), flavour="onnx")
    ack("object", digest=file.digest, text=data.decode())
    version = register(project, "delay", files=[file], contract=CONTRACT)
    ack("model", id=version.id, number=version.number, digest=file.digest, text=data.decode())
    request = request_release(project, version.id, "staging", "it is newer")
    ack("release", id=request.release, version=version.id)
    if number == 1:
        back = rollback(project, "delay", "staging", reason="it was worse")
        ack("release", id=back.id, version=back.version)


def _space(project: Any, ack: Ack) -> None:
    """Free what was deleted, then erase a file from every version; both are acknowledged."""
    made = []
    for number in range(2):
        text = f"going {number} " * 50
        going = Entry(path="a", digest=project.objects.put(text.encode()), size=len(text))
        made.append(commit(project, "going", put=[going]))
    set_branch(project, "going", "main", made[1].id, expected=None)
    delete(project, f"version:{made[0].id}", "over")
    ack("deleted", id=made[0].id)
    collect(project, free=True, grace_hours=0)
    ack("collected", id=made[0].id, kept=made[1].id, text="going 1 " * 50)
    entries = [
        Entry(path=path, digest=project.objects.put(text.encode()), size=len(text))
        for path, text in (("zq.txt", SUBJECT), ("others.txt", "somebody else"))
    ]
    people = commit(project, "people", put=entries, message=f"with {SUBJECT}")
    erase(project, Subject(datasets=("people",), path="zq.txt", also=(SUBJECT,)), why="asked for", carry_out=True)
    ack("erased", id=people.id, text=SUBJECT)


def leave_out(sync: str) -> None:
    """Make one named sync do nothing from now on; ``sqlite`` is the ledger's own."""
    if sync == "sqlite":
        settings = tuple(each.replace("synchronous = FULL", "synchronous = OFF") for each in sqlite._SQLITE_SETTINGS)
        setattr(sqlite, "_SQLITE_SETTINGS", settings)  # noqa: B010  # mypy refuses the assignment
        return
    last = threading.local()
    durable.on_crash_point(lambda name: setattr(last, "name", name))

    def unless(real: Callable[[int], None]) -> Callable[[int], None]:
        return lambda descriptor: None if getattr(last, "name", "") == sync else real(descriptor)

    patched = types.SimpleNamespace(**{**vars(os), "fsync": unless(os.fsync), "fdatasync": unless(os.fdatasync)})
    setattr(durable, "os", patched)  # noqa: B010  # mypy refuses the assignment


def _killed_at(number: int, folder: Path) -> None:
    names: list[str] = []
    lock = threading.Lock()

    def point(name: str) -> None:
        with lock:
            names.append(name)
            if len(names) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            if number == 0:
                (folder / "points.txt").write_text("\n".join(names))

    durable.on_crash_point(point)


def _case(case: dict[str, Any]) -> int:
    folder = Path(case["folder"])
    if case["do"] == "check":
        (folder / "found.json").write_text(json.dumps(check(folder)))
    else:
        if "at" in case:
            _killed_at(case["at"], folder)
        write(folder, early=case.get("early", False), uncommitted=case.get("uncommitted", False))
    return 0


def _forked(case: dict[str, Any]) -> dict[str, Any]:
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = _case(case)
        except BaseException:  # noqa: BLE001  # printed; the exit code tells the parent
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    if "delay_s" in case:
        time.sleep(case["delay_s"])
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return {"code": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - began}


def main() -> None:
    if len(sys.argv) > 1:
        if sys.argv[2]:
            leave_out(sys.argv[2])
        write(Path(sys.argv[1]), rounds=int(sys.argv[3]))
        return
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_forked(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
