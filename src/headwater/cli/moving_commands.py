"""``hw data push``, ``pull`` and ``mirror``; ``hw project copy`` and ``compare``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from .context import Context, counted, pass_context, size, table
from .lazy import LazyGroup
from .progress import file_progress

if TYPE_CHECKING:
    from headwater.check import Mirrored, Moved
    from headwater.project import LocalProject, Project
    from headwater.project.copying import Copied

_PLACE = "a folder, a URL, or a name of [places] in headwater.toml"


@contextmanager
def _both(context: Context, place: str) -> Iterator[tuple[Project, Project]]:
    """Open this project and the one at the other place."""
    from headwater.project.places import open_place

    with context.open() as here, open_place(here, place) as there:
        yield here, there


@click.command("push")
@click.argument("ref")
@click.option("--to", "place", required=True, metavar="PLACE", help=f"The other project: {_PLACE}.")
@click.option("--as-branch", metavar="NAME", help="Move this branch over there, instead of the one of the same name.")
@click.option("--merge", "merging", is_flag=True, help="Where the two have diverged, merge them over there.")
@pass_context
def push_command(context: Context, ref: str, place: str, as_branch: str | None, merging: bool) -> int:
    """Send the version that REF names, with its history, to another project, and move its branch there.

    Only what the other side lacks is sent; run it again after an interruption and it sends the rest. A protected
    branch there demands its own checks.
    """
    from headwater.check import move

    with _both(context, place) as (here, there), file_progress("sending") as progress:
        moved = move(here, there, ref, as_branch=as_branch, merging=merging, progress=progress)
    return _show(context, moved, "sent")


@click.command("pull")
@click.argument("ref")
@click.option("--from", "place", required=True, metavar="PLACE", help=f"The other project: {_PLACE}.")
@click.option("--as-branch", metavar="NAME", help="Move this branch here, instead of the one of the same name.")
@click.option("--merge", "merging", is_flag=True, help="Where the two have diverged, merge them here.")
@pass_context
def pull_command(context: Context, ref: str, place: str, as_branch: str | None, merging: bool) -> int:
    """Fetch the version that REF names in another project, with its history, and move its branch here."""
    from headwater.check import move

    with _both(context, place) as (here, there), file_progress("fetching") as progress:
        moved = move(there, here, ref, as_branch=as_branch, merging=merging, progress=progress)
    return _show(context, moved, "fetched")


@click.command("mirror")
@click.argument("datasets", nargs=-1)
@click.option("--to", metavar="PLACE", help="Make that project hold what this one holds.")
@click.option("--from", "origin", metavar="PLACE", help="Make this project hold what that one holds.")
@pass_context
def mirror_command(context: Context, datasets: tuple[str, ...], to: str | None, origin: str | None) -> int:
    """Bring DATASETS (none named: all) with every version, branch and tag from one project to another."""
    from headwater.check import mirror

    if (to is None) == (origin is None):
        raise click.UsageError("give --to PLACE or --from PLACE, one of the two.")
    with _both(context, to or origin or "") as (here, there), file_progress("mirroring") as progress:
        source, target = (here, there) if to is not None else (there, here)
        found = mirror(source, target, datasets, progress=progress)
    context.show(found, lambda: _mirrored(found))
    return 1 if any(each.problems for each in found) else 0


@click.command("merge")
@click.argument("runs", nargs=-1)
@click.option("--from", "folder", required=True, metavar="FOLDER", help="The project in which they were made.")
@click.option("--filter", "-f", "condition", default="", help="All runs that this holds for; default: every run.")
@pass_context
def merge_runs_command(context: Context, runs: tuple[str, ...], folder: str, condition: str) -> None:
    """Bring RUNS of the project in FOLDER to this one: parameters, metrics, logs, files, results, the data they read.

    Ids, times and authors stay. Run it again after an interruption, or later: what is here is passed over. A run that
    is under way is left for the next time.
    """
    from headwater.trace.carrying import merge_runs

    with _both(context, folder) as (here, there), file_progress("merging runs") as progress:
        tell = None if progress is None else (lambda done, of: progress(done, of, 0))
        found = merge_runs(there, here, list(runs), filter=condition, progress=tell)

    def render() -> str:
        lines = [
            f"{counted(len(found.runs), 'run')} merged, {len(found.known):,} known already; "
            f"{found.versions:,} versions, {found.objects:,} objects, {size(found.bytes)} sent"
        ]
        lines += [f"{run} is under way: merge again when it has ended" for run in found.under_way]
        return "\n".join(lines)

    context.show(found, render)


def _show(context: Context, moved: Moved, verb: str) -> int:
    context.show(
        moved,
        lambda: f"{moved.message}\n{verb} {moved.versions:,} versions, {moved.objects:,} objects, {size(moved.bytes)}",
    )
    return 0 if moved.arrived else 1


def _mirrored(found: list[Mirrored]) -> str:
    rows = [
        (each.dataset, each.versions, each.objects, size(each.bytes), ", ".join(f"{b.branch}" for b in each.branches),
         ", ".join(each.tags), ", ".join(each.only_there))
        for each in found
    ]  # fmt: skip
    head = ("dataset", "new versions", "objects", "size", "branches", "new tags", "only there")
    problems = [click.style(text, fg="yellow") for each in found for text in each.problems]
    return "\n".join([table(head, rows, right=(1, 2, 3)), *problems])


@click.group("project", cls=LazyGroup)
def project_group() -> None:
    """Whole projects: copy one to other stores, compare two."""


@project_group.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("to", metavar="TO")
@click.option("--ledger", metavar="URL", help="Where the copy's ledger is to be: postgresql://..., or env:NAME.")
@click.option("--objects", metavar="URL", help="Where its objects are to be: s3://BUCKET/PREFIX, or env:NAME.")
@click.option("--verify", is_flag=True, help="Afterwards compare every row, event and pack of the two.")
@pass_context
def copy_command(context: Context, source: str, to: str, ledger: str | None, objects: str | None, verify: bool) -> int:
    """Copy the project of folder FROM, ids and history and all, to folder TO and its stores, which must be empty.

    Without --ledger and --objects the stores are those that TO's own headwater.toml names, else files in TO. Nobody
    may write to FROM meanwhile. After an interruption run it again: what was copied is passed over.
    """
    from headwater.project.copying import copy_project

    with _folder(source, context) as project:
        with file_progress("copying packs") as progress:
            copied = copy_project(project, to, ledger=ledger, objects=objects, progress=progress)
        if not verify:
            context.show(copied, lambda: _copied(copied, to))
            return 0
        with _folder(to, context) as made:
            return _compare(context, project, made, _copied(copied, to))


@project_group.command("compare")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@pass_context
def compare_command(context: Context, a: str, b: str) -> int:
    """Compare every row, event and pack of the projects in folders A and B; exit 1 where something differs."""
    with _folder(a, context) as ours, _folder(b, context) as theirs:
        return _compare(context, ours, theirs, "")


@contextmanager
def _folder(place: str, context: Context) -> Iterator[LocalProject]:
    """Open a project by its folder; a server's cannot be copied from afar."""
    import headwater.trace  # noqa: F401  # its rooms declare the streams of events
    from headwater.errors import InvalidInputError
    from headwater.project import LocalProject, open_project

    with open_project(place, actor=context.actor) as project:
        if not isinstance(project, LocalProject):
            raise InvalidInputError(
                f"'{place}' is a server: a whole project is copied where its stores are reached. Run it there, or take "
                "datasets with 'hw data mirror --from'."
            )
        yield project


def _copied(copied: Copied, to: str) -> str:
    rows = sum(copied.tables.values())
    return (
        f"'{copied.name}' is in {to}: {rows:,} rows of {len(copied.tables)} tables, {copied.packs:,} packs "
        f"({size(copied.bytes)} copied now), {copied.events:,} open events; chain {copied.head_seq}:{copied.head_hash}"
    )


def _compare(context: Context, a: LocalProject, b: LocalProject, before: str) -> int:
    from headwater.project.comparing import compare_projects

    found = compare_projects(a, b)

    def render() -> str:
        lines = [before] if before else []
        lines += [click.style(each.message, fg="red") for each in found.differences]
        if found.same:
            lines.append(
                f"the same: {sum(found.tables.values()):,} rows of {len(found.tables)} tables, {found.packs:,} packs, "
                f"{sum(found.events.values()):,} events, chain {found.head_seq}:{found.head_hash}"
            )
        return "\n".join(lines)

    context.show(found, render)
    return 0 if found.same else 1
