"""How an erasure reaches artefacts of runs: one that holds something of the subject becomes a tombstone."""

from __future__ import annotations

from collections.abc import Iterator

from headwater.lake.erasing import Effect, Erasing, eraser


@eraser("artefacts")
def erase_artefacts(erasing: Erasing, act: bool) -> Iterator[Effect]:
    """Put a tombstone in the place of artefacts that hold something of the subject."""
    digest, size = erasing.tombstone
    with erasing.project.ledger.read() as tx:
        rows = tx.all("SELECT run, name, digest FROM artefacts ORDER BY run, name")
    for row in rows:
        if row.digest not in erasing.holding:
            continue
        yield Effect(store="artefacts", what=f"'{row.name}' of run:{row.run}", how="dropped")
        if act:
            with erasing.project.ledger.write() as tx:
                tx.execute(
                    "UPDATE artefacts SET digest = ?, size = ? WHERE run = ? AND name = ?",
                    (digest, size, row.run, row.name),
                )
                tx.execute("DELETE FROM edges WHERE child = ?", (f"object:{row.digest}",))
                tx.edge(f"object:{digest}", "artefact", f"run:{row.run}")
