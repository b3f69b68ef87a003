"""Replaying predictions of a project, and choosing which to replay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.ledger.packs import explain_gone
from headwater.model import load
from headwater.operation import operation
from headwater.project import Project

from .recomputing import KeptRow, Replayer
from .values import ReplayReport

if TYPE_CHECKING:
    from headwater.model import Loaded

_GROUP = 2000
_COLUMNS = "prediction, batch, position, batch_size, version, execution, inputs, outputs, left_out"


@operation("trace.replay", needs="trace:read")
def replay(project: Project, predictions: Sequence[str], *, tolerance: float = 1e-5) -> ReplayReport:
    """Compute predictions again, each in its recorded batch and position with the same model bytes, and compare bytes.

    On the execution that was recorded (engines, threads, CPU) every difference counts. On another one, answers that
    agree within ``tolerance`` (absolute and relative) are reported apart as ``within``.

    Raises:
        MissingExtraError: the engine of a model is not installed.
    """
    wanted = [each.removeprefix("prediction:").upper() for each in predictions]

    def loaded(version: str) -> Loaded:
        return load(project, version)

    def execution(digest: str) -> dict[str, Any] | None:
        return read_executions(project, [digest]).get(digest)

    def erased(prediction: str) -> str:
        with project.ledger.read() as tx:
            said = explain_gone(tx, f"prediction:{prediction}")
        return said.message if said is not None else f"the inputs of prediction {prediction} are not kept"

    replayer = Replayer(wanted, loaded, execution, tolerance, erased)
    for batch in read_batches(project, list(dict.fromkeys(wanted))):
        replayer.add(batch)
    return replayer.report()


@operation("trace.sample", needs="trace:read")
def sample_predictions(project: Project, n: int, *, seed: int = 0, model: str | None = None) -> list[str]:
    """Return about ``n`` ids of predictions over all model versions that served, chosen by ``seed``.

    Every version that gave any prediction has its share, and at least a fair part of ``n`` divided by the versions;
    the same seed over the same predictions gives the same ids.
    """
    counts = dict(
        project.events.query(
            "SELECT version, count(*) FROM predictions WHERE model = coalesce(?, model) "
            "GROUP BY version ORDER BY version",
            [model],
            streams=["predictions"],
        ).fetchall()
    )
    shares = allocate(counts, n)
    # md5 is the same in every version of DuckDB, which its own hash is not.
    rows = project.events.query(
        "SELECT version, prediction FROM (SELECT version, prediction, row_number() OVER (PARTITION BY version "
        "ORDER BY md5(prediction || ?), prediction) AS place FROM predictions WHERE model = coalesce(?, model)) "
        "WHERE place <= ? ORDER BY version, place",
        [f":{seed}", model, max(shares.values(), default=0)],
        streams=["predictions"],
    ).fetchall()
    taken: dict[str, int] = {}
    chosen = []
    for version, prediction in rows:
        if taken.get(version, 0) < shares[version]:
            taken[version] = taken.get(version, 0) + 1
            chosen.append(prediction)
    return chosen


def allocate(counts: dict[str, int], n: int) -> dict[str, int]:
    """Return how many of ``n`` to take of each group: half in equal parts, the rest by size, at most all of it."""
    shares = dict.fromkeys(counts, 0)
    if not counts or n <= 0:
        return shares
    total = sum(counts.values())
    if n >= total:
        return dict(counts)
    equal = max(n // (2 * len(counts)), 1)
    for group in counts:
        shares[group] = min(counts[group], equal)
    by_size = sorted(counts, key=lambda group: (-counts[group], group))
    left = n - sum(shares.values())
    for group in by_size:
        more = min(counts[group] - shares[group], left * counts[group] // total)
        shares[group] += max(more, 0)
    left = n - sum(shares.values())
    for group in by_size:
        more = max(min(counts[group] - shares[group], left), 0)
        shares[group] += more
        left -= more
    return shares


def read_batches(project: Project, wanted: Sequence[str]) -> Iterator[list[KeptRow]]:
    """Yield the whole batch of each wanted prediction, each batch once, a bounded number held at a time."""
    done: set[str] = set()
    for start in range(0, len(wanted), _GROUP):
        part = list(wanted[start : start + _GROUP])
        rows = project.events.query(
            "SELECT DISTINCT batch FROM predictions WHERE prediction BETWEEN ? AND ? "
            "AND prediction IN (SELECT unnest(?::VARCHAR[]))",
            [min(part), max(part), part],
            streams=["predictions"],
        ).fetchall()
        batches = sorted({row[0] for row in rows} - done)
        done.update(batches)
        yield from _whole(project, batches)


def _whole(project: Project, batches: Sequence[str]) -> Iterator[list[KeptRow]]:
    if not batches:
        return
    result = project.events.query(
        f"SELECT {_COLUMNS} FROM predictions WHERE batch IN (SELECT unnest(?::VARCHAR[])) ORDER BY batch, position",
        [list(batches)],
        streams=["predictions"],
    )
    rows = (KeptRow(**row) for row in result.dicts())
    for _, batch in groupby(rows, key=lambda row: row.batch):
        yield list(batch)


def read_executions(project: Project, digests: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the execution records of some digests, as plain values."""
    with project.ledger.read() as tx:
        rows = tx.all_in("SELECT digest, body FROM executions WHERE digest IN (??)", digests)
    return {row.digest: msgspec.json.decode(row.body) for row in rows}
