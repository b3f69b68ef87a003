"""Pulls in forks of itself, each of which may be killed: at its n-th crash point, at a named one, or after a time.

Reads lines ``{"at": 3}``, ``{"at": "ingest.pull.taken_in"}`` or ``{"delay_s": 0.1}`` and answers each with the fork's
exit code and the points it passed.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from headwater.durable import on_crash_point
from headwater.errors import ConflictError
from headwater.events import sealing
from headwater.ingest import pull
from headwater.ingest.intake import Intake
from headwater.ingest.kafka import KafkaSource
from headwater.ingest.source import Pulled
from headwater.project import open_project
from tests.events import streams as _streams  # noqa: F401  # declares the streams that tests append to


def pull_once(folder: Path, at: int | str, points: Path) -> None:
    """Pull, and die at the n-th crash point (0: at none) or at the first of that name."""
    passed: list[str] = []

    def reached(name: str) -> None:
        passed.append(name)
        if at in (len(passed), name):
            os.kill(os.getpid(), signal.SIGKILL)

    with open_project(folder) as project:
        on_crash_point(reached)
        while True:
            try:
                pull(project, "events")
                break
            except ConflictError:  # the lease of the one that was killed has not run out yet
                time.sleep(0.02)
                passed.clear()
    points.write_text("\n".join(passed))


def plant_offsets_first(folder: Path) -> None:
    """Keep the offsets in a file of their own, written before the version is made: the wrong order."""
    kept = folder / "offsets.json"
    right = KafkaSource.pull

    def wrong(self: KafkaSource, since: dict[str, Any] | None, into: Intake) -> Pulled:
        pulled = right(self, json.loads(kept.read_text()) if kept.exists() else None, into)
        kept.write_text(json.dumps(pulled.state))
        return pulled

    KafkaSource.pull = wrong  # type: ignore[method-assign]  # the planted failure


def plant_readers_forgotten(folder: Path) -> None:
    """Let seals of events take the place of others without those who have read these."""
    setattr(sealing, "carry", lambda tx, replaced, made: None)  # noqa: B010  # an assignment would say it exports it


PLANTED = {"offsets-first": plant_offsets_first, "readers-forgotten": plant_readers_forgotten}


def main() -> None:
    """Answer one line after the other."""
    folder = Path(sys.argv[1])
    points = folder / "points.txt"
    for name in sys.argv[2:]:
        PLANTED[name](folder)
    for name in ("confluent_kafka", "duckdb"):  # once, and not in each fork
        importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                pull_once(folder, asked.get("at", 0), points)
            except BaseException as error:  # noqa: BLE001  # a fork that fails must not go on as the puller
                print(error, file=sys.stderr, flush=True)  # noqa: T201  # the test shows it
                os._exit(1)
            os._exit(0)
        if "delay_s" in asked:
            time.sleep(asked["delay_s"])
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        names = points.read_text().split("\n") if code == 0 else []
        print(json.dumps({"code": code, "points": names}), flush=True)  # noqa: T201  # the answer


if __name__ == "__main__":
    main()
