"""``hw data checkout`` and ``hw data status``: folders that hold a version, and what differs in them since."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .context import Context, pass_context, printable

if TYPE_CHECKING:
    from headwater.lake.working import Waiting
    from headwater.working.looking import FolderStatus


@click.command("checkout")
@click.argument("ref")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--mode",
    type=click.Choice(("link", "reflink", "copy")),
    help="link: hard links to a shared read-only cache (default); reflink or copy: files to write to.",
)
@click.option(
    "--under", help="Only the files under this folder of the dataset, without its name; default: as before, else all."
)
@click.option("--path", "paths", multiple=True, help="Only this file or folder; the rest of FOLDER stays as it is.")
@click.option("--force", is_flag=True, help="Overwrite local changes.")
@pass_context
def checkout_command(
    context: Context, ref: str, folder: Path, mode: str | None, under: str | None, paths: tuple[str, ...], force: bool
) -> None:
    """Put the files of a version into FOLDER, and keep it as a working folder.

    A folder that holds another version gets what differs and loses what the version lacks. Local changes that would
    be overwritten are named, and nothing is done. --path (which may be given several times) puts single files or
    folders of a working folder back.
    """
    from headwater.lake.working_checkout import checkout
    from headwater.lake.working_paths import checkout_paths

    from .progress import file_progress

    if paths and (mode or under is not None):
        raise click.UsageError("--path goes by what FOLDER holds: leave --mode and --under out.")
    with context.open() as project, file_progress("checking out") as progress:
        files = size = 0

        def placed(more: int, more_bytes: int) -> None:
            nonlocal files, size
            files, size = files + more, size + more_bytes
            if progress is not None:
                progress(files, 0, size)

        done = (
            checkout_paths(project, ref, folder, paths, force=force)
            if paths
            else checkout(
                project, ref, folder, mode=mode or "", under=under, force=force, placed=placed if progress else None
            )
        )

    def render() -> str:
        what = f"{done.files:,} files of {done.ref} are" if paths else f"{done.ref} is"
        lines = [f"{what} in {folder}: {done.written:,} files written, {done.removed:,} removed"]
        if done.kept:
            lines.append(f"kept {len(done.kept):,} local changes:")
            lines += listed("  ", done.kept)
        return "\n".join(lines)

    context.show(done, render)


@click.command("status")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--full", is_flag=True, help="Read every file again instead of trusting times, sizes and inodes.")
@click.option("--short", is_flag=True, help="One line a path: A added, M changed, D removed, ! cannot be added.")
@pass_context
def status_command(context: Context, folder: Path | None, full: bool, short: bool) -> int:
    """Show what differs in FOLDER from the version it was checked out from, or last added from.

    Without FOLDER: the datasets with versions that are not on main, and the project's working folders. Exit code 1
    says that something differs, or that the folder's version is not on its branch.
    """
    if folder is None and short:
        raise click.UsageError("--short goes with a folder.")
    if folder is None:
        return _project_status(context)
    status = _status(context, folder, full)
    context.show(status, lambda: _short(status) if short else _shown(status))
    return 0 if status.settled else 1


def _status(context: Context, folder: Path, full: bool) -> FolderStatus:
    """Return a folder's status: from its index alone, where that is enough to tell."""
    from headwater.working.looking import quick_status, state_of

    state = None if full else state_of(context.place)
    status = quick_status(state, str(folder)) if state is not None else None
    if status is not None:
        return status
    from headwater.lake.working import folder_status

    with context.open() as project:
        return folder_status(project, folder, full=full)


def _short(status: FolderStatus) -> str:
    lines = [f"A {printable(path)}" for path in status.added]
    lines += [f"M {printable(path)}" for path in status.changed] + [f"D {printable(path)}" for path in status.removed]
    return "\n".join(sorted(lines, key=lambda line: line[2:]) + [f"! {printable(path)}" for path in status.unusable])


