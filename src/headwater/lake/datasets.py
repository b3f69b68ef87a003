"""Datasets: which there are, and what is said of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import InvalidInputError
from ..operation import operation
from ..project import Project
from .branches import branches_of, tags_of
from .refs import MAIN, require_dataset, versions_where
from .values import Dataset

if TYPE_CHECKING:
    from ..ledger import Tx

_COLUMNS = "SELECT name, description, created_at, created_by, versions FROM datasets"


@operation("data.list", needs="data:read")
def list_datasets(project: Project, after: str = "", limit: int = 1000) -> list[Dataset]:
    """Return datasets by name, those beyond ``after``, at most ``limit`` of them."""
    with project.ledger.read() as tx:
        rows = tx.all(f"{_COLUMNS} WHERE name > ? ORDER BY name LIMIT ?", (after, limit))
        return [_dataset(tx, project, row) for row in rows]


@operation("data.describe", needs="data:read")
def describe_dataset(project: Project, dataset: str) -> Dataset:
    """Return what is known of a dataset: description, newest version, head, branches and tags.

    Raises:
        NotFoundError: there is no such dataset.
    """
    with project.ledger.read() as tx:
        require_dataset(tx, dataset)
        return _dataset(tx, project, tx.one(f"{_COLUMNS} WHERE name = ?", (dataset,)))


@operation("data.set_description", needs="data:write")
def set_description(project: Project, dataset: str, description: str) -> Dataset:
    """Set the text that says what a dataset is, at most 10,000 characters.

    Raises:
        NotFoundError: there is no such dataset.
        InvalidInputError: the text is too long.
    """
    if len(description) > 10_000:
        raise InvalidInputError(f"a description holds at most 10,000 characters, not {len(description):,}.")
    with project.ledger.write() as tx:
        require_dataset(tx, dataset)
        tx.execute("UPDATE datasets SET description = ? WHERE name = ?", (description, dataset))
        return _dataset(tx, project, tx.one(f"{_COLUMNS} WHERE name = ?", (dataset,)))


def _dataset(tx: Tx, project: Project, row: Any) -> Dataset:
    latest = versions_where(tx, "dataset = ? AND number = ?", (row.name, row.versions))
    branches = branches_of(tx, project, row.name)
    heads = [branch.version for branch in branches if branch.name == MAIN]
    return Dataset(
        name=row.name,
        description=row.description,
        created_at=row.created_at,
        created_by=row.created_by,
        versions=row.versions,
        latest=latest[0] if latest else None,
        head=versions_where(tx, "id = ?", (heads[0],))[0] if heads else None,
        branches=tuple(branches),
        tags=tuple(tags_of(tx, row.name)),
    )
