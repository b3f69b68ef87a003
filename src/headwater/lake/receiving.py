"""Receiving versions of another project: nothing is recorded before every byte that it names is here and agrees.

A version keeps its id, author, time, message and parents, because its record (an object) is what travels; its number
is this project's own. The bytes come first, by digest; then one transaction records the facts as imports that name
the sender's project and the head of its chain.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from ..canonical import decode
from ..durable import crash_point
from ..errors import ConflictError, CorruptError, InvalidInputError, NotFoundError
from ..ids import is_id
from ..operation import operation
from ..project import Project
from .manifest import decoded, differences, rows_after
from .names import check_dataset_name
from .origins import Departed, Origin, Standing, departed_in, elsewhere, record_import
from .ranges import Reference, Row
from .refs import versions_where
from .values import Version
from .versions import RECORD_FORMAT, record_bytes

if TYPE_CHECKING:
    from ..ledger import WriteTx

MOST_AT_ONCE = 500
_PAGE = 5000
_MOST_NAMED = 1000


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded: the versions that were new here, with their numbers here."""

    versions: tuple[Version, ...]


@operation("data.receive", needs="data:write")
def receive(
    project: Project,
    dataset: str,
    records: Sequence[str],
    origin: Origin,
    standing: Sequence[Standing] = (),
    departed: Sequence[Departed] = (),
    description: str = "",
) -> Received:
    """Record versions of another project, parents first, whose bytes are in the store already; moves no branch.

    ``records`` are the digests of the versions' own records, at most 500. Verified are each record, each manifest and
    that every file is there; versions known here are passed over. ``standing`` tells which of them failed checks
    there: they wait in quarantine here too. Of the ``departed`` only the fact comes: their bytes were collected there.

    Raises:
        InvalidInputError: bytes are missing (``values["missing"]`` names up to 1,000 of them), or a record is none.
        CorruptError: a version's manifest does not hold what its record says.
        ConflictError: another version has this id here.
    """
    check_dataset_name(dataset)
    if len(records) > MOST_AT_ONCE:
        raise InvalidInputError(f"at most {MOST_AT_ONCE} versions are received at once, not {len(records)}.")
    if origin.project == project.id:
        raise InvalidInputError(f"'{origin.name}' is this project itself: there is nothing to move.")
    versions = [_record(project, dataset, digest) for digest in records]
    known = _known(project, versions)
    gone = {each.version: each for each in departed}
    roots = {version.id: version.root for version in known.values()} | _without_bytes(project, known)
    new = [version for version in versions if version.id not in known]
    for version in new:
        _verify(project, version, roots, bare=version.id in gone)
        roots[version.id] = "" if version.id in gone else version.root
    if not new:
        return Received(versions=())
    absent = set(project.objects.missing([version.root for version in new if version.id in gone]))
    crash_point("lake.receive.verified")
    failed = {each.version: each for each in standing}
    with project.ledger.write() as tx:
        made = tuple(_record_one(tx, project, version, origin, failed.get(version.id)) for version in new)
        for version in (each for each in new if each.id in gone):
            _record_departed(tx, version, gone[version.id], absent)
        if description:
            tx.execute(
                "UPDATE datasets SET description = ? WHERE name = ? AND description = ''", (description, dataset)
            )
        _govern(tx, project, dataset, made, origin)
    crash_point("lake.receive.recorded")
    return Received(versions=made)


def _record(project: Project, dataset: str, digest: str) -> Version:
    """Return the version that a record in the store says, its number unknown."""
    absent = project.objects.missing([digest])
    if absent:
        raise _missing(absent, f"the record {digest}")
    fields: Any = decode(project.objects.get(digest))
    try:
        if fields.pop("format") != RECORD_FORMAT:
            raise InvalidInputError(f"object {digest} is the record of another format.")
        version = msgspec.convert({**fields, "number": 0, "record": digest}, Version)
    except (msgspec.ValidationError, KeyError, AttributeError, TypeError) as error:
        raise InvalidInputError(f"object {digest} is not the record of a version: {error}.") from error
    if record_bytes(version) != project.objects.get(digest) or not is_id(version.id):
        raise InvalidInputError(f"object {digest} is not the record of a version as Headwater writes it.")
    if version.dataset != dataset:
        raise InvalidInputError(f"version {version.id} is of dataset '{version.dataset}', not of '{dataset}'.")
    return version


