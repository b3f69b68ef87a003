"""Log points to a Headwater server by its own client: ``python log_headwater.py URL CALLS BATCH``.

Each call returns when its points are durable. The points are read back and counted.
"""

import json
import sys
import time

from headwater.project import open_project
from headwater.track import Point, end_run, get_run, log_metrics, start_run

url, calls, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
project = open_project(url)
run = start_run(project, "bench", {})


def log(step: int) -> None:
    """Send one batch and wait until it is durable."""
    points = [
        Point(key="loss", value=0.5, step=step + each, occurred_at=1_700_000_000_000_000) for each in range(batch)
    ]
    log_metrics(project, run.id, points)


log(0)
started, cpu = time.perf_counter(), time.process_time()
for number in range(calls):
    log(number * batch)
taken = {"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}
end_run(project, run.id, "done")
kept = get_run(project, run.id).metrics["loss"].points
assert kept == (calls + 1) * batch, f"{kept} points were kept of {(calls + 1) * batch}"
print(json.dumps(taken))
