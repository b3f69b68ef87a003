"""One of many processes that write runs to one project. Arguments: project, seconds. Says "ready", waits for a line."""

from __future__ import annotations

import json
import sys
import time

from headwater.project import open_project
from headwater.track import track


def main() -> None:
    """Write runs with a parameter and ten points each until the time is over; print how many."""
    with open_project(sys.argv[1]) as project:
        print("ready", flush=True)
        sys.stdin.readline()
        runs, over = 0, time.monotonic() + float(sys.argv[2])
        while time.monotonic() < over:
            with track(project, "write", {"number": runs}) as run:
                run.log_series("loss", [1 / (step + 1) for step in range(10)])
            runs += 1
    print(json.dumps({"runs": runs, "cpu_s": time.process_time()}))


if __name__ == "__main__":
    main()
