"""Push, pull and mirror: a dataset's versions and branches from one project to another, wherever the two are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ..errors import ConflictError, RefusedError
from ..lake import Dataset, Tag, Version, describe_dataset, find_head, list_datasets, log, merge, resolve, tag
from ..lake.origins import descends_from
from ..lake.refs import MAIN
from ..lake.sending import Progress, Sent, history_of, send_versions
from ..project import Project
from .arriving import arrive
from .values import Publication

_PAGE = 1000


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What a push or pull did. ``branch`` is "" where none was to move.

    ``outcome``: moved, same (it pointed there already), ahead (the other side has more), merged, quarantined (checks
    of the receiving side failed), versions (no branch was named).
    """

    dataset: str
    version: Version
    branch: str
    outcome: str
    message: str
    versions: int
    objects: int
    bytes: int
    publication: Publication | None = None

    @property
    def arrived(self) -> bool:
        """Whether the branch holds now what was sent, or none was to move."""
        return self.outcome != "quarantined"


class Mirrored(msgspec.Struct, frozen=True, kw_only=True):
    """What a mirror did to one dataset: its branches, the tags made, and the names that only the mirror has."""

    dataset: str
    branches: tuple[Moved, ...]
    tags: tuple[str, ...]
    only_there: tuple[str, ...]
    problems: tuple[str, ...]
    versions: int
    objects: int
    bytes: int


def move(
    source: Project,
    target: Project,
    ref: str,
    *,
    as_branch: str | None = None,
    merging: bool = False,
    progress: Progress | None = None,
) -> Moved:
    """Bring the version that a ref of ``source`` names, with its history, to ``target``, and move its branch there.

    A ref of a branch (``flights@main``, ``flights``) moves the branch of that name, or ``as_branch``. A ref of a
    version (``flights@v3``, a tag, an id) moves none unless ``as_branch`` names one. Where the target's branch has
    what this version lacks, nothing is sent and an error says so, unless ``merging``: then the two lines are merged
    over there. A protected branch there demands its own checks; a quarantined version stays in quarantine.

    Raises:
        ConflictError: the branches have diverged, or the target's moved meanwhile.
        NotPublishableError: the version waits in quarantine.
        NotFoundError: the ref names nothing.
    """
    version = resolve(source, ref)
    branch = as_branch or _branch_named(source, version.dataset, ref)
    head = find_head(target, version.dataset, branch) if branch else None
    history = history_of(source, version.id)
    diverged = (
        head is not None
        and all(each.id != head.id for each in history)
        and not descends_from(target, head.id, version.id)  # else the target has it, and went on
    )
    if head is not None and diverged and not merging:
        raise _diverged(source, target, version, head, branch)
    about = describe_dataset(source, version.dataset)
    sent = send_versions(source, target, history, description=about.description, progress=progress)
    there = resolve(target, version.id)
    if not branch:
        text = f"{there.ref} is in '{target.name}'; no branch was to move"
        return _moved(there, "", "versions", text, sent)
    if head is not None and head.id == version.id:
        text = f"branch '{branch}' of '{version.dataset}' in '{target.name}' points to {there.ref} already"
        return _moved(there, branch, "same", text, sent)
    if head is not None and diverged:
        text = f"merge {there.ref} from {source.name}"
        joined = merge(target, version.dataset, version.id, branch, message=text)
        published = arrive(target, version.dataset, joined.id, branch, expected=head.id)
        return _published(published, target, "merged", sent)
    why = f"from {source.name}" + (f": {version.message}" if version.message else "")
    published = arrive(target, version.dataset, version.id, branch, expected=head.id if head else None, why=why)
    return _published(published, target, "moved" if published.version.id == version.id else "ahead", sent)


def _published(published: Publication, target: Project, outcome: str, sent: Sent) -> Moved:
    said = outcome if published.published else "quarantined"
    text = published.message + (f" in '{target.name}'" if said in ("moved", "merged") else "")
    return _moved(published.version, published.branch, said, text, sent, published)


