"""Erasing a subject: from every version of a dataset and from every store of bytes derived from it.

Each step leaves a project that is sound and can be taken again, so an erasure that was cut off is completed by running
it again. What the subject was is kept until then; afterwards the chain holds a commitment whose salt is gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.canonical import decode, digest, encode
from headwater.durable import crash_point
from headwater.errors import InvalidInputError
from headwater.events.erasing import find_in_seals, rewrite_seal
from headwater.flow import erasing as _flow  # noqa: F401  # registers how results are erased
from headwater.lake.erasing import (
    ERASERS,
    Effect,
    Erasing,
    FileEraser,
    Subject,
    check_subject,
    erase_versions,
    eraser,
    living_versions,
    rewrite_text,
)
from headwater.lake.needles import Needles, in_cell
from headwater.ledger.chain import erase_body
from headwater.ledger.scrubbing import scrub
from headwater.model import erasing as _model  # noqa: F401  # registers how profiles are erased
from headwater.objects import collecting as packs
from headwater.objects.collecting import Mark
from headwater.operation import operation
from headwater.project import LocalProject, Project
from headwater.serve import erasing as _serve  # noqa: F401  # registers how what shadows said is erased, before events
from headwater.track import erasing as _track  # noqa: F401  # registers how artefacts are erased

from .collecting import (
    alone,
    drop_packs,
    finish_deleting,
    listed_packs,
    mark_everything,
    plan_of,
    reindex,
    stamp_of,
    take_alone,
)
from .finding import cached_with, facts_with, files_of, names_of, objects_with, places
from .heads import write_checkpoint

if TYPE_CHECKING:
    from headwater.ledger import WriteTx

_PICTURE = "data:image/"  # how a sample row holds a picture
_NAMES = frozenset(
    {"datasets.name", "versions.dataset", "pointers.name", "pointer_moves.name", "models.name", "people.name"}
)
"""Columns whose texts are names that other facts use: they are named, not rewritten."""


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure did, or would do (``id`` empty). ``left`` are places that still hold something, and why."""

    id: str
    versions: int
    files: int
    rows: int
    effects: tuple[Effect, ...]
    left: tuple[Effect, ...]
    texts: int


@operation("data.erase", needs="data:admin")
def erase(project: Project, subject: Subject, *, why: str = "", carry_out: bool = False) -> Erasure:
    """Erase a subject's rows or files from every version of some datasets and from every store of derived bytes.

    Without ``carry_out`` it only tells what would change. The reason is a link of the governance chain; it must not
    name the subject. Versions keep their ids; replaying what was erased answers 'erased on ...'. An erasure that was
    cut off is completed by asking for the same again.

    Raises:
        InvalidInputError: the subject names nothing, no table has its columns, nothing of it is there, or the reason
            is missing.
        NotFoundError: there is no such dataset.
        ConflictError: a collection or another erasure is under way.
    """
    check_subject(project, subject)
    completed = complete_erasures(project) if carry_out else []
    files = FileEraser(project, subject)
    with project.ledger.read() as tx:
        roots = [each.root for each in living_versions(tx, subject.datasets)]
        waiting = _waiting(tx, subject)
    touched = [each for root in roots for each in files.touched(root)]
    files.require_columns()
    texts = waiting[1] if waiting else files.needles(roots)
    if completed and not touched and waiting is None:
        return _report(completed[-1], project, subject, [], [], texts)
    if not texts and not touched:
        raise InvalidInputError("nothing of this subject is in the datasets: check the column, the value or the path.")
    if not carry_out:
        return _told(project, subject, files, touched, texts)
    if not why.strip():
        raise InvalidInputError("an erasure needs a reason (--reason): which request or duty it answers.")
    if Needles(texts).in_text(why):
        raise InvalidInputError("the reason names the subject, and it is kept for ever: say it without.")
    with project.ledger.write() as tx:
        lease = take_alone(tx, project)
        identifier = waiting[0] if waiting else _begin(tx, project, subject, texts, why)
    with alone(project, lease):
        return _carry_out(project, identifier, subject, files, touched, texts)


