"""Branches move, tags do not; a protected branch moves only to a version with a passing verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ConflictError, InvalidInputError, NotFoundError, RefusedError
from ..ids import is_id
from ..operation import operation
from ..project import Project
from .collecting import require_kept
from .declared import is_protected, require_publishable
from .names import check_dataset_name, check_pointer_name
from .refs import MAIN, find_version, get_version, require_dataset
from .values import Branch, Tag, Version

if TYPE_CHECKING:
    from ..ledger import Tx, WriteTx


@operation("data.branch.set", needs="data:write")
def set_branch(
    project: Project, dataset: str, name: str, version: str, *, expected: str | None, why: str = ""
) -> Branch:
    """Move a branch to a version, if it still points where the caller last saw it.

    ``version`` is an id, a ref, or what follows the ``@`` of one; ``expected`` is an id, None where the branch does
    not exist yet. Moving a protected branch becomes a link of the governance chain.

    Raises:
        ConflictError: somebody else moved it since; carries where it points now.
        NotPublishableError: the branch is protected and a passing verdict is missing.
        NotFoundError: there is no such dataset or version.
        InvalidInputError: the name cannot name a branch, or the version is of another dataset.
    """
    with project.ledger.write() as tx:
        chosen = pick_version(tx, dataset, version)
        return move_branch(tx, project, name, chosen, expected=expected, why=why)


def move_branch(
    tx: WriteTx, project: Project, name: str, version: Version, *, expected: str | None, why: str = ""
) -> Branch:
    """Do what ``set_branch`` says inside a transaction that the caller holds."""
    dataset = version.dataset
    check_pointer_name(name, "branch")
    if tx.pointer("tag", f"{dataset}/{name}") is not None:
        raise ConflictError(f"'{name}' of '{dataset}' is a tag, so no branch can have that name. Choose another.")
    # Who chose the version looked in another transaction: it may have been collected while its checks ran.
    require_kept(tx, [version.id])
    protected = is_protected(tx, project, dataset, name)
    if protected:
        require_publishable(tx, project, name, version)
    tx.move_pointer("branch", f"{dataset}/{name}", expected=expected, new=version.id, why=why, by=project.actor.name)
    if protected:
        tx.govern(
            "publish",
            f"version:{version.id}",
            {
                "dataset": dataset,
                "branch": name,
                "before": expected or "",
                "by": project.actor.name,
                "claimed": project.actor.claimed,
                "why": why,
            },
        )
    tx.announce("branch", f"branch:{dataset}/{name}")
    return Branch(dataset=dataset, name=name, version=version.id, number=version.number, protected=protected)


def pick_version(tx: Tx, dataset: str, text: str) -> Version:
    """Return a version of a dataset by id, ref, or what follows the ``@`` of a ref."""
    bare = text.removeprefix("version:")
    version = find_version(tx, bare if "@" in bare or is_id(bare) else f"{dataset}@{bare}")
    if version.dataset != dataset:
        raise InvalidInputError(f"{version.ref} is not a version of '{dataset}'. Give one of its own.", version=text)
    require_kept(tx, [version.id])
    return version


@operation("data.branch.create", needs="data:write")
def create_branch(project: Project, dataset: str, name: str, at: str = MAIN) -> Branch:
    """Make a branch that points to a version (an id, a ref, or what follows its ``@``).

    Raises:
        ConflictError: there is a branch or tag of that name.
        NotFoundError: there is no such dataset or version.
    """
    with project.ledger.write() as tx:
        require_dataset(tx, dataset)
        if tx.pointer("branch", f"{dataset}/{name}") is not None:
            raise ConflictError(
                f"'{dataset}' has a branch '{name}' already. Read it as {dataset}@{name}, or choose another name."
            )
        return move_branch(tx, project, name, pick_version(tx, dataset, at), expected=None, why="created")


@operation("data.branch.delete", needs="data:write")
def delete_branch(project: Project, dataset: str, name: str, *, expected: str | None = None) -> None:
    """Remove a branch's name; the versions stay. ``expected``: only if it points to this id.

    Raises:
        NotFoundError: there is no such branch.
        ConflictError: it points elsewhere than expected.
        RefusedError: the branch is protected.
    """
    with project.ledger.write() as tx:
        head = tx.pointer("branch", f"{dataset}/{name}")
        if head is None:
            raise NotFoundError(f"dataset '{dataset}' has no branch '{name}'. 'hw data show {dataset}' lists them.")
        if is_protected(tx, project, dataset, name):
            raise RefusedError(f"branch '{name}' of '{dataset}' is protected. Lift that first, then delete it.")
        tx.remove_pointer("branch", f"{dataset}/{name}", expected=expected or head, by=project.actor.name)
        tx.execute("DELETE FROM branch_settings WHERE dataset = ? AND name = ?", (dataset, name))
        tx.announce("branch", f"branch:{dataset}/{name}")


@operation("data.branch.list", needs="data:read")
def list_branches(project: Project, dataset: str) -> list[Branch]:
    """Return the branches of a dataset by name."""
    with project.ledger.read() as tx:
        require_dataset(tx, dataset)
        return branches_of(tx, project, dataset)


@operation("data.branch.head", needs="data:read")
def find_head(project: Project, dataset: str, branch: str = MAIN) -> Version | None:
    """Return the version that a branch points to, None where there is no such dataset or branch."""
    check_dataset_name(dataset)
    with project.ledger.read() as tx:
        head = tx.pointer("branch", f"{dataset}/{branch}")
        return get_version(tx, head) if head is not None else None


def branches_of(tx: Tx, project: Project, dataset: str) -> list[Branch]:
    """Return the branches of a dataset by name, read in this transaction."""
    return [
        Branch(
            dataset=dataset,
            name=name,
            version=head,
            number=number,
            protected=is_protected(tx, project, dataset, name),
        )
        for name, head, number in _named(tx, "branch", dataset)
    ]


def tags_of(tx: Tx, dataset: str) -> list[Tag]:
    """Return the tags of a dataset by name, read in this transaction."""
    return [
        Tag(dataset=dataset, name=name, version=head, number=number)
        for name, head, number in _named(tx, "tag", dataset)
    ]


def _named(tx: Tx, kind: str, dataset: str) -> list[tuple[str, str, int]]:
    found = []
    for pointer in tx.pointers(kind, f"{dataset}/"):
        number = int(tx.value("SELECT number FROM versions WHERE id = ?", (pointer.head,)))
        found.append((pointer.name.split("/", 1)[1], pointer.head, number))
    return sorted(found)


@operation("data.tag", needs="data:write")
def tag(project: Project, dataset: str, name: str, at: str = MAIN, *, why: str = "") -> Tag:
    """Give a version (an id, a ref, or what follows its ``@``) a name that does not move.

    Raises:
        ConflictError: there is a tag or branch of that name.
        InvalidInputError: the name would read as a number, a date or an id.
        NotFoundError: there is no such dataset or version.
    """
    check_pointer_name(name, "tag")
    with project.ledger.write() as tx:
        require_dataset(tx, dataset)
        version = pick_version(tx, dataset, at)
        for kind in ("branch", "tag"):
            if tx.pointer(kind, f"{dataset}/{name}") is not None:
                raise ConflictError(f"'{dataset}' has a {kind} '{name}' already; a tag does not move. Choose another.")
        tx.move_pointer("tag", f"{dataset}/{name}", expected=None, new=version.id, why=why, by=project.actor.name)
        tx.announce("tag", f"tag:{dataset}/{name}")
    return Tag(dataset=dataset, name=name, version=version.id, number=version.number)


@operation("data.tag.list", needs="data:read")
def list_tags(project: Project, dataset: str) -> list[Tag]:
    """Return the tags of a dataset by name."""
    with project.ledger.read() as tx:
        require_dataset(tx, dataset)
        return tags_of(tx, dataset)


@operation("data.branch.protect", needs="data:admin")
def protect(project: Project, dataset: str, branch: str = MAIN, on: bool = True) -> None:
    """Say whether moving a branch takes a passing verdict; a link of the governance chain.

    Raises:
        NotFoundError: there is no such dataset.
    """
    check_pointer_name(branch, "branch")
    with project.ledger.write() as tx:
        require_dataset(tx, dataset)
        tx.execute(
            "INSERT INTO branch_settings (dataset, name, protected) VALUES (?, ?, ?) "
            "ON CONFLICT (dataset, name) DO UPDATE SET protected = excluded.protected",
            (dataset, branch, int(on)),
        )
        tx.govern(
            "protect",
            f"branch:{dataset}/{branch}",
            {"protected": on, "by": project.actor.name, "claimed": project.actor.claimed},
        )
