"""Whether two projects, one a copy of the other, hold the same: rows, chain, objects, events."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headwater.errors import CorruptError
from headwater.objects.findings import Finding

from .copying import NOT_COMPARED
from .local import LocalProject


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What two projects hold, and what differs (nothing differs: the same)."""

    tables: dict[str, int]
    packs: int
    events: dict[str, int]
    head_seq: int
    head_hash: str
    differences: tuple[Finding, ...]

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def compare_projects(a: LocalProject, b: LocalProject) -> Comparison:
    """Compare every row of every table, the chain's head, the packs there are, and every event of every stream.

    That the bytes of objects are what their digests say is what ``verify`` of each project tells.
    """
    from headwater.ledger.comparing import count_rows, differing, sum_tables

    found: list[Finding] = []
    with a.ledger.read() as ours, b.ledger.read() as theirs:
        sums_a, sums_b = sum_tables(ours, NOT_COMPARED), sum_tables(theirs, NOT_COMPARED)
        for each in differing(ours, theirs, sums_a, sums_b):
            rows = [*(f"only in '{a.name}': {row}" for row in each.only_a)]
            rows += [f"only in the other: {row}" for row in each.only_b]
            text = f"table '{each.table}' has {each.rows_a:,} and {each.rows_b:,} rows; {'; '.join(rows)}"
            found.append(Finding(kind="compare.table", what=each.table, message=text, severity="error"))
    head, other = a.ledger.export_head(), b.ledger.export_head()
    if (head.project, head.seq, head.hash) != (other.project, other.seq, other.hash):
        text = f"the chain ends at {head.seq}:{head.hash} and at {other.seq}:{other.hash}."
        found.append(Finding(kind="compare.chain", what=f"chain:{head.seq}", message=text, severity="error"))
    found += _packs(a, b)
    events = _events(a)
    try:
        found += _event_differences(events, _events(b))
    except CorruptError as error:
        text = f"the other project's events cannot be read: {error.message}"
        found.append(Finding(kind="compare.events", what="events", message=text, severity="error"))
    return Comparison(
        tables=count_rows(sums_a),
        packs=len(a.objects.wanted()),
        events={stream: rows for stream, (rows, _) in events.items()},
        head_seq=head.seq,
        head_hash=head.hash,
        differences=tuple(found),
    )


def _packs(a: LocalProject, b: LocalProject) -> Iterator[Finding]:
    for record in a.objects.wanted():
        size = b.objects.backend.size(record.id)
        if size != record.size:
            there = "missing" if size is None else f"{size:,} bytes"
            text = f"pack {record.id} has {record.size:,} bytes; in the other project it is {there}."
            yield Finding(kind="compare.pack", what=record.id, message=text, severity="error")


def _events(project: LocalProject) -> dict[str, tuple[int, str]]:
    """Return rows and a hash of all values of each stream that has rows, whatever their order."""
    from headwater.events.transfer import open_rows

    found: dict[str, tuple[int, str]] = {}
    for name in sorted(project.events.streams().keys() | open_rows(project.events).keys()):
        names = sorted(project.events.query(f'SELECT * FROM "{name}" LIMIT 0', streams=[name]).columns)
        columns = ", ".join(f'"{column}"' for column in names)
        sql = f'SELECT count(*), CAST(sum(CAST(hash({columns}) AS HUGEINT)) AS VARCHAR) FROM "{name}"'
        rows, total = project.events.query(sql, streams=[name]).fetchall()[0]
        if rows:
            found[name] = (int(rows), str(total))
    return found


def _event_differences(a: dict[str, tuple[int, str]], b: dict[str, tuple[int, str]]) -> Iterator[Finding]:
    for stream in sorted(a.keys() | b.keys()):
        ours, theirs = a.get(stream, (0, "")), b.get(stream, (0, ""))
        if ours != theirs:
            text = f"stream '{stream}' has {ours[0]:,} and {theirs[0]:,} events" + (
                ", of other values." if ours[0] == theirs[0] else "."
            )
            yield Finding(kind="compare.events", what=stream, message=text, severity="error")
