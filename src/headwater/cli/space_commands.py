"""Space and what must go: ``hw data collect``, ``delete``, ``hold``, ``accept-loss``, ``erase``, ``find``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .context import Context, pass_context, size, table, when
from .sizes import ByteSize

if TYPE_CHECKING:
    from headwater.trace.collected import Collection
    from headwater.trace.erasing import Erasure

_SHOWN = 30


@contextmanager
def working(label: str) -> Iterator[None]:
    """Show on a terminal that something long goes on, for as long as its block."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(label):
        yield


@click.command("collect")
@click.option("--yes", is_flag=True, help="Free the bytes; without it this only tells what would be freed.")
@click.option("--grace-hours", type=click.FloatRange(0), help="What is younger stays; default 24, or as configured.")
@click.option(
    "--results-to",
    type=ByteSize(),
    metavar="SIZE",
    help="Also give up results of steps, the cheapest to compute again first, until the rest has this size: 10GiB.",
)
@pass_context
def collect_command(context: Context, yes: bool, grace_hours: float | None, results_to: int | None) -> int:
    """Tell what nothing needs any longer and why the rest stays; with --yes free it.

    What --results-to gives up, the next run computes again and compares with what it was. Below one hour of grace
    nobody else may be writing meanwhile. Exit code 1 when reading back found something wrong.
    """
    from headwater.trace.collecting import collect

    with context.open() as project, working("collecting"):
        found = collect(project, free=yes, grace_hours=grace_hours, results_to_bytes=results_to)
    context.show(found, lambda: _collection_text(found))
    return 1 if found.problems else 0


def _collection_text(found: Collection) -> str:
    verb = "freed" if found.freed_already else "would free"
    lines = []
    if found.freed:
        rows = [(f.what, f.objects, size(f.bytes), f.why) for f in found.freed[:_SHOWN]]
        lines.append(table((verb, "objects", "size", "why"), rows, right=(1, 2)))
        if len(found.freed) > _SHOWN:
            lines.append(f"… and {len(found.freed) - _SHOWN:,} more: --json")
    if found.kept:
        rows_kept = [(k.why, k.objects, size(k.bytes)) for k in found.kept]
        lines += [*([""] if lines else []), table(("kept because", "objects", "size"), rows_kept, right=(1, 2))]
    lines.append("")
    packs = f"{found.packs_dropped} packs dropped, {found.packs_rewritten} written anew"
    lines.append(f"{verb} {found.objects:,} objects, {size(found.bytes)} ({packs})")
    if found.recompute_s:
        lines.append(f"computing the results given up again took {found.recompute_s:,.1f} s the last time")
    lines += found.notes
    if found.disk_after is not None:
        lines.append(f"packs on disk: {size(found.disk_before)} before, {size(found.disk_after)} now")
    elif found.freed:
        lines.append("nothing was changed; --yes does it")
    lines += [click.style(each, fg="red") for each in found.problems]
    return "\n".join(lines)


@click.command("delete")
@click.argument("ref")
@click.option("--reason", "-r", "why", required=True, help="Why these bytes may go; kept for ever.")
@pass_context
def delete_command(context: Context, ref: str, why: str) -> None:
    """Decide that the bytes of a version, or of a whole DATASET, may go; 'hw data collect --yes' frees them.

    Facts and lineage stay. The head of a branch or a tagged version is refused; a dataset loses its branches and tags.
    """
    from headwater.lake.collecting import delete

    with context.open() as project:
        found = delete(project, ref, why)
    decided = [(d.ref, when(d.at)) for d in found]
    context.show(
        found, lambda: table(("version", "decided"), decided) + "\nnext: hw data collect --yes frees the bytes"
    )


@click.command("hold")
@click.argument("ref", required=False)
@click.option("--reason", "-r", "why", default="", help="For what it is kept.")
@click.option("--release", "release", metavar="ID", help="Release a hold.")
@pass_context
def hold_command(context: Context, ref: str | None, why: str, release: str | None) -> None:
    """Keep the bytes of a version or of run:ID until released; without REF show the holds in force."""
    from headwater.lake.collecting import hold, list_holds, release_hold

    with context.open() as project:
        if release:
            release_hold(project, release)
        if ref:
            hold(project, ref, why)
        found = list_holds(project)
    rows = [(h.id, h.ref, h.why, h.by, when(h.at)) for h in found]
    context.show(found, lambda: table(("hold", "what", "why", "by", "since"), rows))


