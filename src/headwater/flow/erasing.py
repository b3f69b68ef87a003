"""How an erasure reaches remembered results: one that holds something of the subject is given up and made again."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headwater.lake.erasing import Effect, Erasing, eraser

from .saving import Part


@eraser("results")
def erase_results(erasing: Erasing, act: bool) -> Iterator[Effect]:
    """Give up results that hold something of the subject; a tombstone stands in their place."""
    digest, size = erasing.tombstone
    with erasing.project.ledger.read() as tx:
        rows = tx.all("SELECT id, step, parts FROM results ORDER BY id")
    for row in rows:
        parts = msgspec.json.decode(row.parts, type=list[Part])
        if not any((part.stored or part.digest) in erasing.holding for part in parts):
            continue
        yield Effect(store="results", what=f"result:{row.id}", how="dropped", why=f"{row.step} makes it again")
        if act:
            left = msgspec.json.encode([Part(format="json", digest=digest, size=size)]).decode()
            with erasing.project.ledger.write() as tx:
                tx.execute("UPDATE results SET broken = 1, parts = ?, output = '' WHERE id = ?", (left, row.id))
                erasing.gone(tx, f"result:{row.id}")
