"""The chain of governance: facts that nobody can change, drop or reorder unseen.

Each link carries a commitment to its body and the hash of the link before it:

    commitment = BLAKE3(salt || canonical body)
    hash       = BLAKE3(canonical {seq, kind, ref, at, commitment, prev})

The first link's ``prev`` names the project, so that chains cannot be exchanged. Salt and body can be erased: the
commitment that stays says nothing without its salt. Whoever owns the database can rewrite all of it consistently;
that is seen by comparing with a head kept elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ..canonical import digest, digest_of, encode
from ..errors import InvalidInputError, NotFoundError
from ..objects.findings import Finding
from .rows import Row

if TYPE_CHECKING:
    from .transaction import Tx, WriteTx

COUNTER = "chain"
ERASURE = "erasure"
_SALT_BYTES = 32


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a project's chain: what to keep elsewhere. ``seq`` 0 is the empty chain."""

    project: str
    seq: int
    hash: str
    at: int


def genesis(project: str) -> str:
    """Return what the first link follows: the digest that names the project."""
    return digest_of({"project": project})


def link_hash(*, seq: int, kind: str, ref: str, at: int, commitment: str, prev: str) -> str:
    """Return the hash of a link."""
    return digest_of({"seq": seq, "kind": kind, "ref": ref, "at": at, "commitment": commitment, "prev": prev})


def govern(tx: WriteTx, kind: str, ref: str, body: Mapping[str, Any]) -> str:
    """Record the next link and return its hash."""
    seq = tx.next(COUNTER)
    prev = head_of(tx).hash if seq == 1 else tx.value("SELECT hash FROM chain WHERE seq = ?", (seq - 1,))
    if prev is None:
        raise InvalidInputError(f"link {seq - 1} of the chain is missing: run 'hw verify' before recording more.")
    salt = os.urandom(_SALT_BYTES)
    data = encode(dict(body))
    commitment = digest(salt + data)
    link = link_hash(seq=seq, kind=kind, ref=ref, at=tx.now, commitment=commitment, prev=prev)
    tx.insert("chain", seq=seq, kind=kind, ref=ref, at=tx.now, salt=salt, commitment=commitment, prev=prev, hash=link)
    tx.insert("chain_bodies", seq=seq, body=data)
    return link


def head_of(tx: Tx) -> Head:
    """Return the chain's head."""
    meta = tx.one("SELECT project, created_at FROM ledger_meta")
    assert meta is not None  # a transaction never begins without it
    last = tx.one("SELECT seq, hash, at FROM chain ORDER BY seq DESC LIMIT 1")
    if last is None:
        return Head(project=meta.project, seq=0, hash=genesis(meta.project), at=meta.created_at)
    return Head(project=meta.project, seq=last.seq, hash=last.hash, at=last.at)


def body_of(tx: Tx, seq: int) -> Any:
    """Return what a link says.

    Raises:
        NotFoundError: there is no such link, or its body was erased.
    """
    data = tx.value("SELECT body FROM chain_bodies WHERE seq = ?", (seq,))
    if data is None:
        raise NotFoundError(f"link {seq} of the chain has no body: it was erased, or there is no such link.", seq=seq)
    return msgspec.msgpack.decode(data)


def erase_body(tx: WriteTx, seq: int, why: str) -> str:
    """Erase what a link says, with its salt; the erasure is a link of its own, whose hash is returned.

    Raises:
        NotFoundError: there is no such link, or it was erased before.
    """
    if tx.execute("DELETE FROM chain_bodies WHERE seq = ?", (seq,)) != 1:
        raise NotFoundError(f"link {seq} of the chain has no body to erase.", seq=seq)
    tx.execute("UPDATE chain SET salt = NULL WHERE seq = ?", (seq,))
    return govern(tx, ERASURE, f"chain:{seq}", {"seq": seq, "why": why})


