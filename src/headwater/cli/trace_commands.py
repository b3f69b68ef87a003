"""``hw trace``, ``hw replay``, ``hw sql``, ``hw verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from .context import Context, pass_context, size, table

if TYPE_CHECKING:
    from headwater.trace import Graph, ReplayReport


@click.command()
@click.argument("ref")
@click.option("--down", is_flag=True, help="What came of it, instead of what it came from.")
@click.option("--depth", default=12, show_default=True, type=click.IntRange(1, 100))
@pass_context
def trace(context: Context, ref: str, down: bool, depth: int) -> None:
    """Walk the lineage from REF: prediction:…, model:delay@production, flights@v3, run:…, alarm:… and so on."""
    from headwater.trace import trace as walk

    direction: Literal["up", "down"] = "down" if down else "up"
    with context.open() as project:
        graph = walk(project, ref, direction, depth=depth)
    context.show(graph, lambda: tree(graph))


def tree(graph: Graph) -> str:
    """Return a lineage as an indented tree; what was shown before is named and not repeated."""
    nodes = {node.ref: node for node in graph.nodes}
    nexts: dict[str, list[tuple[str, str]]] = {}
    for edge in graph.edges:
        here, there = (edge.child, edge.parent) if graph.direction == "up" else (edge.parent, edge.child)
        nexts.setdefault(here, []).append((edge.role, there))
    lines: list[str] = []
    seen: set[str] = set()
    waiting = [(graph.root, "", 0)]
    while waiting:
        ref, role, depth = waiting.pop()
        node = nodes.get(ref)
        title = node.title if node else ref
        facts = ", ".join(f"{key} {value}" for key, value in (node.facts if node else {}).items() if value)[:140]
        again = " (above)" if ref in seen else ""
        lead = f"{role}: " if role else ""
        lines.append(f"{'  ' * depth}{click.style(lead, dim=True)}{title}{again}" + (f"  [{facts}]" if facts else ""))
        if ref not in seen:
            waiting.extend((there, role, depth + 1) for role, there in reversed(nexts.get(ref, [])))
        seen.add(ref)
    if graph.truncated:
        lines.append("… more: --depth")
    return "\n".join(lines)


@click.group()
def replay() -> None:
    """Compute predictions again and compare the bytes."""


@replay.command("run")
@click.argument("predictions", nargs=-1)
@click.option("--sample", type=click.IntRange(1), help="This many at random, over all versions that served.")
@click.option("--seed", default=0, show_default=True)
@pass_context
def run(context: Context, predictions: tuple[str, ...], sample: int | None, seed: int) -> int:
    """Replay PREDICTIONS, or a random sample. Exit code 1 when one differs."""
    from headwater.errors import InvalidInputError
    from headwater.trace import replay as replay_predictions
    from headwater.trace import sample_predictions

    if not predictions and sample is None:
        raise InvalidInputError("name predictions, or give --sample N.")
    with context.open() as project:
        chosen = list(predictions) or sample_predictions(project, sample or 0, seed=seed)
        report = replay_predictions(project, chosen)
    return _show(context, report)


@replay.command("export")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--sample", default=1000, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True)
@pass_context
def export(context: Context, folder: Path, sample: int, seed: int) -> None:
    """Write a bundle that replays without this project: models, batches, and what each should give."""
    from headwater.trace import export_bundle

    with context.open() as project:
        bundle = export_bundle(project, folder, n=sample, seed=seed)
    context.show(
        bundle,
        lambda: (
            f"{bundle.predictions} predictions of {len(bundle.versions)} versions, {size(bundle.bytes)}, "
            f"in {bundle.folder}\n"
            f"replay them anywhere: hw replay bundle {bundle.folder}"
        ),
    )


@replay.command("bundle")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Compute also what a changed file gives, after naming it.")
@pass_context
def bundle(context: Context, folder: Path, force: bool) -> int:
    """Replay a bundle; needs no project. Exit code 1 when a file or an answer differs."""
    from headwater.trace import replay_bundle

    return _show(context, replay_bundle(folder, force=force))


def _show(context: Context, report: ReplayReport) -> int:
    def render() -> str:
        lines = [f"{report.equal} of {report.asked} byte-equal, over {len(report.versions)} model versions"]
        lines += [click.style(f.message, fg="red") for f in report.findings]
        if report.different:
            rows = [(d.prediction, d.output, d.recorded, d.replayed, d.why) for d in report.different[:20]]
            lines.append(table(("prediction", "output", "recorded", "replayed", "why"), rows))
        if report.within:
            lines.append(f"{len(report.within)} equal within {report.tolerance:g}: {report.within[0].why}")
        lines += [f"{n.prediction}: {n.why}" for n in report.not_kept[:20]]
        return "\n".join(lines)

    context.show(report, render)
    return 0 if report.all_equal else 1


@click.command()
@click.argument("query")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, 1_000_000))
@pass_context
def sql(context: Context, query: str, limit: int) -> None:
    """Query the events (metrics, logs, predictions, outcomes, …) and datasets (by name) of the project with SQL."""
    from headwater.trace.sql import query_project

    with context.open() as project:
        answer = query_project(project, query, limit=limit)
    context.show(
        [dict(zip(answer.columns, row, strict=True)) for row in answer.rows],
        lambda: table(answer.columns, answer.rows) + ("\n… more rows: --limit" if answer.truncated else ""),
    )


@click.command()
@click.option("--checkpoint", is_flag=True, help="Write it beside the data too, with all branches and tags.")
@pass_context
def head(context: Context, checkpoint: bool) -> None:
    """Print the head of the governance chain as SEQ:HASH. Keep it elsewhere, and give it to 'hw verify --head'."""
    from headwater.trace import export_head, write_checkpoint

    with context.open() as project:
        found = write_checkpoint(project) if checkpoint else export_head(project)
    context.show(found, lambda: f"{found.seq}:{found.hash}")


@click.command()
@click.option("--head", help="SEQ:HASH of the chain, kept elsewhere, that must still hold.")
@click.option("--repair", "mirror", metavar="FROM", help="First mend packs with what this project or store has.")
@pass_context
def verify(context: Context, head: str | None, mirror: str | None) -> int:
    """Check every digest, pack, manifest, event, the chain and every reference. Exit code 1 when something is wrong."""
    from headwater.trace import repair
    from headwater.trace import verify as verify_project

    with context.open() as project:
        if mirror is not None:
            mended = repair(project, mirror)
            click.echo(f"{len(mended.packs)} packs repaired, {mended.fetched} objects fetched", err=True)
            for said in mended.left:
                click.echo(said, err=True)
        findings = list(verify_project(project, head))
    errors = [f for f in findings if f.severity == "error"]

    def render() -> str:
        lines = [click.style(f"{f.kind} {f.what}: ", fg="red") + f.message for f in errors]
        lines += [f"note: {f.message}" for f in findings if f.severity == "note"]
        lines.append("everything is what it says" if not errors else f"{len(errors)} things are wrong")
        return "\n".join(lines)

    context.show(findings, render)
    return 1 if errors else 0