def _waiting(tx: Any, subject: Subject) -> tuple[str, list[str]] | None:
    """Return the erasure of this subject that was cut off, and the texts it looks for."""
    for row in tx.all("SELECT id, subject FROM erasures WHERE done_at IS NULL AND subject IS NOT NULL ORDER BY id"):
        said = msgspec.json.decode(row.subject)
        if msgspec.convert(said["subject"], Subject) == subject:
            return row.id, said["texts"]
    return None


def _begin(tx: WriteTx, project: Project, subject: Subject, texts: list[str], why: str) -> str:
    salt = os.urandom(32)
    said = msgspec.json.encode({"subject": subject, "texts": texts})
    identifier = tx.new_id()
    tx.insert(
        "erasures", id=identifier, dataset=" ".join(subject.datasets), why=why, by=project.actor.name,
        claimed=int(project.actor.claimed), at=tx.now, commitment=digest(salt + encode(msgspec.to_builtins(subject))),
        salt=salt, subject=said.decode(), done_at=None, report="",
    )  # fmt: skip
    return identifier


def _told(project: Project, subject: Subject, files: FileEraser, touched: list[Any], texts: list[str]) -> Erasure:
    needles = Needles(texts)
    holding = frozenset(found for found, _ in objects_with(project.objects, needles))
    context = Erasing(project, needles, holding, ("", 0), "")
    effects = [effect for act in ERASERS.values() for effect in act(context, False)]
    gone = {each.old.digest for each in touched}
    kept = sorted(holding & files_of(project).keys() - gone)
    effects += _left(project, subject, dict.fromkeys(kept, "a version has it"))
    return _report("", project, subject, touched, effects, texts)


def _report(
    identifier: str, project: Project, subject: Subject, touched: list[Any], effects: list[Effect], texts: list[str]
) -> Erasure:
    with project.ledger.read() as tx:
        changed = tx.value("SELECT COUNT(*) FROM erased_versions WHERE erasure = ?", (identifier,))
    unique = {each.old.digest: each for each in touched}
    return Erasure(
        id=identifier,
        versions=changed,
        files=len(unique),
        rows=sum(each.rows for each in unique.values()),
        effects=tuple(each for each in effects if each.how != "left"),
        left=tuple(each for each in effects if each.how == "left"),
        texts=len(texts),
    )


def _carry_out(
    project: Project, identifier: str, subject: Subject, files: FileEraser, touched: list[Any], texts: list[str]
) -> Erasure:
    needles = Needles(texts)
    with project.ledger.read() as tx:
        begun = tx.one("SELECT at, why FROM erasures WHERE id = ?", (identifier,))
    assert begun is not None  # it was written, or found, just now
    when = datetime.fromtimestamp(begun.at / 1e6, UTC).strftime("%Y-%m-%d")
    stone = msgspec.json.encode(f"erased on {when} (erasure {identifier})")
    project.events.seal(all=True)
    crash_point("erase.sealed")
    _, old = erase_versions(project, identifier, files, subject.datasets)
    holding = frozenset(found for found, _ in objects_with(project.objects, needles))
    context = Erasing(project, needles, holding, (project.objects.put(stone), len(stone)), begun.why)
    effects = [effect for act in ERASERS.values() for effect in act(context, True)]
    crash_point("erase.derived")
    effects += _drop_objects(project, subject, needles, old)
    _forget_cached(project, needles)
    crash_point("erase.packs")
    found = _report(identifier, project, subject, touched, effects, texts)
    _finish(project, identifier, found)
    told = " ".join(effect.what for effect in found.left)
    left = [
        Effect(store=each.store, what=f"{each.known_as} ({each.what})", how="left", why="it is still found there")
        for each in places(project, needles)
        if each.what not in told
    ]
    write_checkpoint(project)
    return msgspec.structs.replace(found, left=(*found.left, *left))


def _finish(project: Project, identifier: str, found: Erasure) -> None:
    """Let the salt and the subject go, record the erasure in the chain, and leave nothing in the database's files."""
    counts = {"versions": found.versions, "files": found.files, "rows": found.rows, "effects": len(found.effects)}
    with project.ledger.write() as tx:
        row = tx.one("SELECT dataset, why, by, claimed, commitment FROM erasures WHERE id = ?", (identifier,))
        assert row is not None  # the erasure under way
        tx.execute(
            "UPDATE erasures SET salt = NULL, subject = NULL, report = ? WHERE id = ?",
            (msgspec.json.encode(counts).decode(), identifier),
        )
        said = {"datasets": row.dataset, "why": row.why, "by": row.by, "claimed": bool(row.claimed), **counts}
        tx.govern("erase", f"erasure:{identifier}", {**said, "commitment": row.commitment})
    crash_point("erase.recorded")
    complete_erasures(project)


