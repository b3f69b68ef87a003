"""Looking after the lake: every version's record, ranges, files and names must be there and agree."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import CorruptError, InvalidInputError, NotFoundError
from ..objects import Finding
from ..project import Project
from .manifest import decoded
from .ranges import Reference, Row
from .refs import COLUMNS, version_of
from .values import Version
from .versions import record_bytes

Totals = tuple[int, int, int, int]


def verify(project: Project) -> Iterator[Finding]:
    """Yield what is wrong in the lake: records that differ from facts, ranges or bytes that are missing, names of
    versions that do not exist. Ranges shared between versions are read once. The bytes of files are verified by the
    store's own ``verify``; here they must only be there.
    """
    known: dict[str, Totals] = {}
    with project.ledger.read() as tx:
        versions = {row.id for row in tx.stream("SELECT id FROM versions")}
        gone = {row.ref for row in tx.stream("SELECT ref FROM gone WHERE how = 'collected'")}
        for row in tx.stream(f"SELECT {COLUMNS} FROM versions ORDER BY id"):
            version = version_of(row)
            if f"version:{version.id}" not in gone:
                yield from _verify_record(project, version)
                yield from _verify_manifest(project, version, known)
            for parent in (*version.parents, *version.inputs):
                if parent not in versions:
                    yield _finding("missing_version", version, f"it came from {parent}, which is not recorded")
        for kind in ("branch", "tag"):
            for pointer in tx.pointers(kind):
                if pointer.head not in versions:
                    what, message = f"{kind}:{pointer.name}", f"it points to {pointer.head}, which is not recorded."
                    yield Finding(kind="dangling_name", what=what, message=message, severity="error")
        for row in tx.stream("SELECT id, version FROM verdicts"):
            if row.version not in versions:
                message = f"verdict {row.id} is of version {row.version}, which is not recorded."
                yield Finding(kind="dangling_verdict", what=f"verdict:{row.id}", message=message, severity="error")


def _verify_record(project: Project, version: Version) -> Iterator[Finding]:
    try:
        kept = project.objects.get(version.record)
    except (CorruptError, InvalidInputError, NotFoundError) as error:
        yield _finding("missing_record", version, f"its record cannot be read: {error.message}")
        return
    if kept != record_bytes(version):
        yield _finding("record_differs", version, "its row in the ledger differs from its own record in the store")


def _verify_manifest(project: Project, version: Version, known: dict[str, Totals]) -> Iterator[Finding]:
    problems: list[str] = []
    totals = _totals(project, version.root, known, problems)
    for problem in problems:
        yield _finding("broken_manifest", version, problem)
    if not problems:
        files, size, rows, counted = totals
        if (files, size, rows if counted else None) != (version.files, version.bytes, version.rows):
            yield _finding(
                "totals_differ",
                version,
                f"it says {version.files:,} files of {version.bytes:,} bytes, and holds {files:,} of {size:,}",
            )


def _totals(project: Project, name: str, known: dict[str, Totals], problems: list[str]) -> Totals:
    """Return files, bytes, rows and counted files below a range, each range read once; problems are written down."""
    if name in known:
        return known[name]
    try:
        _, items = decoded(project.objects, name)
    except (CorruptError, InvalidInputError, NotFoundError) as error:
        problems.append(f"a range of its manifest cannot be read: {error.message}")
        return (0, 0, 0, 0)
    rows = [item for item in items if isinstance(item, Row)]
    absent = project.objects.missing([row.digest for row in rows], rely=False)
    problems += [f"the bytes {digest} of one of its files are not in the store" for digest in absent]
    counts = [row.rows for row in rows if row.rows is not None]
    parts = [(len(rows), sum(row.size for row in rows), sum(counts), len(counts))]
    for item in items:
        if isinstance(item, Reference):
            below = _totals(project, item.digest, known, problems)
            if below != tuple(item[3:]) and not problems:
                problems.append(f"range {item.digest} does not hold what the range above says")
            parts.append(below)
    files, size, total, counted = (sum(column) for column in zip(*parts, strict=True))
    if not problems:
        known[name] = (files, size, total, counted)
    return files, size, total, counted


def _finding(kind: str, version: Version, problem: str) -> Finding:
    message = f"{version.ref} ({version.id}): {problem}."
    return Finding(kind=kind, what=f"version:{version.id}", message=message, severity="error")
