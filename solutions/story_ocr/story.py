"""``make story-ocr``: render lines, train, run again (nothing to do), change one learning rate (one training runs).

python story.py [--folder F] [--lines N] [--held-out N] [--seconds S] [--rates R ...]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
CODE = ("headwater.toml", "checks.py", "flows.py", "floating.py", "scoring.py", "writing.py", "doctor.py")


def main() -> int:
    """Play the story; 1 when the trained model is not better than stock by an interval that excludes zero."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("story-ocr-project"))
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--held-out", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--iterations", type=int, default=100_000)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.002, 0.001])
    options = parser.parse_args()
    sys.path.insert(0, str(HERE))
    from doctor import problems

    if found := problems():
        print("\n".join(found))
        return 2
    folder: Path = options.folder.absolute()
    if folder.exists():
        if any(folder.iterdir()) and not ((folder / "headwater.toml").exists() and (folder / CODE[-1]).exists()):
            parser.error(f"{folder} is no folder that this made before: name one that does not exist yet")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for name in CODE:
        shutil.copy(HERE / name, folder / name)
    return play(folder, options)


def play(folder: Path, options: argparse.Namespace) -> int:
    """Render, train three times, and tell what ran."""
    import pandas as pd
    import writing

    from headwater.check import publish_tables
    from headwater.project import create_project

    started = time.monotonic()
    with create_project(folder, actor="story") as project:
        lines = pd.DataFrame(writing.pages(options.lines, options.held_out, seed=1))
        published = publish_tables(project, "lines", {"lines": lines}, message="synthetic handwriting, seed 1")
        say(started, f"{len(lines)} lines of synthetic handwriting: lines@v{published.version.number}")
        settings = {"seconds": options.seconds, "iterations": options.iterations}
        first = train(project, options.rates, settings, started, "first run")
        again = train(project, options.rates, settings, started, "run again")
        other = train(project, [*options.rates[:-1], options.rates[-1] / 2], settings, started, "another last rate")
    rows = first["rows"]
    for row in rows:
        print(
            f"  {row['model']:14} CER {row['CER']:6.1%} ({row['CER low']:.1%} to {row['CER high']:.1%})  "
            f"WER {row['WER']:6.1%}  CER minus stock {row['CER minus stock, low']:+.1%} to "
            f"{row['CER minus stock, high']:+.1%}"
        )
    print("  on synthetic handwriting of writers that were not trained on; 95 % intervals over lines")
    print(f"look at it: hw -p {folder} up")
    if again["ran"]:
        print(f"the second run should have run nothing, and ran {', '.join(again['ran'])}")
        return 1
    print(f"with another last rate ran: {', '.join(sorted(set(other['ran'])))}")
    return 0 if first["better"] else 1


def train(project: object, rates: Sequence[float], settings: dict[str, float], started: float, what: str) -> dict:
    """Run the flow, and return its comparison with the names of the steps that ran."""
    from headwater.flow import execute_flow

    outcome = execute_flow(project, "story-ocr", {"rates": list(rates), **settings})
    ran = [task.step.rpartition(":")[2] for task in outcome.tasks if task.outcome == "ran"]
    say(started, f"{what}: {outcome.status}, {len(ran)} steps ran, {outcome.remembered} remembered")
    return {**outcome.value, "ran": ran}


def say(started: float, text: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"{time.monotonic() - started:6.1f} s  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