def _known(project: Project, versions: Sequence[Version]) -> dict[str, Version]:
    """Return what is recorded here of these versions and their parents, by id."""
    wanted = {each for version in versions for each in (version.id, *version.parents)}
    found: dict[str, Version] = {}
    with project.ledger.read() as tx:
        for identifier in wanted:
            for row in versions_where(tx, "id = ?", (identifier,)):
                found[row.id] = row
    for version in versions:
        here = found.get(version.id)
        if here is not None and here.record != version.record:
            raise ConflictError(
                f"{here.ref} here has the id {version.id} and another record: one of the two was changed after it was "
                "made (an erasure does that). Run 'hw verify' on both sides.",
                version=version.id,
            )
    return found


def _without_bytes(project: Project, known: dict[str, Version]) -> dict[str, str]:
    """Return an empty root for those of the versions known here whose bytes were collected here."""
    with project.ledger.read() as tx:
        return {each.version: "" for each in departed_in(tx, list(known))}


def _verify(project: Project, version: Version, roots: dict[str, str], *, bare: bool) -> None:
    """Raise unless all that a version names is here; what it shares with its first parent was verified with that.

    Of a ``bare`` version, whose bytes are gone where it comes from, only its parents are asked for.
    """
    absent = [parent for parent in version.parents if parent not in roots]
    if absent:
        raise InvalidInputError(
            f"version {version.id} came from {absent[0]}, which is not here: send the versions before it first.",
            version=version.id,
        )
    if bare:
        return
    try:
        rows = _new_rows(project, version, roots)
        while page := list(islice(rows, _PAGE)):
            lost = project.objects.missing(list({row.digest for row in page}))
            if lost:
                raise _missing(lost, f"files of version {version.id}")
        files, size, counted = _totals(project, version.root)
    except NotFoundError as error:
        raise _missing([error.values.get("digest", version.root)], f"a range of version {version.id}") from error
    if (files, size, counted) != (version.files, version.bytes, version.rows):
        raise CorruptError(
            f"version {version.id} says that it has {version.files:,} files of {version.bytes:,} bytes, and its "
            f"manifest holds {files:,} of {size:,}. Run 'hw verify' where it came from.",
            version=version.id,
        )


def _new_rows(project: Project, version: Version, roots: dict[str, str]) -> Iterator[Row]:
    if not version.parents or not roots[version.parents[0]]:
        yield from rows_after(project.objects, version.root)
        return
    for _, _, after in differences(project.objects, roots[version.parents[0]], version.root):
        if after is not None:
            yield after


def _totals(project: Project, root: str) -> tuple[int, int, int | None]:
    """Return files, bytes and known rows of a manifest, from its root."""
    _, items = decoded(project.objects, root)
    files = size = rows = counted = 0
    for item in items:
        if isinstance(item, Reference):
            files, size = files + item.files, size + item.bytes
            rows, counted = rows + item.rows, counted + item.counted
        else:
            files, size = files + 1, size + item.size
            rows, counted = rows + (item.rows or 0), counted + (item.rows is not None)
    return files, size, rows if counted else None


