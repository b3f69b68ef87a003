"""A scheduler and a worker in a process of their own, to be stopped or killed.

``python -m tests.jobs.worker_process FOLDER NAME [unfenced]``: runs until killed. ``unfenced`` plants the failure that
what a flow's own threads record belongs to no job.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from headwater.api.operations import load_operations
from headwater.errors import UnavailableError
from headwater.jobs import Scheduler, Worker
from headwater.project.local import open_folder
from tests.jobs import places

LEASE_S = 1.0


def plant_unfenced() -> None:
    """Leave the fence out: of the flow's threads, and of what the worker itself records."""
    from headwater.flow import running, scheduler
    from headwater.jobs import fencing

    def as_it_is(work: Callable[[], None]) -> Callable[[], None]:
        return work

    for module in (running, scheduler):
        setattr(module, "carried", as_it_is)  # noqa: B010  # an assignment would say that they export it
    fencing._require_fence = lambda tx: None


def main() -> None:
    """Work until killed."""
    folder, name = Path(sys.argv[1]), sys.argv[2]
    load_operations()
    places.BEHAVIOUR.act = lambda project: time.sleep(0.02)
    if "unfenced" in sys.argv:
        plant_unfenced()
    project = open_folder(folder, actor=name)
    scheduler = Scheduler(project, name=name, lease_s=0.3)
    worker = Worker(project, name=name, lease_s=LEASE_S, backoff_s=0.1)
    print("ready", flush=True)  # noqa: T201  # the test waits for it
    while True:
        try:
            if "no-scheduler" not in sys.argv:
                scheduler.tick()
            if worker.run_once() is None:
                time.sleep(0.02)
        except UnavailableError:
            time.sleep(0.2)


if __name__ == "__main__":
    main()
