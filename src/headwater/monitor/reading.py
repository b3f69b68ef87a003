"""The predictions of a window, a bounded number at a time, as columns by model version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.model.columns import Array, columns_from_rows
from headwater.serve.outcomes import LATEST_OUTCOMES

from .spans import Span

if TYPE_CHECKING:
    from headwater.model import Contract, ModelVersion
    from headwater.project import Project

    from .values import Monitor

CHUNK_ROWS = 20_000


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """Some predictions of one version: ids, and the kept rows as they are on disk."""

    version: str
    ids: list[str]
    inputs: list[bytes]
    outputs: list[bytes]
    labels: list[str | None]


def read_chunks(project: Project, monitor: Monitor, span: Span, *, labelled: bool = False) -> Iterator[Chunk]:
    """Yield the predictions of a window, each chunk of one version; ``labelled`` brings the newest outcomes as JSON.

    Within a version they come in the order of their ids, which is the order they were made in.
    """
    for version in _versions(project, monitor, span):
        after = ""
        while page := _page(project, monitor, span, version, after, labelled):
            ids, inputs, outputs, labels = (list(column) for column in zip(*page, strict=True))
            yield Chunk(version=version, ids=ids, inputs=inputs, outputs=outputs, labels=labels)
            if len(page) < CHUNK_ROWS:
                break
            after = ids[-1]


def read_refusals(project: Project, monitor: Monitor, span: Span) -> dict[str, tuple[int, int]]:
    """Return rows refused, and rows of the requests they came in, by version, for the time of a window."""
    start, end = span.limits
    rows = project.events.query(
        "SELECT version, sum(refused)::BIGINT, sum(rows)::BIGINT FROM refusals WHERE model = ? AND channel = ? "
        "GROUP BY version",
        [monitor.model, monitor.channel],
        streams=["refusals"],
        start=start,
        end=end,
    ).fetchall()
    return {version: (refused, total) for version, refused, total in rows}


def input_columns(contract: Contract, rows: list[bytes]) -> dict[str, Array]:
    """Return kept inputs as typed columns, shape (rows,); what was masked is missing, whatever the contract says."""
    fields = [msgspec.structs.replace(each, nullable=True) for each in contract.inputs]
    return columns_from_rows(fields, _decoded(rows))


def output_columns(version: ModelVersion, rows: list[bytes]) -> dict[str, Array]:
    """Return kept outputs as typed columns, shape (rows,)."""
    return columns_from_rows(version.contract.outputs, _decoded(rows))


def _decoded(rows: list[bytes]) -> list[dict[str, Any]]:
    # One MessagePack array around all rows: a single call instead of one per row.
    data = b"\xdd" + len(rows).to_bytes(4, "big") + b"".join(rows)
    return msgspec.msgpack.decode(data, type=list[dict[str, Any]])


def _versions(project: Project, monitor: Monitor, span: Span) -> list[str]:
    condition, values = span.where()
    start, end = span.limits
    rows = project.events.query(
        f"SELECT DISTINCT version FROM predictions WHERE model = ? AND channel = ? AND {condition} ORDER BY version",
        [monitor.model, monitor.channel, *values],
        streams=["predictions"],
        start=start,
        end=end,
    ).fetchall()
    return [row[0] for row in rows]


def _page(
    project: Project, monitor: Monitor, span: Span, version: str, after: str, labelled: bool
) -> list[tuple[str, bytes, bytes, str | None]]:
    condition, values = span.where()
    start, end = span.limits
    # Only the tail of what the window needs is in memory: DuckDB streams the scan and keeps the page.
    page = (
        "SELECT prediction, inputs, outputs FROM predictions WHERE model = ? AND channel = ? AND version = ? "
        f"AND inputs IS NOT NULL AND prediction > ? AND {condition} ORDER BY prediction LIMIT {CHUNK_ROWS}"
    )
    params = [monitor.model, monitor.channel, version, after, *values]
    if not labelled:
        found = project.events.query(
            f"SELECT *, NULL AS label FROM ({page})", params, streams=["predictions"], start=start, end=end
        )
        return found.fetchall()
    rows = project.events.query(page, params, streams=["predictions"], start=start, end=end).fetchall()
    if not rows:
        return []
    # Outcomes have times of their own, so they are asked for apart from the window's.
    labels = dict(
        project.events.query(
            f"SELECT prediction, label FROM ({LATEST_OUTCOMES}) WHERE prediction BETWEEN ? AND ?",
            [rows[0][0], rows[-1][0]],
            streams=["outcomes"],
        ).fetchall()
    )
    return [(*row, labels.get(row[0])) for row in rows]
