"""PROD on a laptop: a masked, referentially whole sample of another project as a dataset of this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from ..check import Publication, publish
from ..lake import Version, find_head, iter_files
from ..lake.names import check_dataset_name
from ..lake.origins import elsewhere, record_import
from ..lake.refs import MAIN
from ..lake.sending import Progress, send_objects
from ..lake.versions import commit_with
from ..operation import operation
from ..project import Project
from .drawing import Drawn, Related, draw

if TYPE_CHECKING:
    from ..ledger import WriteTx


class Sampled(msgspec.Struct, frozen=True, kw_only=True):
    """A sample that is a dataset here: its publication, and how it was drawn."""

    publication: Publication
    drawn: Drawn

    @property
    def version(self) -> Version:
        """The version that holds the sample."""
        return self.publication.version


def sample(
    project: Project,
    source: Project,
    ref: str,
    *,
    dataset: str = "",
    rows: int = 10_000,
    by: str | None = None,
    mask: Mapping[str, str] | None = None,
    related: Sequence[Related] = (),
    seed: int = 0,
    leave: Sequence[str] = (),
    branch: str = MAIN,
    progress: Progress | None = None,
) -> Sampled:
    """Draw a masked sample in ``source`` (``draw`` says how) and publish it here as ``dataset`` (else REF-sample).

    Only the masked tables travel. The version's lineage names the other project, the head of its chain and the
    versions there. Raises as ``draw`` and ``publish`` do.
    """
    name = dataset or f"{ref.partition('@')[0]}-sample"
    check_dataset_name(name)
    drawn = draw(source, ref, rows=rows, by=by, mask=dict(mask or {}), related=related, seed=seed, leave=leave)
    if source.id != project.id:
        send_objects(source, project, [entry.digest for entry in drawn.tables], progress=progress)
    return Sampled(publication=keep_sample(project, name, drawn, branch=branch), drawn=drawn)


@operation("data.sample.keep", needs="data:write")
def keep_sample(project: Project, dataset: str, drawn: Drawn, *, branch: str = MAIN) -> Publication:
    """Publish a sample whose tables are in the store already; what the branch held before is replaced.

    Raises:
        InvalidInputError: a table's bytes are not in the store.
    """
    head = find_head(project, dataset, branch)
    here = drawn.origin.project == project.id
    wanted = {entry.path for entry in drawn.tables}
    gone = [entry.path for entry in iter_files(project, head.id) if entry.path not in wanted] if head else []

    def also(tx: WriteTx, version: Version) -> None:
        if not here:
            record_import(tx, project, version, drawn.origin, kind="sample", made_from=" ".join(drawn.versions))
            rows = [
                (f"version:{version.id}", "sampled", elsewhere(drawn.origin, f"version:{v}")) for v in drawn.versions
            ]
            tx.edges(rows)

    version = commit_with(
        project,
        dataset,
        put=drawn.tables,
        remove=gone,
        base=head.id if head else None,
        message=drawn.text,
        source=f"project:{drawn.origin.project} {drawn.text}",
        inputs=drawn.versions if here else (),
        also=also,
    )
    return publish(project, dataset, version=version.id, branch=branch)
