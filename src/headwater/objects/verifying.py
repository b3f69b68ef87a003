"""Reading everything back: each byte of each pack is compared with what the pack's id commits to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING

from headwater.errors import CorruptError

from .backend import Backend, PackMissing
from .findings import Finding
from .index import Index
from .packs import HEADER, TRAILER, header_bytes
from .reading import Reader, matches
from .taking import footer_of
from .values import MIB, Location, PackRecord

if TYPE_CHECKING:
    from .store import ObjectStore

_WINDOW = 16 * MIB
_Checked = tuple[list[Finding], set[bytes]]


def verify(store: ObjectStore, index: Index, reader: Reader) -> Iterator[Finding]:
    """Yield what is wrong with the packs that the ledger lists or will list, then what lies there besides."""
    store.refresh(whole=True)
    wanted = {record.id: record for record in store.wanted()}
    damaged: set[bytes] = set()
    waiting: deque[tuple[str, Future[_Checked]]] = deque()
    for record in wanted.values():
        waiting.append((record.id, store.pool.submit(check_pack, store.backend, record)))
        if len(waiting) > 4:
            yield from _take(index, waiting, damaged)
    while waiting:
        yield from _take(index, waiting, damaged)
    yield from _check_lists(index, reader, damaged)
    for pack, size, _ in store.backend.packs():
        if pack not in wanted:
            yield Finding(
                kind="pack",
                what=pack,
                message=f"pack {pack} ({size} bytes) is not in the ledger's list: a write that was not finished, or is "
                "being finished now. Nothing names it; collecting removes it.",
                severity="note",
            )


def _take(index: Index, waiting: deque[tuple[str, Future[_Checked]]], damaged: set[bytes]) -> list[Finding]:
    """Return the next pack's findings; what is damaged in it and whole in another is a note."""
    pack, checked = waiting.popleft()
    findings, objects = checked.result()
    if not findings:
        index.mend(pack)
    whole: dict[str, str] = {}
    for digest in objects:
        location = index.find_one(digest)
        if location is not None and location.pack != pack:
            whole[digest.hex()] = location.pack
        else:
            index.mark_damaged(digest, pack)
            damaged.add(digest)
    return [
        Finding(
            kind=each.kind,
            what=each.what,
            message=f"object {each.what} is damaged in pack {pack}; it was put again since and is read from pack "
            f"{whole[each.what]}. Nothing is lost.",
            severity="note",
        )
        if each.kind == "object" and each.what in whole
        else each
        for each in findings
    ]


def check_pack(backend: Backend, record: PackRecord) -> tuple[list[Finding], set[bytes]]:
    """Return what is wrong with a pack, and the digests of the entries that are damaged."""
    size = backend.size(record.id)
    if size is None:
        return [_pack(record, "is missing. Bring it back from a backup")], set()
    findings: list[Finding] = []
    if size != record.size:
        findings.append(_pack(record, f"has {size} bytes and should have {record.size}. Bring it back from a backup"))
    try:
        footer = footer_of(backend, record.id, record.size)
        if backend.read(record.id, 0, HEADER.size) != header_bytes():
            findings.append(_pack(record, "does not begin as a pack of this format does"))
        located = sorted(footer.locations(record.id), key=lambda item: item[1].offset)
        found, damaged = _check_bodies(backend, record, located)
        if sum(location.length for _, location in located) != record.size - HEADER.size - footer.length - TRAILER.size:
            findings.append(_pack(record, "holds bytes that no entry accounts for"))
        return findings + found, damaged
    except CorruptError as error:
        return findings or [_pack(record, f"cannot be read: {error.message}")], set()
    except PackMissing:
        return [_pack(record, "went away while it was read")], set()


def _check_bodies(
    backend: Backend, record: PackRecord, located: list[tuple[bytes, Location]]
) -> tuple[list[Finding], set[bytes]]:
    findings: list[Finding] = []
    damaged: set[bytes] = set()
    start, window = 0, b""
    at = HEADER.size
    for digest, location in located:
        if location.offset != at:
            findings.append(_pack(record, f"has a gap before byte {location.offset} that no entry accounts for"))
        at = location.offset + location.length
        if at > start + len(window):
            start = location.offset
            window = backend.read(record.id, start, max(_WINDOW, location.length))
        body = memoryview(window)[location.offset - start : at - start]
        if not matches(digest, location, body):
            damaged.add(digest)
            findings.append(_object(digest, f"is damaged: its bytes at {location.offset} of pack {record.id}"))
    return findings, damaged


def _check_lists(index: Index, reader: Reader, damaged: set[bytes]) -> Iterator[Finding]:
    """Yield the large objects that a damaged or lost chunk takes with it."""
    for digest, location in index.chunked():
        if digest in damaged:
            continue
        try:
            chunks = reader.chunks(digest, location)
        except (CorruptError, PackMissing):
            yield _object(digest, "is damaged: its list of chunks")
            continue
        known = index.find([chunk.digest for chunk in chunks])
        for number, chunk in enumerate(chunks):
            if chunk.digest in damaged or chunk.digest not in known:
                state = "is damaged" if chunk.digest in damaged else "is not in the store"
                yield Finding(
                    kind="object",
                    what=digest.hex(),
                    message=f"object {digest.hex()} cannot be read whole: its chunk {number} ({chunk.digest.hex()}, "
                    f"bytes {chunk.start} to {chunk.start + chunk.size}) {state}. Bring it back from a backup.",
                )


def _pack(record: PackRecord, what: str) -> Finding:
    return Finding(kind="pack", what=record.id, message=f"pack {record.id} ({record.entries} objects) {what}.")


def _object(digest: bytes, what: str) -> Finding:
    message = (
        f"object {digest.hex()} {what} are not what its digest says. Put the same bytes again ('hw data add'), or "
        "bring the pack back from a backup."
    )
    return Finding(kind="object", what=digest.hex(), message=message)
