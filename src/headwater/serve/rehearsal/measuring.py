"""The process that a budget is measured in: loads a version from a folder, answers, and prints what it took."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from headwater.model import Loaded, ModelVersion
from headwater.model.execution import execution_of
from headwater.model.flavours import open_flavour

_WARM = 20
_BATCH = 64
_BATCHES = 20
_LONGEST_S = 30.0


def main(folder: Path) -> dict[str, Any]:
    """Return what loading and answering took; the names are those of the evidence."""
    version = msgspec.json.decode((folder / "version.json").read_bytes(), type=ModelVersion)
    given = msgspec.msgpack.decode((folder / "rows.msgpack").read_bytes())
    rows, times = given["rows"], given["times"]
    before = peak_mib()
    begun = time.perf_counter()

    def read(digest: str) -> bytes:
        return (folder / digest.replace(":", "_")).read_bytes()

    loaded = Loaded(version, open_flavour(version, read, version.flavour), execution_of(version.flavour))
    loaded.predict(rows[:1])
    load_s = time.perf_counter() - begun
    for number in range(_WARM):
        loaded.predict([rows[number % len(rows)]])
    took = sorted(_timed(loaded, rows, times))
    batch = [rows[number % len(rows)] for number in range(_BATCH)]
    together = [_once(loaded, batch) for _ in range(_BATCHES)]
    peak = peak_mib()
    return {
        "rows": len(took),
        "p50_ms": took[len(took) // 2] * 1e3,
        "p99_ms": took[min(len(took) - 1, int(len(took) * 0.99))] * 1e3,
        "batch_rows": _BATCH,
        "batch_row_ms": sorted(together)[len(together) // 2] * 1e3 / _BATCH,
        "load_s": load_s,
        "memory_mib": peak,
        "grown_mib": peak - before,
    }


def peak_mib() -> float:
    """Return the peak resident memory of this process in MiB.

    ru_maxrss is kept across exec on Linux, so that a child of a large process would show its parent's peak; VmHWM is
    of this program alone.
    """
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(text.partition("VmHWM:")[2].split(None, 1)[0]) / 1024
    except (OSError, ValueError, IndexError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024


def _timed(loaded: Loaded, rows: list[dict[str, Any]], times: int) -> list[float]:
    """Return how long each of so many rows took alone, in seconds; fewer where they take long."""
    took: list[float] = []
    end = time.perf_counter() + _LONGEST_S
    for number in range(times):
        took.append(_once(loaded, [rows[number % len(rows)]]))
        if time.perf_counter() > end:
            break
    return took


def _once(loaded: Loaded, rows: list[dict[str, Any]]) -> float:
    begun = time.perf_counter()
    loaded.predict(rows)
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.stdout.write("\n" + msgspec.json.encode(main(Path(sys.argv[1]))).decode())
