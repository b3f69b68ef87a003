"""How an erasure reaches remembered results: one that holds something of the subject is given up and made again."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headwater.lake.erasing import Effect, Erasing, eraser

from . import card_keeping as _cards  # noqa: F401  # registers how cards are erased
from .saving import Part

_TEXTS = ("diff", "packages")


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


@eraser("run files")
def erase_run_files(erasing: Erasing, act: bool) -> Iterator[Effect]:
    """Give up files that steps read and uncommitted changes that hold something of the subject; a tombstone stays."""
    digest, size = erasing.tombstone
    with erasing.project.ledger.read() as tx:
        files = tx.all("SELECT run, path, digest FROM run_files ORDER BY run, path")
        runs = tx.all("SELECT id, environment FROM runs ORDER BY id")
    for row in files:
        if row.digest not in erasing.holding:
            continue
        yield Effect(store="run files", what=f"'{row.path}' of run:{row.run}", how="dropped")
        if act:
            with erasing.project.ledger.write() as tx:
                tx.execute(
                    "UPDATE run_files SET digest = ?, size = ? WHERE run = ? AND path = ?",
                    (digest, size, row.run, row.path),
                )
    for row in runs:
        environment = msgspec.json.decode(row.environment, type=dict[str, str])
        found = [name for name in _TEXTS if environment.get(name) in erasing.holding]
        for name in found:
            yield Effect(store="run files", what=f"the {name} of run:{row.id}", how="dropped")
        if act and found:
            text = msgspec.json.encode(environment | dict.fromkeys(found, digest), order="sorted").decode()
            with erasing.project.ledger.write() as tx:
                tx.execute("UPDATE runs SET environment = ? WHERE id = ?", (text, row.id))
