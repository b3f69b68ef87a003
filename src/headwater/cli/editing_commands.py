"""``hw data ls``, ``rm`` and ``mv``: looking into a dataset and changing it, without its files at hand."""

from __future__ import annotations

import click

from .context import Context, pass_context, printable, size, table
from .refs import DATASET, REF


@click.command("ls")
@click.argument("ref", type=REF)
@click.argument("folder", default="")
@click.option("--recursive", "-R", is_flag=True, help="All files below it.")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, 20_000), help="How many to list.")
@click.option("--after", default="", metavar="PATH", help="Go on after this path, which the page before ended with.")
@pass_context
def ls_command(context: Context, ref: str, folder: str, recursive: bool, limit: int, after: str) -> None:
    """List the files and folders in FOLDER (default: the top) of the version that REF names."""
    from headwater.errors import NotFoundError
    from headwater.lake import list_files
    from headwater.lake.files import list_folder

    place = folder.strip("/")
    with context.open() as project:
        if recursive:
            page = list_files(project, ref, f"{place}/" if place else "", after, limit)
        else:
            page = list_folder(project, ref, place, after, limit)
        if place and not (page.files or page.folders or after):
            page = list_files(project, ref, place, "", 1)
            if not page.files or page.files[0].path != place:
                raise NotFoundError(f"'{ref}' has no file or folder '{folder}'. 'hw data ls {ref}' shows what it has.")

    def render() -> str:
        rows = [(f"{each}/", "", "") for each in page.folders]
        rows += [(each.path, size(each.size), f"{each.rows:,}" if each.rows is not None else "") for each in page.files]
        more = f"\n… more: --after {page.after}" if page.after else ""
        return table(("path", "size", "rows"), rows, right=(1, 2)) + printable(more[:1]) + more[1:]

    context.show(page, render)


@click.command("rm")
@click.argument("dataset", type=DATASET)
@click.argument("paths", nargs=-1, required=True)
@click.option("--recursive", "-R", is_flag=True, help="A path may be a folder: all below it goes.")
@click.option("--branch", default="main", show_default=True)
@click.option("--message", "-m", default="", help="Why; default: what was removed.")
@pass_context
def rm_command(
    context: Context, dataset: str, paths: tuple[str, ...], recursive: bool, branch: str, message: str
) -> int:
    """Make a version of DATASET without PATHS; its checks run, and BRANCH moves when they pass.

    Earlier versions keep them: 'hw data erase' takes files out of those too.
    """
    from headwater.check.editing import remove_paths

    from .check_commands import show_publication

    with context.open() as project:
        published = remove_paths(project, dataset, paths, folders=recursive, branch=branch, message=message)
    return show_publication(context, published)


@click.command("mv")
@click.argument("dataset", type=DATASET)
@click.argument("paths", nargs=-1, required=True)
@click.argument("to")
@click.option("--force", is_flag=True, help="Replace what is at the new path.")
@click.option("--branch", default="main", show_default=True)
@click.option("--message", "-m", default="", help="Why; default: what was moved.")
@pass_context
def mv_command(
    context: Context, dataset: str, paths: tuple[str, ...], to: str, force: bool, branch: str, message: str
) -> int:
    """Make a version of DATASET with PATHS renamed to TO, or moved into TO where it is a folder or ends with '/'.

    Its checks run, and BRANCH moves when they pass. No byte is copied.
    """
    from headwater.check.editing import move_paths

    from .check_commands import show_publication

    with context.open() as project:
        published = move_paths(project, dataset, paths, to, replace=force, branch=branch, message=message)
    return show_publication(context, published)