def _moved(
    version: Version, branch: str, outcome: str, message: str, sent: Sent, publication: Publication | None = None
) -> Moved:
    return Moved(
        dataset=version.dataset,
        version=version,
        branch=branch,
        outcome=outcome,
        message=message,
        versions=len(sent.versions),
        objects=sent.objects,
        bytes=sent.bytes,
        publication=publication,
    )


def _branch_named(project: Project, dataset: str, ref: str) -> str:
    """Return the branch that a ref names, "" where it names a version in another way."""
    name = ref.partition("@")[2] or MAIN
    if "@" not in ref and ref != dataset:
        return ""  # a bare id
    return name if any(branch.name == name for branch in describe_dataset(project, dataset).branches) else ""


def _diverged(source: Project, target: Project, version: Version, head: Version, branch: str) -> ConflictError:
    return ConflictError(
        f"'{branch}' of '{version.dataset}' in '{target.name}' is {head.ref} there ({head.message or 'no message'}, by "
        f"{head.author}), which {version.ref} of '{source.name}' does not contain: the two have diverged. Nothing was "
        "sent. Join them with --merge, or keep both with --as-branch NAME.",
        dataset=version.dataset,
        branch=branch,
        head=head.id,
        version=version.id,
    )


def mirror(
    source: Project, target: Project, datasets: Sequence[str] = (), *, progress: Progress | None = None
) -> list[Mirrored]:
    """Bring datasets (none named: all) to ``target``: every version, branch and tag; what it has besides stays.

    A branch that cannot follow (diverged, quarantined, a tag that names another version there) is told among the
    ``problems`` of its dataset, and the others go on.

    Raises:
        NotFoundError: a dataset that was named does not exist.
    """
    names = list(datasets) or list(_dataset_names(source))
    return [_mirror_one(source, target, name, progress) for name in names]


def _dataset_names(project: Project) -> Iterator[str]:
    last = ""
    while page := list_datasets(project, last):
        yield from (each.name for each in page)
        last = page[-1].name


def _all_versions(project: Project, dataset: str) -> list[Version]:
    """Return every version of a dataset, those on no branch too, parents before children."""
    found: list[Version] = []
    while page := log(project, dataset, limit=_PAGE, before=found[-1].id if found else None):
        found += page
    return found[::-1]


def _mirror_one(source: Project, target: Project, dataset: str, progress: Progress | None) -> Mirrored:
    about = describe_dataset(source, dataset)
    versions = _all_versions(source, dataset)
    sent = send_versions(source, target, versions, description=about.description, progress=progress)
    branches: list[Moved] = []
    problems: list[str] = []
    for branch in about.branches:
        try:
            moved = move(source, target, branch.version, as_branch=branch.name)
        except (ConflictError, RefusedError) as error:
            problems.append(error.message)
            continue
        branches.append(moved)
        problems += [] if moved.outcome in ("moved", "same") else [moved.message]
    there = describe_dataset(target, dataset)
    tags = [each.name for each in about.tags if _mirror_tag(source, target, there, each, problems)]
    ours = set(_names_of(about))
    return Mirrored(
        dataset=dataset,
        branches=tuple(branches),
        tags=tuple(tags),
        only_there=tuple(name for name in _names_of(there) if name not in ours),
        problems=tuple(problems),
        versions=len(sent.versions),
        objects=sent.objects,
        bytes=sent.bytes,
    )


def _names_of(dataset: Dataset) -> list[str]:
    return [*(branch.name for branch in dataset.branches), *(each.name for each in dataset.tags)]


def _mirror_tag(source: Project, target: Project, there: Dataset, wanted: Tag, problems: list[str]) -> bool:
    """Make a tag over there; False where it is there already, or where it names another version."""
    known = {each.name: each.version for each in there.tags}
    if wanted.name not in known:
        tag(target, wanted.dataset, wanted.name, wanted.version, why=f"from {source.name}")
        return True
    if known[wanted.name] != wanted.version:
        problems.append(
            f"tag '{wanted.name}' of '{wanted.dataset}' names another version in '{target.name}'; a tag does not move"
        )
    return False