@click.command("accept-loss")
@click.argument("packs", nargs=-1)
@click.option("--reason", "-r", "why", default="", help="What happened to the bytes; kept for ever.")
@pass_context
def accept_loss_command(context: Context, packs: tuple[str, ...], why: str) -> int:
    """Write PACKS off that no backup brings back; without PACKS show those lost and those accepted.

    What of them still reads is kept. Afterwards collecting works again, reading what was lost says so, and
    'hw verify' names the loss as accepted. Exit code 1: packs are lost that nobody accepted.
    """
    from headwater.trace.losing import accept_loss, list_losses

    with context.open() as project, working("looking at every pack"):
        if packs:
            accept_loss(project, packs, why)
        found = list_losses(project)
    rows = [(each.pack, size(each.size), each.entries, each.objects, each.by, when(each.at or None), each.why)
            for each in found]  # fmt: skip
    head = ("pack", "size", "holds", "needed", "accepted by", "at", "reason")
    context.show(found, lambda: table(head, rows, right=(1, 2, 3)))
    return 1 if any(not each.by for each in found) else 0


@click.command("find")
@click.argument("text")
@pass_context
def find_command(context: Context, text: str) -> int:
    """Search everything for TEXT: files (Parquet, PDF, … decoded), facts, events, the cache. Exit code 1: found."""
    from headwater.trace.finding import find_text

    with context.open() as project, working("searching"):
        found = find_text(project, text=text)
    rows = [(p.store, p.known_as, p.what) for p in found]
    context.show(found, lambda: table(("store", "known as", "what"), rows) if found else "it is nowhere")
    return 1 if found else 0


@click.command("erase")
@click.argument("datasets", nargs=-1, required=True)
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Rows with this value; texts that hold it too, unless it is a short number.",
)
@click.option("--where", default="", help="Rows that meet this SQL condition.")
@click.option("--path", default="", help="Files whose paths fit this pattern.")
@click.option("--also", multiple=True, metavar="TEXT", help="A text that names the subject elsewhere.")
@click.option(
    "--reason", "-r", "why", default="", help="Which request or duty this answers; kept for ever, so without the name."
)
@click.option("--yes", is_flag=True, help="Erase; without it this only tells what would change.")
@pass_context
def erase_command(
    context: Context,
    datasets: tuple[str, ...],
    keys: tuple[str, ...],
    where: str,
    path: str,
    also: tuple[str, ...],
    why: str,
    yes: bool,
) -> int:
    """Erase a subject from every version of DATASETS and from all that was derived from them.

    Exit code 1 when something of the subject is left; it is named with what to do.
    """
    from headwater.errors import InvalidInputError
    from headwater.lake.erasing import Subject
    from headwater.trace.erasing import erase

    if any("=" not in key for key in keys):
        raise InvalidInputError("a key is written COLUMN=VALUE, for example --key customer_id=c42.")
    subject = Subject(datasets=datasets, key=dict(key.split("=", 1) for key in keys), where=where, path=path, also=also)
    with context.open() as project, working("erasing" if yes else "looking"):
        found = erase(project, subject, why=why, carry_out=yes)
    context.show(found, lambda: _erasure_text(found))
    return 1 if found.left else 0


def _erasure_text(found: Erasure) -> str:
    verb = "erased" if found.id else "would erase"
    lines = [f"{verb} {found.rows:,} rows in {found.files:,} files"]
    if found.id:
        lines[0] += f", in {found.versions:,} versions (erasure {found.id})"
    if found.effects:
        lines.append(table(("store", "what", "how"), [(e.store, e.what, e.how) for e in found.effects[:_SHOWN]]))
    if found.left:
        lines.append(click.style("left:", fg="red"))
        lines.append(table(("store", "what", "why"), [(e.store, e.what, e.why) for e in found.left[:_SHOWN]]))
    if not found.id:
        lines.append("nothing was changed; --yes with --reason does it")
    return "\n".join(lines)


@click.command("recover")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--objects", "place", required=True, help="The folder or s3://BUCKET/PREFIX that holds the objects.")
@pass_context
def recover_command(context: Context, folder: Path, place: str) -> int:
    """Make a project in FOLDER from objects alone, when its ledger is lost.

    Versions come back with their history; branches and tags as the newest checkpoint has them.
    Exit code 1 when a pack is damaged or a version lacks files.
    """
    from headwater.trace.recovering import recover

    with working("recovering"):
        found = recover(folder, place, actor=context.actor)
    context.show(
        found,
        lambda: "\n".join(
            [
                f"{found.versions} versions of {found.datasets} datasets from {found.packs} packs, in {found.folder}",
                f"{found.names} branches and tags, as of checkpoint {found.head}"
                if found.head
                else "no checkpoint was found: no branch or tag came back; 'hw data branch' makes them",
                *(click.style(f"version {each} lacks files", fg="red") for each in found.incomplete),
                *(click.style(f"pack {each} is damaged", fg="red") for each in found.damaged),
            ]
        ),
    )
    return 1 if found.incomplete or found.damaged else 0
