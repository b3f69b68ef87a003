"""Load from wrk: one thread, keep-alive, the same POST again and again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .process import run
from .values import MeasureError


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: a JSON body to a URL."""

    url: str
    body: str


@dataclass(frozen=True, slots=True)
class Driven:
    """What came of it."""

    requests: int
    rate: float
    p50_ms: float
    p99_ms: float


def drive(load: Load, connections: int, seconds: int, folder: Path) -> Driven:
    """Send requests for some seconds.

    Raises:
        MeasureError: wrk is not installed, or any answer was an error: failing is quicker than answering.
    """
    script = folder / "load.lua"
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = {json.dumps(load.body)}\nwrk.headers['Content-Type'] = 'application/json'\n"
        "done = function(sum, latency)\n"
        "  local e = sum.errors\n"
        "  io.write(string.format('SAID %d %d %.1f %.1f %d\\n', sum.requests, sum.duration, latency:percentile(50),\n"
        "    latency:percentile(99), e.status + e.connect + e.read + e.write + e.timeout))\n"
        "end\n"
    )
    command: list[str | Path] = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script, load.url]
    done = run(command, folder, limit_s=seconds + 60)
    said = [line.split()[1:] for line in done.output.splitlines() if line.startswith("SAID")]
    if not said:
        raise MeasureError(f"wrk gave no summary: {done.output[-200:]}")
    requests, microseconds, p50, p99, errors = map(float, said[0])
    if errors or not requests:
        raise MeasureError(f"{errors:.0f} of {requests:.0f} requests to {load.url} failed")
    return Driven(int(requests), requests / microseconds * 1e6, p50 / 1000, p99 / 1000)
