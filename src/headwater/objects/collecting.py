"""What is alive in the store, and giving up the rest: rooms say what they hold, packs are dropped or written anew.

A room that keeps digests in the ledger registers a holder when it is imported. A digest that stands in a column of
the ledger for which no holder speaks is kept as well: forgetting to register costs space, never bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from headwater.errors import CorruptError

from . import values
from .backend import PackMissing
from .packs import Footer
from .reading import corrupt, matches
from .taking import footer_of
from .values import CHUNKED, Location, PackRecord
from .writer import NewEntry, PackWriter

if TYPE_CHECKING:
    from .store import ObjectStore

MOSTLY_DEAD = 0.5
"""A pack is written anew when less than this share of its bytes is alive."""


class Mark:
    """What was found alive, each digest with the first reason given; and what may go, with what it was.

    ``pinned`` are refs (``version:...``, ``run:...``) that a room above wants kept, by reason: rooms below ask it.
    ``costs`` are the seconds that making again takes of what was chosen to go, by ref; ``notes`` are sentences for
    the report.
    """

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.alive: dict[bytes, int] = {}
        self.pinned: dict[str, str] = {}
        self.costs: dict[str, float] = {}
        self.notes: list[str] = []
        self.freed: dict[bytes, int] = {}
        self.going: list[tuple[str, str]] = []
        self._numbers: dict[str, int] = {}

    def keep(self, digests: Iterable[str], why: str) -> None:
        """Keep objects; ``why`` is a short phrase that a report sums them under."""
        number = self._number(why)
        for digest in digests:
            self.alive.setdefault(bytes.fromhex(digest), number)

    def holds(self, digest: str) -> bool:
        """Tell whether an object was kept."""
        return bytes.fromhex(digest) in self.alive

    def pin(self, refs: Iterable[str], why: str) -> None:
        """Ask that what these refs name be kept."""
        for ref in refs:
            self.pinned.setdefault(ref, why)

    def free(self, ref: str, why: str, digests: Iterable[str]) -> None:
        """Say that ``ref`` need not be kept any longer, and which objects that concerns if nothing else holds them."""
        self.going.append((ref, why))
        for digest in digests:
            self.freed.setdefault(bytes.fromhex(digest), len(self.going) - 1)

    def _number(self, why: str) -> int:
        if why not in self._numbers:
            self._numbers[why] = len(self.reasons)
            self.reasons.append(why)
        return self._numbers[why]


class Holder(NamedTuple):
    """A room's answer to what it holds. ``floor`` orders them: those above come first, since they pin what is below.

    ``speaks_for`` are the columns of the ledger (``table.column``, or ``table`` for all) that it looks after.
    """

    name: str
    floor: int
    speaks_for: frozenset[str]
    mark: Callable[[Any, Any, Mark], None]


HOLDERS: dict[str, Holder] = {}


def holder(
    name: str, *, floor: int, speaks_for: Sequence[str] = ()
) -> Callable[[Callable[[Any, Any, Mark], None]], Callable[[Any, Any, Mark], None]]:
    """Register a function of (a plan with project and times, a ledger transaction, the mark) as a room's holder."""

    def register(mark: Callable[[Any, Any, Mark], None]) -> Callable[[Any, Any, Mark], None]:
        HOLDERS[name] = Holder(name, floor, frozenset(speaks_for), mark)
        return mark

    return register


def keep_chunks(store: ObjectStore, mark: Mark) -> None:
    """Keep the chunks of every large object that is alive."""
    for digest, location in store.index.chunked():
        if digest in mark.alive:
            why = mark.alive[digest]
            for chunk in store.reader.chunks(digest, location):
                mark.alive.setdefault(chunk.digest, why)
        elif digest in mark.freed:
            try:
                chunks = store.reader.chunks(digest, location)
            except CorruptError:
                continue
            for chunk in chunks:
                mark.freed.setdefault(chunk.digest, mark.freed[digest])


class PackPlan(NamedTuple):
    """What is to become of a pack: ``do`` is keep, drop or rewrite. ``dead`` are entries that nothing needs."""

    record: PackRecord
    do: str
    alive: list[tuple[bytes, Location]]
    dead: list[tuple[bytes, Location]]

    @property
    def dead_bytes(self) -> int:
        """The bytes of the dead entries."""
        return sum(location.length for _, location in self.dead)


def plan_packs(
    store: ObjectStore, records: Iterable[PackRecord], alive: Callable[[bytes], bool], share: float = MOSTLY_DEAD
) -> Iterator[PackPlan]:
    """Yield what to do with each pack; one that is missing or damaged is left to ``verify`` and not yielded."""
    for record in records:
        try:
            footer: Footer = footer_of(store.backend, record.id, record.size)
        except (PackMissing, CorruptError):
            continue
        living: list[tuple[bytes, Location]] = []
        dead: list[tuple[bytes, Location]] = []
        for digest, location in footer.locations(record.id):
            (living if alive(digest) else dead).append((digest, location))
        held = sum(location.length for _, location in living)
        lost = sum(location.length for _, location in dead)
        if not dead:
            do = "keep"
        elif not living:
            do = "drop"
        else:
            do = "rewrite" if held < share * (held + lost) else "keep"
        yield PackPlan(record, do, living, dead)


def rewrite(store: ObjectStore, plans: Iterable[PackPlan]) -> list[PackWriter]:
    """Write the living entries of packs into new ones, verified, durable and named; no fact lists them yet.

    Raises:
        CorruptError: a living entry is damaged; its pack must stay as it is.
    """
    made: list[PackWriter] = []
    writer: PackWriter | None = None
    seen: set[bytes] = set()
    for plan in plans:
        for digest, location in sorted(plan.alive, key=lambda item: item[1].offset):
            if digest in seen:
                continue
            seen.add(digest)
            body = store.backend.read(location.pack, location.offset, location.length)
            if not matches(digest, location, body):
                raise corrupt(digest, location)
            if writer is not None and writer.size + len(body) > values.PACK_BYTES:
                made.append(_finish(writer))
                writer = None
            if writer is None:
                writer = PackWriter(store.backend, store.was_dropped)
            check = location.check if location.kind == CHUNKED else None
            writer.append([NewEntry(digest, body, location.size, location.kind, check)])
    if writer is not None:
        made.append(_finish(writer))
    return made


def _finish(writer: PackWriter) -> PackWriter:
    try:
        writer.close()
        writer.stage()
        writer.publish()
    finally:
        writer.abandon()
    return writer


def delete_pack(store: ObjectStore, pack: str) -> int:
    """Remove a pack that no fact lists, from its place and from the local index; returns the bytes it had."""
    size = store.backend.size(pack) or 0
    store.backend.delete(pack)
    store.forget_pack(pack)
    return size
