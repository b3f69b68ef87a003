"""``python -m bench``: measure, print the table, and write report.html and results.json beside this file."""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .measures import MEASURES
from .page import page
from .peers import Peers
from .runner import Result, run_comparison
from .setting import ROOT, Setting
from .table import as_json, table
from .values import MeasureError, without_goals, without_peers

HERE = Path(__file__).parent


def main() -> int:
    """Run what is asked for; 1 when one of our own rows failed."""
    asked = arguments()
    # A stopped run unwinds like any other, so that the servers it started stop with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    about = {**machine(), "rounds": asked.rounds, "load before": load()}
    # The peers were compiled when they were installed; an editable install of ours compiles at its first start.
    compileall.compile_dir(ROOT / "src" / "headwater", quiet=2)
    results: list[Result] = []
    broken = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=asked.work, ignore_cleanup_errors=True) as work:
        setting = Setting(Path(work), Peers(wanted=not asked.no_peers), asked.share)
        for name in asked.only or MEASURES:
            started = time.perf_counter()
            try:
                with MEASURES[name](setting) as comparisons:
                    for whole in comparisons:
                        # A share of the work says nothing about a goal, which is meant for all of it.
                        comparison = whole if asked.share == 1 else without_goals(whole)
                        comparison = without_peers(comparison) if asked.no_peers else comparison
                        results += run_comparison(comparison, asked.rounds, Path(work), say)
            except MeasureError as error:
                broken.append(f"{name}: FAILED before its first round: {error}")
                say(broken[-1])
            say(f"{name}: took {time.perf_counter() - started:.0f} s")
    about["load after"] = load()
    (HERE / "results.json").write_text(as_json(results, about))
    (HERE / "report.html").write_text(page(results, about))
    print(table(results), *broken, sep="\n")
    print(f"\n{HERE / 'report.html'}")
    return 1 if broken or any(line.failed for each in results for line in each.lines if line.role == "us") else 0


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=MEASURES, metavar="NAME", help=", ".join(MEASURES))
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds (default 5)")
    parser.add_argument("--no-peers", action="store_true", help="measure only us and the floor; install nothing")
    parser.add_argument("--share", type=float, default=1.0, help="do only this share of the work, for a quick look")
    parser.add_argument("--work", type=Path, help="folder to work in (default: the system's temporary one)")
    asked = parser.parse_args()
    if asked.rounds < 1 or not 0 < asked.share <= 1:
        parser.error("--rounds is 1 or more, --share above 0 and at most 1")
    return asked


def machine() -> dict[str, Any]:
    """Return what the numbers depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "measured": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": len(os.sched_getaffinity(0)),
        "memory": f"{memory:.0f} GiB",
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }


def load() -> float:
    """Return the load of the last minute: above the cores, walls are longer than they would be."""
    return round(os.getloadavg()[0], 1)


def say(text: str) -> None:
    """Tell how far the run is."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
