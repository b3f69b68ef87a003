"""The memory: results by key in the ledger, found again when everything they read is still the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from .keys import Call, Ingredients, difference
from .reads import Now, ReadItem, sentence
from .saving import Part

if TYPE_CHECKING:
    from headwater.ledger import Tx, WriteTx
    from headwater.objects import ObjectStore

_CANDIDATES = 20


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One remembered result. ``output`` names the value; ``reads`` is what must be the same for it to count."""

    id: str
    static_key: str
    step: str
    output: str
    parts: tuple[Part, ...]
    reads: tuple[ReadItem, ...]
    seconds: float
    warnings: tuple[str, ...]
    created_at: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the memory says to a key: a result, or none; and why, in a sentence."""

    result: Result | None
    why: str


def find(tx: Tx, objects: ObjectStore, now: Now, key: str, slot: str, ingredients: Ingredients, call: Call) -> Answer:
    """Return the newest result of a key whose reads all hold and whose bytes are there, or say why there is none."""
    reason = ""
    rows = tx.all(
        "SELECT id, static_key, step, output, parts, reads, seconds, warnings, created_at, broken FROM results "
        "WHERE static_key = ? ORDER BY created_at DESC, id DESC LIMIT ?",
        (key, _CANDIDATES),
    )
    for row in rows:
        if row.broken:
            reason = reason or "the remembered result was damaged"
            continue
        result = result_of(row)
        changed = now.changed(result.reads)
        if changed is not None:
            reason = reason or sentence(changed, now.digest(changed.kind, changed.name))
        elif absent := objects.missing([part.stored or part.digest for part in result.parts]):
            reason = reason or f"the remembered result's bytes are gone ({absent[0][:12]}…)"
        else:
            return Answer(
                result=result, why=f"remembered from {_when(result.created_at)}: nothing it depends on changed"
            )
    return Answer(result=None, why=f"ran again: {reason}" if reason else _why_none(tx, slot, ingredients, call))


def _why_none(tx: Tx, slot: str, ingredients: Ingredients, call: Call) -> str:
    row = tx.one(
        "SELECT r.call AS call, i.body AS body FROM results r JOIN ingredients i ON i.digest = r.ingredients "
        "WHERE r.slot = ? ORDER BY r.created_at DESC, r.id DESC LIMIT 1",
        (slot,),
    )
    if row is None:
        return "ran: no result of this call is remembered yet"
    old = msgspec.json.decode(row.body, type=Ingredients)
    old_call = msgspec.json.decode(row.call, type=Call)
    return f"ran again: {difference(old, old_call, ingredients, call) or 'it was not remembered'}"


def record(
    tx: WriteTx, result: Result, *, slot: str, ingredients: tuple[str, Ingredients], call: Call, inputs: Sequence[str]
) -> None:
    """Write a result, what its key was made of, and the edges to the versions and results that it came from."""
    digest, body = ingredients
    tx.execute(
        "INSERT INTO ingredients (digest, body) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING",
        (digest, msgspec.json.encode(body).decode()),
    )
    tx.insert(
        "results",
        id=result.id,
        static_key=result.static_key,
        step=result.step,
        slot=slot,
        ingredients=digest,
        call=msgspec.json.encode(call).decode(),
        reads=msgspec.json.encode(result.reads).decode(),
        output=result.output,
        parts=msgspec.json.encode(result.parts).decode(),
        seconds=result.seconds,
        warnings=msgspec.json.encode(result.warnings).decode(),
        created_at=result.created_at,
        broken=0,
    )
    for read in result.reads:
        if read.kind == "ref":
            tx.edge(f"result:{result.id}", "read", f"version:{read.version}")
        elif read.kind == "file":
            tx.edge(f"result:{result.id}", "read", f"source:{_printable(read.name)}")
    for used in dict.fromkeys(inputs):
        tx.edge(f"result:{result.id}", "input", f"result:{used}")


def mark_broken(tx: WriteTx, identifier: str) -> None:
    """Note that a result's bytes are missing or damaged: it is never used again."""
    tx.execute("UPDATE results SET broken = 1 WHERE id = ?", (identifier,))


def result_of(row: Any) -> Result:
    """Return the result of a row of ``results``."""
    return Result(
        id=row.id,
        static_key=row.static_key,
        step=row.step,
        output=row.output,
        parts=msgspec.json.decode(row.parts, type=tuple[Part, ...]),
        reads=msgspec.json.decode(row.reads, type=tuple[ReadItem, ...]),
        seconds=row.seconds,
        warnings=msgspec.json.decode(row.warnings, type=tuple[str, ...]),
        created_at=row.created_at,
    )


def _when(at: int) -> str:
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at / 1e6)) + " UTC"


def _printable(name: str) -> str:
    return name.encode("utf-8", "replace").decode().replace("\x00", "")
