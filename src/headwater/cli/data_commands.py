"""``hw data``: datasets, versions, branches and tags."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import click

from .context import Context, contents, pass_context, size, table, when
from .lazy import LazyGroup
from .progress import file_progress
from .refs import DATASET, REF

if TYPE_CHECKING:
    from headwater.lake import Version
    from headwater.lake.previewing import Preview

# Commands that have their own files, in the order in which the help shows them.
ELSEWHERE: dict[str, tuple[str, str]] = {
    "status": ("working_commands:status_command", "What differs in a folder, or waits in the project."),
    "checkout": ("working_commands:checkout_command", "Put a version into a folder, and work in it."),
    "forget": ("working_commands:forget_command", "Keep a folder no longer as a working folder."),
    "ls": ("editing_commands:ls_command", "The files and folders in a folder of a version."),
    "rm": ("editing_commands:rm_command", "A new version without some files."),
    "mv": ("editing_commands:mv_command", "A new version with files elsewhere."),
    "read": ("reading_commands:read_command", "Show rows of a version's tables, or the bytes of a file."),
    "diff": ("reading_commands:diff_command", "What differs between two versions: paths, columns, rows by key."),
    "log": ("reading_commands:log_command", "The versions of a dataset, by branch, author, date or path."),
    "split": ("split_commands:split_command", "Parts to train, validate and test on, checked for leakage."),
    "leakage": ("split_commands:leakage_command", "Whether the parts of a split know of each other."),
    "search": ("catalogue_commands:search_command", "Find datasets by names, columns, descriptions, tags."),
    "columns": ("catalogue_commands:columns_command", "The columns of a version, and what is said of them."),
    "describe": ("catalogue_commands:describe_command", "Show or say what a dataset or a column is."),
    "usage": ("catalogue_commands:usage_command", "Who read which version; what each version adds in space."),
    "push": ("moving_commands:push_command", "Send a version to another project: what it lacks, no more."),
    "pull": ("moving_commands:pull_command", "Fetch a version from another project."),
    "mirror": ("moving_commands:mirror_command", "Bring whole datasets from one project to another."),
    "sample": ("making_commands:sample_command", "A masked sample of PROD as a dataset of this project."),
    "simulate": ("making_commands:simulate_command", "Make rows from a declared theory."),
    "collect": ("space_commands:collect_command", "What nothing needs any longer; --yes frees it."),
    "delete": ("space_commands:delete_command", "Decide that the bytes of a version or dataset may go."),
    "hold": ("space_commands:hold_command", "Keep a version or what a run used, until released."),
    "erase": ("space_commands:erase_command", "Erase a subject from every version and all that came of it."),
    "accept-loss": ("space_commands:accept_loss_command", "Write packs off that no backup brings back."),
    "find": ("space_commands:find_command", "Search everything for a text."),
}


@click.group(cls=LazyGroup, lazy=ELSEWHERE)
def data() -> None:
    """Datasets. A ref names a version: flights, flights@main, flights@v12, flights@2026-11-01, flights@TAG.

    'checkout' brings a version into a folder, 'pull' brings a dataset from another project; 'hw ingest pull' reads a
    source from outside.
    """


@data.command("list")
@pass_context
def list_command(context: Context) -> None:
    """Show the datasets."""
    from headwater.lake import list_datasets

    with context.open() as project:
        found = list_datasets(project)
    context.show(
        found,
        lambda: table(
            ("dataset", "versions", "main", "rows", "files", "size", "changed"),
            [
                (
                    d.name,
                    d.versions,
                    f"v{d.head.number}" if d.head else "–",
                    d.head.rows if d.head else None,
                    d.head.files if d.head else None,
                    size(d.head.bytes) if d.head else "",
                    when(d.latest.created_at) if d.latest else "",
                )
                for d in found
            ],
            right=(1, 3, 4, 5),
        ),
    )


@data.command("add")
@click.argument("dataset", type=DATASET)
@click.argument("paths", nargs=-1, required=True)
@click.option("--message", "-m", default="", help="What changed, for those who read the log.")
@click.option(
    "--under", help="Put the files under this folder of the dataset; default: where a checked-out folder is from."
)
@click.option("--source", help="Where they came from; default: the paths.")
@click.option("--branch", default="main", show_default=True)
@click.option("--mirror", is_flag=True, help="Also remove what is there and was not given.")
@click.option("--name", help="What '-' (standard input) is called in the dataset.")
@click.option("--dry-run", is_flag=True, help="Only tell what would change on BRANCH; nothing is put.")
@pass_context
def add(
    context: Context,
    dataset: str,
    paths: tuple[str, ...],
    message: str,
    under: str | None,
    source: str | None,
    branch: str,
    mirror: bool,
    name: str | None,
    dry_run: bool,
) -> int:
    """Add files, folders or patterns as a new version; its checks run, and BRANCH moves when they pass.

    The path '-' is standard input, a single file of any size, which --name gives its name. A folder's
    .headwaterignore names files to leave out, as .gitignore does.
    """
    from headwater.check import publish
    from headwater.lake import add_files
    from headwater.lake.previewing import preview_files
    from headwater.lake.working import published as note_published
    from headwater.lake.working import under_of

    from .check_commands import show_publication
    from .streaming import add_standard_input

    if name is not None and paths != ("-",):
        raise click.UsageError("--name goes with '-' (standard input) as the only path.")
    if dry_run and "-" in paths:
        raise click.UsageError("--dry-run cannot read standard input: it would be gone afterwards.")
    with context.open() as project:
        if paths == ("-",):
            published = add_standard_input(
                project, dataset, name=name, under=under or "", message=message, source=source, branch=branch
            )
            return show_publication(context, published)
        if under is None:
            under = under_of(project, dataset, paths[0]) if len(paths) == 1 else ""
        if dry_run:
            found = preview_files(project, dataset, paths, under=under, branch=branch, mirror=mirror)
            return _previewed(context, found)
        with file_progress("adding") as progress:
            version = add_files(
                project,
                dataset,
                paths,
                under=under,
                message=message,
                source=source,
                branch=branch,
                mirror=mirror,
                remember=True,
                progress=progress,
            )
        published = publish(project, dataset, version=version.id, branch=branch, merge=True)
        if published.published and len(paths) == 1:
            note_published(project, paths[0])
    return show_publication(context, published, _joined(version, published.version, branch, paths))


def _previewed(context: Context, found: Preview) -> int:
    from .working_commands import listed

    def render() -> str:
        counts = f"{len(found.added):,} added, {len(found.changed):,} changed, {len(found.removed):,} removed"
        lines = [f"against {found.against or 'nothing yet'}: {counts} ({size(found.bytes)}), {found.same:,} the same"]
        lines += listed("+ ", found.added) + listed("~ ", found.changed) + listed("- ", found.removed)
        return "\n".join([*lines, "nothing was put; without --dry-run it is"])

    context.show(found, render)
    return 0


def _joined(added: Version, published: Version, branch: str, paths: tuple[str, ...]) -> str:
    """Return what to say where others published since, so that another version than the one added is on the branch."""
    if added.id == published.id or not (added.changed and published.changed):
        return ""
    text = f"it joins {added.ref}, which was added, with what others published since"
    folder = len(paths) == 1 and os.path.isdir(paths[0])
    return f"{text}: 'hw data checkout {added.dataset}@{branch} {paths[0]}' brings theirs" if folder else text


@data.command("show")
@click.argument("ref", type=REF)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 20_000), help="How many files to list.")
@click.option("--under", "prefix", default="", help="Only files whose paths begin so: a folder, or part of a name.")
@pass_context
def show_command(context: Context, ref: str, limit: int, prefix: str) -> None:
    """Show one version: what it is, where it came from, its files."""
    from headwater.lake import list_files, show

    with context.open() as project:
        version = show(project, ref)
        page = list_files(project, version.id, prefix, "", limit)

    def render() -> str:
        head = [
            f"{version.ref}  {version.id}",
            f"by {version.author} at {when(version.created_at)}: {version.message or '(no message)'}",
            f"source: {version.source or '–'}",
            contents(version),
            "",
        ]
        rows = [(e.path, size(e.size), e.rows, e.media, e.digest[:12]) for e in page.files]
        more = "\n… more: --under or --limit; 'hw data ls' goes by folders" if page.after else ""
        return "\n".join(head) + table(("path", "size", "rows", "type", "digest"), rows, right=(1, 2)) + more

    context.show({"version": version, "files": page}, render)


@data.command("branch")
@click.argument("dataset", type=DATASET)
@click.argument("name", required=False)
@click.option("--at", default="main", show_default=True, help="The version it begins at.")
@click.option("--delete", is_flag=True, help="Delete the branch; its versions stay.")
@pass_context
def branch(context: Context, dataset: str, name: str | None, at: str, delete: bool) -> None:
    """Show the branches of DATASET, or make (or delete) NAME."""
    from headwater.lake import create_branch, delete_branch, list_branches

    with context.open() as project:
        if name == "main" and delete:
            raise click.UsageError(
                f"'main' is what '{dataset}' alone means, so it stays. 'hw data revert' goes back to an earlier "
                "version; 'hw data delete' gives the dataset up."
            )
        if name and delete:
            delete_branch(project, dataset, name)
        elif name:
            create_branch(project, dataset, name, at)
        found = list_branches(project, dataset)
    context.show(
        found,
        lambda: table(
            ("branch", "version", "protected"), [(b.name, f"v{b.number}", "yes" if b.protected else "") for b in found]
        ),
    )


@data.command("tag")
@click.argument("dataset", type=DATASET)
@click.argument("name", required=False)
@click.option("--at", default="main", show_default=True, help="The version it names.")
@click.option("--reason", "-r", "why", default="", help="Why this version has a name.")
@pass_context
def tag_command(context: Context, dataset: str, name: str | None, at: str, why: str) -> None:
    """Show the tags of DATASET, or give a version the NAME, which then never moves."""
    from headwater.lake import list_tags, tag

    with context.open() as project:
        if name:
            tag(project, dataset, name, at, why=why)
        found = list_tags(project, dataset)
    context.show(found, lambda: table(("tag", "version"), [(t.name, f"v{t.number}") for t in found]))


@data.command("protect")
@click.argument("dataset", type=DATASET)
@click.option("--branch", default="main", show_default=True)
@click.option("--off", is_flag=True, help="Let it move without a passing verdict again.")
@pass_context
def protect_command(context: Context, dataset: str, branch: str, off: bool) -> None:
    """Demand a passing verdict of every version that BRANCH moves to."""
    from headwater.lake import protect

    with context.open() as project:
        protect(project, dataset, branch, not off)
    how = "moves without a passing verdict" if off else "moves only to versions whose checks pass"
    context.show(
        {"dataset": dataset, "branch": branch, "protected": not off},
        lambda: f"branch '{branch}' of '{dataset}' {how}",
    )


@data.command("revert")
@click.argument("dataset", type=DATASET)
@click.argument("to")
@click.option("--branch", default="main", show_default=True)
@click.option("--message", "-m", default="")
@pass_context
def revert_command(context: Context, dataset: str, to: str, branch: str, message: str) -> int:
    """Go back to the files of version TO by a new version.

    Its checks run, and BRANCH moves when they pass.
    """
    from headwater.check import publish
    from headwater.lake import revert

    from .check_commands import show_publication

    with context.open() as project:
        version = revert(project, dataset, to, branch=branch, message=message)
        published = publish(project, dataset, version=version.id, branch=branch)
    return show_publication(context, published)


@data.command("merge")
@click.argument("dataset", type=DATASET)
@click.argument("source")
@click.option("--into", default="main", show_default=True, help="The branch that takes it.")
@click.option("--take", type=click.Choice(("ours", "theirs")), help="Paths changed on both sides: INTO's, or SOURCE's.")
@click.option("--message", "-m", default="")
@pass_context
def merge_command(
    context: Context, dataset: str, source: str, into: str, take: Literal["ours", "theirs"] | None, message: str
) -> int:
    """Merge SOURCE (a branch or version) into a branch by path; checks run, and it moves when they pass.

    A path changed differently on both sides is a conflict that names it, with exit code 1; --take settles those.
    """
    from headwater.check import publish
    from headwater.lake import merge

    from .check_commands import show_publication

    with context.open() as project:
        version = merge(project, dataset, source, into, message=message, take=take or "")
        published = publish(project, dataset, version=version.id, branch=into)
    return show_publication(context, published)
