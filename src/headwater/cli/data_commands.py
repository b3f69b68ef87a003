"""``hw data``: datasets, versions, branches and tags."""

from __future__ import annotations

from pathlib import Path

import click

from .context import Context, pass_context, size, table, when
from .lazy import LazyGroup
from .progress import file_progress

# Commands that have their own files, in the order in which the help shows them.
ELSEWHERE: dict[str, tuple[str, str]] = {}


@click.group(cls=LazyGroup, lazy=ELSEWHERE)
def data() -> None:
    """Datasets. A ref names a version: flights, flights@main, flights@v12, flights@2026-11-01, flights@TAG."""


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
@click.argument("dataset")
@click.argument("paths", nargs=-1, required=True)
@click.option("--message", "-m", default="", help="What changed, for those who read the log.")
@click.option("--under", default="", help="Put the files under this folder of the dataset.")
@click.option("--source", help="Where they came from; default: the paths.")
@click.option("--branch", default="main", show_default=True)
@click.option("--mirror", is_flag=True, help="Also remove what is there and was not given.")
@pass_context
def add(
    context: Context,
    dataset: str,
    paths: tuple[str, ...],
    message: str,
    under: str,
    source: str | None,
    branch: str,
    mirror: bool,
) -> int:
    """Add files, folders or patterns as a new version; its checks run, and BRANCH moves when they pass."""
    from headwater.check import publish
    from headwater.lake import add_files

    with context.open() as project:
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
                progress=progress,
            )
        published = publish(project, dataset, version=version.id, branch=branch)
    from .check_commands import show_publication

    return show_publication(context, published)


@data.command("log")
@click.argument("dataset")
@click.option("--branch", help="Only what this branch descends from.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@pass_context
def log_command(context: Context, dataset: str, branch: str | None, limit: int) -> None:
    """Show the versions of DATASET, newest first."""
    from headwater.lake import log

    with context.open() as project:
        versions = log(project, dataset, branch, limit)
    context.show(
        versions,
        lambda: table(
            ("version", "when", "author", "rows", "files", "size", "message", "source"),
            [
                (f"v{v.number}", when(v.created_at), v.author, v.rows, v.files, size(v.bytes), v.message, v.source[:60])
                for v in versions
            ],
            right=(3, 4, 5),
        ),
    )


@data.command("show")
@click.argument("ref")
@click.option("--files", "limit", default=20, show_default=True, help="How many files to list.")
@click.option("--prefix", default="", help="Only files whose paths begin so.")
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
            f"{version.files} files, {size(version.bytes)}" + (f", {version.rows} rows" if version.rows else ""),
            "",
        ]
        rows = [(e.path, size(e.size), e.rows, e.media, e.digest[:12]) for e in page.files]
        more = "\n… more: --prefix or --files" if page.after else ""
        return "\n".join(head) + table(("path", "size", "rows", "type", "digest"), rows, right=(1, 2)) + more

    context.show({"version": version, "files": page}, render)


@data.command("diff")
@click.argument("a")
@click.argument("b")
@click.option("--limit", default=100, show_default=True, help="How many paths to list of each kind.")
@pass_context
def diff_command(context: Context, a: str, b: str, limit: int) -> None:
    """Show what differs from version A to version B: paths, columns, rows."""
    from headwater.lake import diff

    with context.open() as project:
        found = diff(project, a, b, limit)

    def render() -> str:
        lines = [
            f"{found.a.ref} → {found.b.ref}: {found.added_count} added, {found.removed_count} removed, "
            f"{found.changed_count} changed"
        ]
        if found.rows_a is not None or found.rows_b is not None:
            lines.append(f"rows: {found.rows_a} → {found.rows_b}")
        lines += [f"column {c.column}: {c.before or '–'} → {c.after or '–'}" for c in found.columns]
        lines += [click.style(f"+ {e.path}", fg="green") for e in found.added]
        lines += [click.style(f"- {e.path}", fg="red") for e in found.removed]
        lines += [click.style(f"~ {c.path}", fg="yellow") for c in found.changed]
        return "\n".join(lines)

    context.show(found, render)