def complete_erasures(project: Project) -> list[str]:
    """Scrub the database for erasures whose facts are all recorded, and say they are done; returns their ids."""
    with project.ledger.read() as tx:
        waiting = [row.id for row in tx.all("SELECT id FROM erasures WHERE done_at IS NULL AND subject IS NULL")]
    if waiting:
        scrub(project.ledger)
        crash_point("erase.scrubbed")
        with project.ledger.write() as tx:
            now = tx.now
            tx.executemany("UPDATE erasures SET done_at = ? WHERE id = ?", [(now, each) for each in waiting])
    return waiting


@eraser("events")
def erase_events(erasing: Erasing, act: bool) -> Iterator[Effect]:
    """Take the subject out of sealed events; a prediction loses its inputs and outputs, and says so when replayed."""

    def holds(value: Any) -> bool:
        return in_cell(value, erasing.needles, 0)

    for seal, cells, rows in find_in_seals(erasing.project, holds):
        yield Effect(store="events", what=f"{len(rows)} rows of '{seal.stream}'", how="rewritten")
        if act:
            whole = seal.stream == "predictions"
            if whole:
                cells = _whole_predictions(cells)

            def also(tx: WriteTx, rows: list[dict[str, Any]] = rows if whole else []) -> None:
                for row in rows:
                    erasing.gone(tx, f"prediction:{row['prediction']}")

            rewrite_seal(erasing.project, seal, cells, erasing.needles.without, also)


def _whole_predictions(cells: dict[tuple[int, str], Any]) -> dict[tuple[int, str], Any]:
    places_ = {place for place, _ in cells}
    return {**cells, **{(place, name): b"" for place in places_ for name in ("inputs", "outputs")}}


@eraser("ledger")
def erase_facts(erasing: Erasing, act: bool) -> Iterator[Effect]:
    """Take the subject out of every text of the ledger: samples in verdicts, reports, messages, parameters, jobs."""
    for table, column, said in list(facts_with(erasing.project, erasing.needles)):
        place = f"{table}.{column}"
        if place in _NAMES or table == "chain":
            why = "it is a name that other facts use: rename it, or delete what it names"
            yield Effect(store="ledger", what=place, how="left", why=why)
            continue
        yield Effect(store="ledger", what=place, how="rewritten")
        if act:
            if table == "versions":
                rewrite_text(erasing, column, said)
            else:
                with erasing.project.ledger.write() as tx:
                    _rewrite_fact(tx, erasing, table, column, said)
            crash_point("erase.fact")


def _rewrite_fact(tx: WriteTx, erasing: Erasing, table: str, column: str, said: Any) -> None:
    if table == "chain_bodies":
        for row in tx.all("SELECT seq FROM chain_bodies WHERE body = ?", (said,)):
            erase_body(tx, row.seq, erasing.said)
        return
    new = _without_text(said, erasing.needles) if isinstance(said, str) else _without_bytes(said, erasing.needles)
    tx.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE "{column}" = ?', (new, said))


def _without_text(text: str, needles: Needles) -> str:
    """Return a text of the ledger without the subject; a sample row that names it loses its picture too."""
    if _PICTURE in text:
        try:
            return msgspec.json.encode(_without(msgspec.json.decode(text), needles)).decode()
        except msgspec.DecodeError:
            pass  # no JSON: a text that only quotes a picture
    return needles.without(text)


def _without_bytes(data: bytes, needles: Needles) -> bytes:
    try:
        return needles.without(data.decode()).encode()
    except UnicodeDecodeError:
        return encode(_without(decode(data), needles))


def _without(value: Any, needles: Needles) -> Any:
    if isinstance(value, str):
        return needles.without(value)
    if isinstance(value, dict):
        new = {_without(key, needles): _without(inner, needles) for key, inner in value.items()}
        if new == value:
            return value
        pictures = [key for key, inner in new.items() if isinstance(inner, str) and inner.startswith(_PICTURE)]
        return {**new, **dict.fromkeys(pictures, "erased")}
    if isinstance(value, list):
        return [_without(inner, needles) for inner in value]
    return value


