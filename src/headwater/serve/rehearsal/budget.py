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
from headwater.operation import operation
from headwater.project import Project

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
    the newest recorded of the channel that keep its contract; without any, the contract's example row.

    Raises:
        NotFoundError: there is no such version.
        RefusedError: it did not load or answer, or took more than ``limit_s`` seconds.
    """
    version = get_model_version(project, model)
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
        "size_mib": sum(file.size for file in version.files) / _MIB,
        "machine": f"{cpu_features()[0] or 'an unknown CPU'}, {os.cpu_count()} cores",
        "load_average": load,
    }
    body["sentence"] = (
        f"{version.label} answers one row in {body['p50_ms']:.3g} ms (p99 {body['p99_ms']:.3g} ms), loads in "
        f"{body['load_s']:.3g} s and takes {body['memory_mib']:.0f} MiB, with {source}"
    )
    return record_evidence(project, version.ref, "budget", body)


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