@data.command("read")
@click.argument("ref")
@click.option("--columns", help="Comma-separated.")
@click.option("--where", help="An SQL condition.")
@click.option("--sql", help="A whole query; the tables are the view 'data'.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(0))
@pass_context
def read(context: Context, ref: str, columns: str | None, where: str | None, sql: str | None, limit: int) -> None:
    """Show rows of a version's tables."""
    from headwater.lake import scan

    with context.open() as project:
        found = scan(project, ref, columns=columns.split(",") if columns else None, where=where, sql=sql)
        names = list(found.columns)
        rows = (found.sql(f"SELECT * FROM data LIMIT {limit}") if limit else found).fetchall()
    context.show([dict(zip(names, row, strict=True)) for row in rows], lambda: table(names, rows))


@data.command("checkout")
@click.argument("ref")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@pass_context
def checkout(context: Context, ref: str, folder: Path) -> None:
    """Put the files of a version into FOLDER, read-only (links to a shared cache)."""
    from headwater.lake import materialise

    with context.open() as project:
        materialise(project, ref, folder)
    context.show({"ref": ref, "folder": str(folder)}, lambda: f"{ref} is in {folder}")


@data.command("branch")
@click.argument("dataset")
@click.argument("name", required=False)
@click.option("--at", default="main", show_default=True, help="The version it begins at.")
@click.option("--delete", is_flag=True, help="Delete the branch; its versions stay.")
@pass_context
def branch(context: Context, dataset: str, name: str | None, at: str, delete: bool) -> None:
    """Show the branches of DATASET, or make (or delete) NAME."""
    from headwater.lake import create_branch, delete_branch, list_branches

    with context.open() as project:
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
@click.argument("dataset")
@click.argument("name", required=False)
@click.option("--at", default="main", show_default=True, help="The version it names.")
@click.option("--why", default="", help="Why this version has a name.")
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
@click.argument("dataset")
@click.option("--branch", default="main", show_default=True)
@click.option("--off", is_flag=True, help="Let it move without a passing verdict again.")
@pass_context
def protect_command(context: Context, dataset: str, branch: str, off: bool) -> None:
    """Demand a passing verdict of every version that BRANCH moves to."""
    from headwater.lake import protect

    with context.open() as project:
        protect(project, dataset, branch, not off)
    context.show({"dataset": dataset, "branch": branch, "protected": not off}, lambda: "done")


@data.command("revert")
@click.argument("dataset")
@click.argument("to")
@click.option("--branch", default="main", show_default=True)
@click.option("--message", "-m", default="")
@pass_context
def revert_command(context: Context, dataset: str, to: str, branch: str, message: str) -> None:
    """Make a new version with the files of version TO."""
    from headwater.lake import revert

    with context.open() as project:
        version = revert(project, dataset, to, branch=branch, message=message)
    context.show(version, lambda: f"{version.ref} has the files of {to}")


@data.command("merge")
@click.argument("dataset")
@click.argument("source")
@click.option("--into", default="main", show_default=True)
@click.option("--message", "-m", default="")
@pass_context
def merge_command(context: Context, dataset: str, source: str, into: str, message: str) -> None:
    """Merge branch SOURCE into another by path; a path changed on both sides is a conflict that names it."""
    from headwater.lake import merge

    with context.open() as project:
        version = merge(project, dataset, source, into, message=message)
    context.show(version, lambda: f"merged as {version.ref}")


@data.command("describe")
@click.argument("dataset")
@click.argument("text", required=False)
@pass_context
def describe(context: Context, dataset: str, text: str | None) -> None:
    """Show what DATASET is, or say it."""
    from headwater.lake import describe_dataset, set_description

    with context.open() as project:
        found = set_description(project, dataset, text) if text else describe_dataset(project, dataset)
    context.show(found, lambda: f"{found.name}: {found.description or '(no description)'}; {found.versions} versions")