def _drop_objects(project: Project, subject: Subject, needles: Needles, old: set[str]) -> list[Effect]:
    """Give up the objects that hold something of the subject and that nothing needs; name those that are needed."""
    while (found := _dropped(project, needles, old)) is None:
        pass  # something doomed was named meanwhile: look again
    doomed, holding, mark = found
    needed = sorted(digest for digest in holding if bytes.fromhex(digest) in mark.alive)
    for each in doomed:
        project.objects.drop_cached(each.hex())
    return _left(project, subject, {digest: mark.reasons[mark.alive[bytes.fromhex(digest)]] for digest in needed})


def _left(project: Project, subject: Subject, needed: dict[str, str]) -> list[Effect]:
    """Return what is left of objects (digest to why they are kept): what they are known as, and what to do."""
    files, names = (files_of(project), names_of(project)) if needed else ({}, {})
    left = []
    for found, reason in needed.items():
        name, (version, path) = names.get(found, ""), files.get(found, (None, ""))
        dataset = version.dataset if version else ""
        why = f"it is needed elsewhere ({reason}): name its dataset too, or delete what needs it"
        if dataset in subject.datasets and path.endswith((".csv", ".tsv")):
            why = (
                f"no row of it is told by {', '.join(subject.key) or 'the condition'}: where it has no header, name "
                "the column by its place (--key '#1=VALUE'), else erase the file with --path"
            )
        elif dataset in subject.datasets:
            why = "no row of it is told by the key or the condition: erase the file with --path"
        what = f"{name} (object:{found})" if name else f"object:{found}"
        left.append(Effect(store="objects", what=what, how="left", why=why))
    return left


def _dropped(project: Project, needles: Needles, old: set[str]) -> tuple[set[bytes], set[str], Mark] | None:
    """Give up the doomed objects; return them, what holds something, and the mark. None: one was named meanwhile."""
    store = project.objects
    with project.ledger.read() as tx:
        stamp = stamp_of(tx)
        mark = mark_everything(store, plan_of(project, tx), tx)
        records = [record for record, _ in listed_packs(tx)]
    holding = {found for found, _ in objects_with(store, needles)}
    doomed = {bytes.fromhex(each) for each in holding | old} - set(mark.alive)
    doomed |= _their_chunks(project, doomed, mark)
    plans = [
        each for each in packs.plan_packs(store, records, lambda found: found not in doomed, share=2.0)
        if each.do != "keep"
    ]  # fmt: skip
    made = packs.rewrite(store, [each for each in plans if each.do == "rewrite"])
    crash_point("erase.rewritten")
    store.made(made)
    strays = _strays_with(project, needles, {record.id for record in records} | {each.id for each in made})
    with project.ledger.write() as tx:
        if stamp_of(tx) != stamp and doomed & set(mark_everything(store, plan_of(project, tx), tx).alive):
            return None
        listed = {record.id for record, _ in listed_packs(tx)}
        drop_packs(
            tx,
            [(each.record.id, each.record.size) for each in plans] + [each for each in strays if each[0] not in listed],
        )
    crash_point("erase.dropped")
    finish_deleting(project)
    reindex(store, {each.id for each in made})
    return doomed, holding, mark


def _their_chunks(project: Project, doomed: set[bytes], mark: Mark) -> set[bytes]:
    store = project.objects
    return {
        chunk.digest
        for found, location in store.index.chunked()
        if found in doomed
        for chunk in store.reader.chunks(found, location)
        if chunk.digest not in mark.alive
    }


def _strays_with(project: Project, needles: Needles, listed: set[str]) -> list[tuple[str, int]]:
    sizes = {pack: size for pack, size, _ in project.objects.backend.packs() if pack not in listed}
    own = {record.id for record in project.objects.own_pending()}
    holding = {pack for _, pack in objects_with(project.objects, needles) if pack in sizes and pack not in own}
    return sorted((pack, sizes[pack]) for pack in holding)


def _forget_cached(project: Project, needles: Needles) -> None:
    if isinstance(project, LocalProject):
        for path in list(cached_with(project, needles)):
            path.unlink(missing_ok=True)
