"""What a server counted, as Prometheus reads it; several workers of one server are counted together.

Each worker leaves its numbers in a file now and then, and whoever is asked adds those of the workers that live to its
own. Source of the text form: Prometheus' documentation, "Exposition formats", version 0.0.4.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from .desk import Lot

GROUP = "HEADWATER_SERVE_GROUP"
"""Names the workers of one server to each other: the environment variable that starting it sets."""

_HELP = {
    "requests_total": ("counter", "Requests answered, by status."),
    "predictions_total": ("counter", "Rows answered, by model, channel and version."),
    "batches_total": ("counter", "Batches computed, by model, channel and version."),
    "compute_seconds_total": ("counter", "Seconds spent computing, by model, channel and version."),
    "refused_rows_total": ("counter", "Rows of requests that did not keep the contract."),
    "left_out_total": ("counter", "Predictions whose inputs were masked or sampled out."),
    "turned_away_total": ("counter", "Requests turned away because too many were under way."),
    "under_way": ("gauge", "Requests under way."),
    "ready": ("gauge", "1 for each model and channel that is loaded."),
    "ledger_away": ("gauge", "1 while the ledger does not answer and the last known release is served."),
}
Numbers = dict[str, float]
"""Values by name and labels, as they are written: ``requests_total{status="200"}``."""


class Meter:
    """The counts of one engine."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.refused_rows = 0
        self._past: defaultdict[str, float] = defaultdict(float)  # of versions that were let go

    def numbers(self, lots: list[Lot], *, under_way: int, turned_away: int, away: bool) -> Numbers:
        """Return the counts now."""
        found: Numbers = dict(self._past)
        for status, count in self.statuses.items():
            found[f'requests_total{{status="{status}"}}'] = count
        for lot in lots:
            for name, value in counts_of(lot).items():
                found[name] = found.get(name, 0) + value
            labels = f'{{model="{lot.deployment.model}",channel="{lot.deployment.channel}"}}'
            found[f"ready{labels}"] = 1
        found |= {
            "refused_rows_total": self.refused_rows,
            "turned_away_total": turned_away,
            "under_way": under_way,
            "ledger_away": int(away),
        }
        return found

    def forget(self, lot: Lot) -> None:
        """Keep the counts of a version that is let go."""
        for name, value in counts_of(lot).items():
            self._past[name] += value


def counts_of(lot: Lot) -> Numbers:
    """Return what one version counted."""
    deployed = lot.deployment
    labels = f'{{model="{deployed.model}",channel="{deployed.channel}",version="{deployed.label}"}}'
    return {
        f"predictions_total{labels}": lot.rows,
        f"batches_total{labels}": lot.batches,
        f"compute_seconds_total{labels}": lot.computed_us / 1e6,
        f"left_out_total{labels}": lot.left_out,
    }


def exposition(numbers: Numbers) -> str:
    """Return numbers in Prometheus' text form."""
    lines = []
    for name, (kind, told) in _HELP.items():
        mine = sorted(key for key in numbers if key.partition("{")[0] == name)
        if mine:
            lines += [f"# HELP headwater_{name} {told}", f"# TYPE headwater_{name} {kind}"]
            lines += [f"headwater_{key} {numbers[key]:.10g}" for key in mine]
    return "\n".join(lines) + "\n"


def leave(folder: Path, group: str, numbers: Numbers) -> None:
    """Leave a worker's numbers for the others of its group."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{group}-{os.getpid()}.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(msgspec.json.encode(numbers))
    temporary.replace(path)


def together(folder: Path, group: str, mine: Numbers) -> Numbers:
    """Return a worker's numbers with those that the others left; what dead workers left goes on counting.

    Gauges of the dead do not: they have nothing under way.
    """
    found = defaultdict(float, mine)
    for path in folder.glob(f"{group}-*.json"):
        pid = int(path.stem.rpartition("-")[2])
        if pid == os.getpid():
            continue
        try:
            theirs = msgspec.json.decode(path.read_bytes(), type=dict[str, float])
        except (OSError, msgspec.DecodeError):
            continue
        lives = _lives(pid)
        for name, value in theirs.items():
            if _HELP.get(name.partition("{")[0], ("",))[0] == "counter":
                found[name] += value
            elif lives:
                found[name] = found[name] + value if name == "under_way" else max(found[name], value)
    return dict(found)


def clear(folder: Path, group: str) -> None:
    """Remove what an earlier server of the same group left."""
    for path in folder.glob(f"{group}-*"):
        path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
