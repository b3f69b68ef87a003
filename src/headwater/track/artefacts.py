"""Artefacts: files that a run leaves, kept as objects under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.errors import InvalidInputError, NotFoundError
from headwater.operation import operation

from .params import check_key
from .runs import artefact_of
from .values import Artefact

if TYPE_CHECKING:
    from headwater.project import Project


@operation("run.artefact", needs="run:write")
def add_artefact(project: Project, run: str, name: str, digest: str, media: str = "") -> Artefact:
    """Name an object as an artefact of a run; the same name again replaces it.

    Raises:
        NotFoundError: there is no such run.
        InvalidInputError: the object's bytes are not in the store, or the name cannot be kept.
    """
    check_key(name)
    if not project.objects.has(digest):
        raise InvalidInputError(f"the bytes of artefact '{name}' are not in the store. Put them first.", digest=digest)
    size = project.objects.size(digest)
    with project.ledger.write() as tx:
        if tx.one("SELECT id FROM runs WHERE id = ?", (run,)) is None:
            raise NotFoundError(f"there is no run {run}. 'hw run list' shows those there are.", run=run)
        project.objects.require([digest])
        tx.execute(
            "INSERT INTO artefacts (run, name, digest, size, media, recorded_at) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (run, name) DO UPDATE SET digest = excluded.digest, size = excluded.size, "
            "media = excluded.media, recorded_at = excluded.recorded_at",
            (run, name, digest, size, media, tx.now),
        )
        tx.edge(f"object:{digest}", "artefact", f"run:{run}")
        return Artefact(run=run, name=name, digest=digest, size=size, media=media, recorded_at=tx.now)


@operation("run.artefacts", needs="run:read")
def list_artefacts(project: Project, run: str) -> list[Artefact]:
    """Return the artefacts of a run by name."""
    with project.ledger.read() as tx:
        rows = tx.all("SELECT * FROM artefacts WHERE run = ? ORDER BY name", (run.removeprefix("run:"),))
    return [artefact_of(row) for row in rows]