def verify_chain(tx: Tx, head: tuple[int, str] | Head | None = None) -> Iterator[Finding]:
    """Yield what is wrong with the chain: changed, missing or reordered links, and a head that no longer agrees.

    ``head`` is ``(seq, hash)`` as it was once exported and kept elsewhere. After a wrong link the next ones are still
    checked against what the table says, so each finding names the link it is about.
    """
    kept = (head.seq, head.hash) if isinstance(head, Head) else head
    project = head_of(tx).project
    expected_seq, prev, seen_head = 1, genesis(project), None
    if kept is not None and kept[0] == 0:
        seen_head = prev
    erased = {row.ref for row in tx.stream("SELECT ref FROM chain WHERE kind = ?", (ERASURE,))}
    for row in tx.stream(
        "SELECT c.seq, c.kind, c.ref, c.at, c.salt, c.commitment, c.prev, c.hash, b.body"
        " FROM chain c LEFT JOIN chain_bodies b ON b.seq = c.seq ORDER BY c.seq"
    ):
        if row.seq != expected_seq:
            yield _missing(expected_seq, row.seq - 1)
        elif row.prev != prev:
            yield _wrong(row.seq, "does not follow the link before it: one of the two was changed, moved or replaced")
        yield from _check_link(row, erased)
        if kept is not None and row.seq == kept[0]:
            seen_head = row.hash
        expected_seq, prev = row.seq + 1, row.hash
    yield from _check_end(tx, expected_seq)
    if kept is not None:
        yield from _check_head(kept, seen_head)


def _check_link(row: Row, erased: set[str]) -> Iterator[Finding]:
    made = link_hash(seq=row.seq, kind=row.kind, ref=row.ref, at=row.at, commitment=row.commitment, prev=row.prev)
    if made != row.hash:
        yield _wrong(row.seq, f"({row.kind} of {row.ref}) was changed: its hash is not that of what it says")
    said = f"({row.kind} of {row.ref})"
    if f"chain:{row.seq}" in erased:
        if row.body is not None or row.salt is not None:
            yield _wrong(row.seq, f"{said} is recorded as erased, but part of it is still there")
    elif row.body is None or row.salt is None:
        yield _wrong(row.seq, f"{said} lost its body or its salt, and no erasure is recorded")
    elif digest(bytes(row.salt) + bytes(row.body)) != row.commitment:
        yield _wrong(row.seq, f"{said} has a body that is not the one committed to")


def _check_end(tx: Tx, expected_seq: int) -> Iterator[Finding]:
    counted = tx.value("SELECT value FROM counters WHERE name = ?", (COUNTER,)) or 0
    if counted >= expected_seq:
        yield _missing(expected_seq, counted)
    elif counted < expected_seq - 1:
        yield _wrong(expected_seq - 1, f"was added past the counter, which stands at {counted}")
    stray = tx.all(
        "SELECT b.seq FROM chain_bodies b LEFT JOIN chain c ON c.seq = b.seq WHERE c.seq IS NULL ORDER BY b.seq"
    )
    for row in stray:
        yield _wrong(row.seq, "is gone, but its body is still there")


def _check_head(kept: tuple[int, str], seen: str | None) -> Iterator[Finding]:
    seq, link = kept
    if seen is None:
        yield Finding(
            kind="chain.head",
            what=f"chain:{seq}",
            message=f"the chain has no link {seq}, whose hash {link} was kept elsewhere: it was cut or replaced.",
            severity="error",
        )
    elif seen != link:
        yield Finding(
            kind="chain.head",
            what=f"chain:{seq}",
            message=f"link {seq} has the hash {seen}, but {link} was kept elsewhere: the history was rewritten.",
            severity="error",
        )


def _missing(first: int, last: int) -> Finding:
    which = f"link {first} of the chain is" if first == last else f"links {first} to {last} of the chain are"
    return Finding(kind="chain.missing", what=f"chain:{first}", message=f"{which} missing.", severity="error")


def _wrong(seq: int, said: str) -> Finding:
    return Finding(kind="chain.link", what=f"chain:{seq}", message=f"link {seq} of the chain {said}.", severity="error")