def _record_one(tx: WriteTx, project: Project, version: Version, origin: Origin, standing: Standing | None) -> Version:
    tx.execute(
        "INSERT INTO datasets (name, description, created_at, created_by, versions) VALUES (?, '', ?, ?, 0) "
        "ON CONFLICT (name) DO NOTHING",
        (version.dataset, version.created_at, version.author),
    )
    sql = "UPDATE datasets SET versions = versions + 1 WHERE name = ? RETURNING versions"
    version = msgspec.structs.replace(version, number=int(tx.value(sql, (version.dataset,))))
    columns = {key: getattr(version, key) for key in _PLAIN}
    tx.insert(
        "versions",
        **columns,
        parent=version.parents[0] if version.parents else None,
        parents=" ".join(version.parents),
        inputs=" ".join(version.inputs),
    )
    _link(tx, version, origin)
    record_import(tx, project, version, origin, kind="copy", standing=standing)
    if standing is not None:
        _record_failure(tx, version, standing)
    tx.announce("version", f"version:{version.id}")
    return version


_PLAIN = (
    "id", "dataset", "number", "root", "record", "message", "author", "source", "produced_by", "files", "bytes", "rows",
    "created_at",
)  # fmt: skip


def _link(tx: WriteTx, version: Version, origin: Origin) -> None:
    """Record what a version came from; what only the sender has is named as being there."""
    child = f"version:{version.id}"
    rows = [(child, "parent", f"version:{parent}") for parent in version.parents]
    for used in version.inputs:
        here = tx.one("SELECT 1 AS one FROM versions WHERE id = ?", (used,)) is not None
        rows.append((child, "input", f"version:{used}" if here else elsewhere(origin, f"version:{used}")))
    if version.source:
        rows.append((child, "source", f"source:{version.source}"))
    if version.produced_by:
        rows.append((child, "produced_by", elsewhere(origin, version.produced_by)))
    # Versions that came earlier and were made of this one can name it now.
    waiting = tx.all("SELECT child, role FROM edges WHERE parent = ?", (elsewhere(origin, child),))
    tx.edges([*rows, *((row.child, row.role, child) for row in waiting)])


def _record_failure(tx: WriteTx, version: Version, standing: Standing) -> None:
    """Record the verdict that failed there, so that the version waits in quarantine here as well."""
    try:
        msgspec.json.decode(standing.results, type=list[dict[str, Any]])
    except msgspec.DecodeError as error:
        raise InvalidInputError(f"the verdict {standing.id} of version {version.id} is not written as one.") from error
    if tx.one("SELECT 1 AS one FROM verdicts WHERE id = ?", (standing.id,)) is not None:
        raise ConflictError(f"there is a verdict {standing.id} here already, of another version.", verdict=standing.id)
    tx.insert(
        "verdicts",
        id=standing.id,
        version=version.id,
        turn=standing.turn,
        dataset=version.dataset,
        outcome="failed",
        declared=standing.declared,
        baseline=None,
        results=standing.results,
        author=standing.author,
        created_at=standing.created_at,
    )


def _record_departed(tx: WriteTx, version: Version, departed: Departed, absent: Collection[str]) -> None:
    """Record that the bytes of a version went before it came here, so that readers are told when and why."""
    for ref in (f"version:{version.id}", *([f"object:{version.root}"] if version.root in absent else [])):
        tx.execute(
            "INSERT INTO gone (ref, at, how, why) VALUES (?, ?, 'collected', ?) ON CONFLICT DO NOTHING",
            (ref, departed.at, departed.why),
        )


def _govern(tx: WriteTx, project: Project, dataset: str, made: Sequence[Version], origin: Origin) -> None:
    tx.govern(
        "import",
        f"version:{made[-1].id}",
        {
            "dataset": dataset,
            "versions": {version.id: version.record for version in made},
            "project": origin.project,
            "name": origin.name,
            "head": f"{origin.seq}:{origin.hash}",
            "by": project.actor.name,
            "claimed": project.actor.claimed,
        },
    )


def _missing(digests: Sequence[str], what: str) -> InvalidInputError:
    return InvalidInputError(
        f"{len(digests):,} object(s) of {what} are not in the store yet, {digests[0]} first. Send them, then the "
        "version; running the push or pull again does that.",
        missing=list(digests)[:_MOST_NAMED],
    )
