"""What a version costs to serve: latency, loading time and memory, measured in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from headwater.errors import RefusedError
from headwater.evaluate import Evidence, record_evidence
from headwater.model import ModelVersion, example_row, get_model_version
from headwater.model.execution import cpu_features
from headwater.model.external import is_external, require_own
from headwater.operation import operation
from headwater.project import Project

from ..recording import PREDICTIONS
from .recorded import read_recorded

ROWS = 500
"""How many rows are answered one by one where nothing else is asked for."""

LIMIT_S = 120.0
_MIB = 1 << 20


@operation("serve.budget", needs="model:write")
def measure_budget(
    project: Project, model: str, channel: str = "production", *, rows: int = ROWS, limit_s: float = LIMIT_S
) -> Evidence:
    """Measure what a version costs to serve, and record it as evidence of kind ``budget`` (``rehearsal.kinds``).

    A fresh process loads its files as a server does, answers ``rows`` rows one by one, then in batches. The rows are
    the newest recorded of the channel that keep its contract; without any, the contract's example row. An external API
    is asked nothing: its latency is that of its newest recorded answers, and the rest is not measured.

    Raises:
        NotFoundError: there is no such version.
        RefusedError: it did not load or answer, or took more than ``limit_s`` seconds; or it is an external API that
            has answered nothing yet.
    """
    version = get_model_version(project, model)
    if is_external(version):
        return record_evidence(project, version.ref, "budget", _of_recorded(project, version, channel, rows))
    recorded = [
        each.inputs
        for each in read_recorded(project, version.model, channel, rows=rows)
        if each.inputs is not None and not version.contract.problems([each.inputs])
    ]
    source = f"{len(recorded):,} recorded rows" if recorded else "the contract's example row"
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="headwater-budget-") as folder:
        _lay_out(project, version, recorded or [example_row(version.contract)], rows, Path(folder))
        measured = _measure(version, Path(folder), limit_s)
    body: dict[str, Any] = {
        "model": version.label,
        "source": source,
        **measured,
        **_here(version),
        "load_average": load,
    }
    body["sentence"] = (
        f"{version.label} answers one row in {body['p50_ms']:.3g} ms (p99 {body['p99_ms']:.3g} ms), loads in "
        f"{body['load_s']:.3g} s and takes {body['memory_mib']:.0f} MiB, with {source}"
    )
    return record_evidence(project, version.ref, "budget", body)


def _here(version: ModelVersion) -> dict[str, Any]:
    return {
        "size_mib": sum(file.size for file in version.files) / _MIB,
        "machine": f"{cpu_features()[0] or 'an unknown CPU'}, {os.cpu_count()} cores",
    }


def _of_recorded(project: Project, version: ModelVersion, channel: str, rows: int) -> dict[str, Any]:
    """Return the body for an external API: how long its newest recorded answers took, and nothing else.

    Raises:
        RefusedError: there are none.
    """
    took = project.events.query(
        "SELECT latency_us / batch_size / 1000 FROM predictions WHERE version = ? AND channel = ? "
        f"ORDER BY prediction DESC LIMIT {int(rows)}",
        [version.id, channel],
        streams=[PREDICTIONS.name],
    ).fetchall()
    if not took:
        require_own(
            version,
            "latency, memory, loading time",
            f"the latencies of its recorded calls count: serve it on {channel} for a while, then run this again.",
        )
    found = sorted(each for (each,) in took)
    p50_ms, p99_ms = found[len(found) // 2], found[min(len(found) - 1, int(len(found) * 0.99))]
    said = (
        f"{version.label} is an external API and was asked nothing: its {len(found):,} newest recorded answers on "
        f"{channel} took {p50_ms:.3g} ms (p99 {p99_ms:.3g} ms) a row, the network to it included; its memory and "
        "loading time are not measured"
    )
    return {
        "model": version.label,
        "source": f"{len(found):,} recorded answers",
        "rows": len(found),
        "p50_ms": p50_ms,
        "p99_ms": p99_ms,
        **dict.fromkeys(("batch_rows", "batch_row_ms", "load_s", "memory_mib", "grown_mib")),
        **_here(version),
        "load_average": os.getloadavg()[0],
        "sentence": said,
    }


def _lay_out(project: Project, version: ModelVersion, rows: list[dict[str, Any]], times: int, folder: Path) -> None:
    """Write what the child needs: the version, its files by digest, and the rows."""
    for file in version.files:
        (folder / file.digest.replace(":", "_")).write_bytes(project.objects.get(file.digest))
    (folder / "version.json").write_bytes(msgspec.json.encode(version))
    (folder / "rows.msgpack").write_bytes(msgspec.msgpack.encode({"rows": rows, "times": times}))


def _measure(version: ModelVersion, folder: Path, limit_s: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "headwater.serve.rehearsal.measuring", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise RefusedError(
            f"{version.label} did not answer its rows within {limit_s:g} s in a process of its own. Ask for fewer "
            "rows, or give it longer with limit_s.",
            version=version.id,
        ) from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise RefusedError(
            f"{version.label} did not load or answer in a process of its own (exit status {done.returncode}): {said}. "
            "A server would fail in the same way; register a version that loads.",
            version=version.id,
        )
    found: dict[str, Any] = msgspec.json.decode(done.stdout.rpartition(b"\n")[2])
    return found
