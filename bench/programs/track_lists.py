"""Fill a project with runs, then time what pages ask for. Arguments: project, number of runs. Prints JSON, seconds."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from headwater.ids import new_id
from headwater.project import LocalProject, open_project
from headwater.track import Point, end_run, list_runs, log_metrics, metric_series, start_run

_AT_ONCE = 20_000
_POINTS = 100_000
_RUNS = (
    "id", "kind", "name", "flow", "status", "started_at", "ended_at", "author", "parent", "code", "environment", "host",
    "process", "heartbeat_at", "error", "traceback",
)  # fmt: skip


def main() -> None:
    """Fill, ask, print."""
    with open_project(sys.argv[1]) as project:
        assert isinstance(project, LocalProject)
        fill(project, int(sys.argv[2]))
        found = {
            "first_50": timed(lambda: list_runs(project, limit=50)),
            "page_1000": timed(lambda: list_runs(project, limit=1000)),
            "best_50": timed(lambda: list_runs(project, limit=50, order="-metrics.auc")),
            "filtered_50": timed(lambda: list_runs(project, limit=50, filter="metrics.auc > 0.9 and params.p0 < 0.5")),
            "history": history(project),
        }
    print(json.dumps(found))


def fill(project: LocalProject, count: int) -> None:
    """Write runs of four parameters and three metrics each, as facts."""
    chance = random.Random(1)
    now = project.clock()
    for start in range(0, count, _AT_ONCE):
        runs, params, metrics = [], [], []
        for number in range(start, min(count, start + _AT_ONCE)):
            at = now - (count - number) * 1_000_000
            run = new_id(at)
            runs.append(
                (run, "track", f"fit{number % 7}", "", "done", at, at + 1, "ann", None, "", "{}", "h", "-", at, "", "")
            )
            params += [(run, f"p{key}", "float", "0.5", chance.random(), 0) for key in range(4)]
            metrics += [(run, key, 10, chance.random(), 0, 10, at, 0.0, 1.0) for key in ("auc", "loss", "size")]
        with project.ledger.write() as tx:
            tx.insert_many("runs", _RUNS, runs)
            tx.insert_many("run_params", ("run", "key", "kind", "text", "number", "bits"), params)
            columns = ("run", "key", "points", "last", "last_bits", "last_step", "last_at", "least", "greatest")
            tx.insert_many("metric_summary", columns, metrics)


def history(project: LocalProject) -> dict[str, float]:
    """Log a series of 100,000 points and time drawing it."""
    run = start_run(project, "long")
    for start in range(0, _POINTS, 10_000):
        log_metrics(
            project,
            run.id,
            [Point(key="loss", value=1 / (step + 1), step=step) for step in range(start, start + 10_000)],
        )
    end_run(project, run.id)
    return timed(lambda: metric_series(project, run.id, "loss", 1000))


def timed(ask: Callable[[], Any]) -> dict[str, float]:
    """Return median and 95th percentile of 40 answers, after one that is not counted."""
    ask()
    seconds, cpu_s = [], time.process_time()
    for _ in range(40):
        began = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - began)
    cpu_s = time.process_time() - cpu_s
    seconds.sort()
    return {"median": seconds[20], "p95": seconds[38], "cpu": cpu_s / 40}


if __name__ == "__main__":
    main()
