"""The memory: results by key in the ledger, found again when everything they read is still the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from .keys import Call, Ingredients, difference
from .reads import Now, ReadItem, sentence
from .saving import Part

if TYPE_CHECKING:
    from headwater.ledger import Tx, WriteTx
    from headwater.objects import ObjectStore

_CANDIDATES = 20
# How many keys are looked up at once: so many candidates are held together.
_TOGETHER = 5000


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


class Asked(NamedTuple):
    """What the memory is asked for: a key, and what to say why by when there is no result of it."""

    key: str
    slot: str
    ingredients: Ingredients
    call: Call


class Remembered(NamedTuple):
    """A result to be remembered, what its key was made of, and the results that it was made from."""

    result: Result
    slot: str
    ingredients: tuple[str, Ingredients]
    call: Call
    inputs: Sequence[str]
    versions: Sequence[str] = ()  # that items among the arguments were listed from


def find(tx: Tx, objects: ObjectStore, now: Now, key: str, slot: str, ingredients: Ingredients, call: Call) -> Answer:
    """Return the newest result of a key whose reads all hold and whose bytes are there, or say why there is none."""
    return find_many(tx, objects, now, [Asked(key, slot, ingredients, call)])[0]


def find_many(tx: Tx, objects: ObjectStore, now: Now, asked: Sequence[Asked]) -> list[Answer]:
    """Return what the memory says to each key, in order, asking ledger and object store for all of them together."""
    found: list[Answer] = []
    for start in range(0, len(asked), _TOGETHER):
        found += _find_some(tx, objects, now, asked[start : start + _TOGETHER])
    return found


_SPOILED = {1: "the remembered result was damaged", 2: "the remembered result was collected to free its space"}


def _find_some(tx: Tx, objects: ObjectStore, now: Now, asked: Sequence[Asked]) -> list[Answer]:
    candidates: dict[str, list[Result | str]] = {}
    decode = _Decoder()
    for row in _rows_of(tx, [each.key for each in asked]):
        mine = candidates.setdefault(row.static_key, [])
        if len(mine) < _CANDIDATES:
            mine.append(_SPOILED[row.broken] if row.broken else decode.result(row))
    absent = _absent(objects, candidates.values())
    answers = [_judged(now, candidates.get(each.key, ()), absent) for each in asked]
    return [
        answer if isinstance(answer, Answer) else Answer(result=None, why=_said(tx, answer, each))
        for answer, each in zip(answers, asked, strict=True)
    ]


def _rows_of(tx: Tx, keys: Sequence[str]) -> list[Any]:
    columns = "id, static_key, step, output, parts, reads, seconds, warnings, created_at, broken"
    if len(keys) == 1:
        query = f"SELECT {columns} FROM results WHERE static_key = ? ORDER BY created_at DESC, id DESC LIMIT ?"
        return tx.all(query, (keys[0], _CANDIDATES))
    rows = tx.all_in(f"SELECT {columns} FROM results WHERE static_key IN (??)", keys)
    rows.sort(key=lambda row: (row.created_at, row.id), reverse=True)
    return rows


def _absent(objects: ObjectStore, candidates: Iterable[Sequence[Result | str]]) -> frozenset[str]:
    """Return which bytes of the candidates are gone; those of older ones are asked for only where they are needed."""
    digests = [
        part.stored or part.digest
        for each in candidates
        for result in each
        if isinstance(result, Result)
        for part in result.parts
    ]
    return frozenset(objects.missing(digests)) if digests else frozenset()


def _judged(now: Now, candidates: Sequence[Result | str], absent: frozenset[str]) -> Answer | str:
    """Return the first candidate that counts, else why the newest does not, "" where there is none."""
    reason = ""
    for result in candidates:
        if isinstance(result, str):
            reason = reason or result
            continue
        changed = now.changed(result.reads)
        lost = next((each for part in result.parts if (each := part.stored or part.digest) in absent), None)
        if changed is not None:
            reason = reason or sentence(changed, now.digest(changed.kind, changed.name))
        elif lost is not None:
            reason = reason or f"the remembered result's bytes are gone ({lost[:12]}…)"
        else:
            return Answer(
                result=result, why=f"remembered from {_when(result.created_at)}: nothing it depends on changed"
            )
    return reason


def _said(tx: Tx, reason: str, asked: Asked) -> str:
    return f"ran again: {reason}" if reason else _why_none(tx, asked.slot, asked.ingredients, asked.call)


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


_COLUMNS = (
    "id", "static_key", "step", "slot", "ingredients", "call", "reads", "output", "parts", "seconds", "warnings",
    "created_at", "broken",
)  # fmt: skip


def record_many(tx: WriteTx, made: Sequence[Remembered]) -> None:
    """Write results, what their keys were made of, and edges to the versions and results that they came from."""
    bodies = {each.ingredients[0]: each.ingredients[1] for each in made}
    tx.executemany(
        "INSERT INTO ingredients (digest, body) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING",
        [(digest, msgspec.json.encode(body).decode()) for digest, body in bodies.items()],
    )
    tx.insert_many("results", _COLUMNS, map(_row, made))
    tx.edges([edge for each in made for edge in _edges(each)])


def _row(each: Remembered) -> tuple[Any, ...]:
    result = each.result
    return (
        result.id, result.static_key, result.step, each.slot, each.ingredients[0], _text(each.call),
        _text(result.reads), result.output, _text(result.parts), result.seconds, _text(result.warnings),
        result.created_at, 0,
    )  # fmt: skip


def _edges(each: Remembered) -> Iterator[tuple[str, str, str]]:
    me = f"result:{each.result.id}"
    for read in each.result.reads:
        if read.kind == "ref":
            yield me, "read", f"version:{read.version}"
        elif read.kind == "file":
            yield me, "read", f"source:{_printable(read.name)}"
    for used in dict.fromkeys(each.inputs):
        yield me, "input", f"result:{used}"
    for version in dict.fromkeys(each.versions):
        yield me, "read", f"version:{version}"


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def mark_broken(tx: WriteTx, identifier: str, *, collected: bool = False) -> None:
    """Note that a result's bytes are missing or damaged, or were collected: it is never used again."""
    tx.execute("UPDATE results SET broken = ? WHERE id = ?", (2 if collected else 1, identifier))


def result_of(row: Any) -> Result:
    """Return the result of a row of ``results``."""
    return _Decoder().result(row)


class _Decoder:
    """Makes results of rows; what many rows say alike is made once, and shared."""

    def __init__(self) -> None:
        self._reads: dict[str, tuple[ReadItem, ...]] = {"[]": ()}
        self._warnings: dict[str, tuple[str, ...]] = {"[]": ()}
        self._parts = msgspec.json.Decoder(tuple[Part, ...])

    def result(self, row: Any) -> Result:
        if row.reads not in self._reads:
            self._reads[row.reads] = msgspec.json.decode(row.reads, type=tuple[ReadItem, ...])
        if row.warnings not in self._warnings:
            self._warnings[row.warnings] = msgspec.json.decode(row.warnings, type=tuple[str, ...])
        return Result(
            id=row.id,
            static_key=row.static_key,
            step=row.step,
            output=row.output,
            parts=self._parts.decode(row.parts),
            reads=self._reads[row.reads],
            seconds=row.seconds,
            warnings=self._warnings[row.warnings],
            created_at=row.created_at,
        )


def _when(at: int) -> str:
    return _second(at // 1_000_000)


@lru_cache(maxsize=64)
def _second(at: int) -> str:
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)) + " UTC"


def _printable(name: str) -> str:
    return name.encode("utf-8", "replace").decode().replace("\x00", "")
