"""Taking packs into the index: footers read at the packs' ends, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from headwater.errors import CorruptError

from .backend import Backend, PackMissing
from .index import Index
from .packs import Footer, parse_tail
from .values import PackRecord

_TAIL = 2**16  # holds the footer of a thousand entries: one read for most packs
_AT_ONCE = 32


def footer_of(backend: Backend, pack: str, size: int) -> Footer:
    """Return a pack's footer, read from the end and verified against the id.

    Raises:
        PackMissing: there is no such pack.
        CorruptError: the pack is cut short, or its footer is not what the id says.
    """
    length = min(_TAIL, size)
    found = parse_tail(backend.read(pack, size - length, length), pack, size)
    if isinstance(found, int):
        found = parse_tail(backend.read(pack, size - found, found), pack, size)
    if isinstance(found, int):
        raise CorruptError(f"pack {pack} changed while it was read: run it again.", pack=pack)
    return found


def take_in(
    index: Index,
    backend: Backend,
    packs_since: Callable[[int], Iterable[PackRecord]],
    *,
    whole: bool,
    recorded: bool = True,
) -> None:
    """Add the listed packs that the index does not know; ``recorded`` tells whether the list is the ledger's.

    A pack that is missing or damaged is left out here: reading what it held, and ``verify``, tell so.
    """
    known: set[str] = set()
    last = 0
    listed = iter(packs_since(0 if whole else index.seq))
    while group := list(islice(listed, _AT_ONCE)):
        known = known or index.known()
        last = max(last, *(record.seq for record in group))
        new = [record for record in group if record.id not in known]
        for record, footer in zip(new, _footers(backend, new), strict=True):
            if footer is not None:
                index.add(_complete(record, footer), footer, recorded=recorded)
        if recorded:
            index.mark_recorded([record.id for record in group if record.id in known])
    if last:
        index.follow(last)


def _footers(backend: Backend, records: list[PackRecord]) -> list[Footer | None]:
    if not backend.remote or len(records) < 2:
        return [_try_footer(backend, record) for record in records]
    from concurrent.futures import ThreadPoolExecutor

    # Threads of its own: those of the store may be waiting for what is being taken in here.
    with ThreadPoolExecutor(8, thread_name_prefix="headwater-footers") as pool:
        return list(pool.map(lambda record: _try_footer(backend, record), records))


def _try_footer(backend: Backend, record: PackRecord) -> Footer | None:
    try:
        return footer_of(backend, record.id, record.size)
    except (PackMissing, CorruptError):
        return None


def _complete(record: PackRecord, footer: Footer) -> PackRecord:
    if record.entries:
        return record
    return PackRecord(
        id=record.id,
        size=record.size,
        entries=footer.count,
        footer_digest=record.footer_digest,
        created_at=record.created_at,
        seq=record.seq,
    )