def _shown(status: FolderStatus) -> str:
    lines = _unpublished(status)
    if status.clean:
        return "\n".join([f"{status.folder} holds {status.ref}: {status.files:,} files, nothing changed", *lines])
    if status.unfinished:
        lines.append(
            f"a checkout of {status.unfinished} did not end; run 'hw data checkout {status.unfinished} "
            f"{status.folder}' to complete it. Against that version:"
        )
    lines.append(
        f"{status.folder} against {status.ref}: {len(status.added):,} added, {len(status.changed):,} changed, "
        f"{len(status.removed):,} removed"
    )
    lines += [click.style(line, fg="green") for line in listed("+ ", status.added)]
    lines += [click.style(line, fg="yellow") for line in listed("~ ", status.changed)]
    lines += [click.style(line, fg="red") for line in listed("- ", status.removed)]
    lines += [f"! {printable(path)}: {why}" for path, why in sorted(status.unusable.items())[:_LISTED]]
    return "\n".join(lines)


def _unpublished(status: FolderStatus) -> list[str]:
    if not status.unpublished:
        return []
    number = status.ref.rpartition("@")[2]
    into = "" if status.unpublished == "main" else f" --into {status.unpublished}"
    command = f"hw data merge {status.dataset} {number}{into}"
    return [
        f"{status.ref} is not on branch '{status.unpublished}': others changed the same files, or its checks failed.",
        f"  {command} --take theirs   puts its files there; --take ours keeps the branch's where both changed them",
        f"  hw check show {status.ref}   tells what failed",
        f"  hw data checkout {status.dataset}@{status.unpublished} {status.folder}   goes back to the branch",
    ]


_LISTED = 100


def listed(sign: str, paths: Sequence[str]) -> list[str]:
    """Return a line for each path, the first hundred."""
    lines = [f"{sign}{printable(path)}" for path in paths[:_LISTED]]
    return [*lines, f"{sign}… and {len(paths) - _LISTED:,} more"] if len(paths) > _LISTED else lines


def _project_status(context: Context) -> int:
    from headwater.lake.working import folder_status, state_folder, waiting
    from headwater.working.records import list_records

    with context.open() as project:
        found = waiting(project)
        folders = [folder_status(project, record.folder) for record in list_records(state_folder(project))]
    context.show({"waiting": found, "folders": folders}, lambda: _waiting_shown(found, folders))
    return 1 if found or any(not each.settled for each in folders) else 0


def _waiting_shown(found: Sequence[Waiting], folders: Sequence[FolderStatus]) -> str:
    lines = []
    for each in found:
        newest = ", ".join(ref.rpartition("@")[2] for ref in each.versions[:5])
        more = f" and {each.count - 5:,} more" if each.count > 5 else ""
        main = f"main is {each.head.rpartition('@')[2]}" if each.head else "main has none yet"
        lines.append(f"{each.dataset}: {newest}{more} not on main ({main})")
    for status in folders:
        counts = f"{len(status.added):,} added, {len(status.changed):,} changed, {len(status.removed):,} removed"
        what = "nothing changed" if status.clean else counts
        if status.unusable:
            what += f", {len(status.unusable):,} that cannot be added"
        if status.unfinished:
            what += f"; a checkout of {status.unfinished} did not end"
        if status.unpublished:
            what += f"; that version is not on '{status.unpublished}': 'hw data status {status.folder}' says what to do"
        lines.append(f"{status.folder} against {status.ref}: {what}")
    return "\n".join(lines) or "nothing waits"


@click.command("forget")
@click.argument("folder", type=click.Path(path_type=Path))
@pass_context
def forget_command(context: Context, folder: Path) -> None:
    """Keep FOLDER no longer as a working folder of the project; its files stay as they are."""
    from headwater.lake.working import forget

    with context.open() as project:
        record = forget(project, folder)
    context.show(record, lambda: f"{record.folder} is no working folder any longer; its files stay ({record.ref})")
