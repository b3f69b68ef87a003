"""``hw runs``: the experiments."""

from __future__ import annotations

from typing import Any

import click

from .context import Context, counted, pass_context, table, when
from .lazy import LazyGroup

ELSEWHERE: dict[str, tuple[str, str]] = {
    "explain": ("explain_commands:explain_command", "Why a step of a run ran, or did not have to."),
    "questions": ("approval_commands:questions", "What runs wait for."),
    "approve": ("approval_commands:approve", "Say yes to what a run waits for."),
    "reject": ("approval_commands:reject", "Say no to what a run waits for."),
    "logs": ("log_commands:logs_command", "What a run and its steps printed; --follow while it runs."),
    "progress": ("log_commands:progress_command", "How far a run is, and what runs now."),
    "code": ("again_commands:code_command", "What code a run ran: modules, files, commit, packages."),
    "cancel": ("log_commands:cancel_command", "End a flow that runs, here or elsewhere."),
    "trials": ("tune_commands:trials_command", "Show the trials of a search, the best first."),
}


@click.group(cls=LazyGroup, lazy=ELSEWHERE)
def runs() -> None:
    """Runs of flows and of tracked blocks."""


@runs.command("list")
@click.option(
    "--filter", "-f", "condition", default="", help="metrics.auc > 0.7 and params.depth = 8 and status = 'done'"
)
@click.option("--order", default="-started_at", show_default=True, help="A column, params.X or metrics.X; - for down.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--metric", "metrics", multiple=True, help="Show this metric as a column (repeatable).")
@pass_context
def list_command(context: Context, condition: str, order: str, limit: int, metrics: tuple[str, ...]) -> None:
    """Show runs."""
    from headwater.track import list_runs

    with context.open() as project:
        page = list_runs(project, filter=condition, order=order, limit=limit)

    def row(run: Any) -> tuple[Any, ...]:
        seconds = "" if run.seconds is None else f"{run.seconds:.1f} s"
        values = (run.metrics[key].last if key in run.metrics else None for key in metrics)
        return (run.id, run.name, run.status, when(run.started_at), seconds, run.author, *values)

    headers = ("run", "name", "status", "started", "took", "by", *metrics, "told from the one before")
    rows = [(*row(run), told) for run, told in zip(page.runs, page.told, strict=True)]
    context.show(page, lambda: table(headers, rows))


@runs.command("archive")
@click.argument("runs", nargs=-1)
@click.option("--filter", "-f", "condition", default="", help="All runs that this holds for: metrics.auc < 0.6")
@click.option("--undo", is_flag=True, help="Bring archived runs back.")
@pass_context
def archive(context: Context, runs: tuple[str, ...], condition: str, undo: bool) -> None:
    """Leave RUNS out of lists; nothing is lost, and the filter archived = true shows them."""
    from headwater.track import archive_runs

    with context.open() as project:
        moved = archive_runs(project, list(runs), filter=condition, archived=not undo)
    said = "brought back" if undo else "archived"
    context.show({"moved": moved}, lambda: f"{counted(moved, 'run')} {said}.")


@runs.command("delete")
@click.argument("runs", nargs=-1)
@click.option("--filter", "-f", "condition", default="", help="All runs that this holds for: metrics.auc < 0.6")
@click.option("--dry-run", is_flag=True, help="Only say which would go and which would stay.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_context
def delete(context: Context, runs: tuple[str, ...], condition: str, dry_run: bool, yes: bool) -> None:
    """Delete RUNS: parameters, metrics, logs, files, and results that no other run used.

    The row of a deleted run says when and by whom. A run stays that is under way, held, or that a model version
    descends from. 'hw data collect' frees the bytes of files and results afterwards.
    """
    from headwater.trace import delete_runs

    with context.open() as project:
        found = delete_runs(project, list(runs), filter=condition, dry_run=True)
        if found.runs and not dry_run:
            if not yes and not context.as_json:
                click.confirm(f"Delete {counted(len(found.runs), 'run')} for good?", abort=True)
            found = delete_runs(project, list(found.runs))

    def render() -> str:
        verb = "deleted" if found.done else "would be deleted"
        lines = [f"{counted(len(found.runs), 'run')} {verb}."]
        lines += [f"{each.run} stays: {each.why}." for each in found.kept]
        if found.done and found.runs:
            lines.append(f"{found.event_rows:,} points and lines are gone; 'hw data collect --free' frees the rest.")
        return "\n".join(lines)

    context.show(found, render)
    if found.kept and not found.runs:
        raise click.exceptions.Exit(1)


@runs.command("show")
@click.argument("run")
@pass_context
def show(context: Context, run: str) -> None:
    """Show one run: parameters, metrics, artefacts, and its error if it failed."""
    from headwater.track import get_run

    with context.open() as project:
        found = get_run(project, run)

    def render() -> str:
        lines = [
            f"{found.name}  {found.id}  {found.status}",
            f"{found.kind} by {found.author} on {found.host}, {when(found.started_at)} – {when(found.ended_at)}",
        ]
        if found.code:
            at = f", commit {found.environment['commit'][:12]}" if "commit" in found.environment else ""
            changed = " with uncommitted changes" if "diff" in found.environment else ""
            lines.append(f"its code and packages{at}{changed}: hw runs code {found.id}")
        if found.params:
            lines += ["", table(("parameter", "value"), sorted(found.params.items()))]
        if found.metrics:
            rows = [
                (m.key, f"{m.last:.6g}", m.last_step, m.least, m.greatest, m.points)
                for m in sorted(found.metrics.values(), key=lambda m: m.key)
            ]
            lines += ["", table(("metric", "last", "step", "least", "greatest", "points"), rows, right=(1, 2, 3, 4, 5))]
        if found.artefacts:
            lines += ["", table(("artefact", "bytes", "type"), [(a.name, a.size, a.media) for a in found.artefacts])]
        if found.error:
            lines += ["", click.style(found.error, fg="red"), found.traceback]
        return "\n".join(lines)

    context.show(found, render)


@runs.command("compare")
@click.argument("runs", nargs=-1, required=True)
@click.option("--all", "everything", is_flag=True, help="Also what is the same in all.")
@pass_context
def compare(context: Context, runs: tuple[str, ...], everything: bool) -> None:
    """Show runs side by side: what differs."""
    from headwater.track import compare_runs

    with context.open() as project:
        found = compare_runs(project, list(runs))

    def render() -> str:
        rows: list[tuple[Any, ...]] = []
        for kind, part in (("param", found.params), ("metric", found.metrics), ("tag", found.tags), ("", found.facts)):
            rows += [(f"{kind} {r.key}".strip(), *r.values) for r in part if everything or r.differs]
        return table(("", *(f"{r.name} …{r.id[-6:]}" for r in found.runs)), rows)

    context.show(found, render)


@runs.command("metrics")
@click.argument("run")
@click.argument("key", required=False)
@click.option("--points", default=50, show_default=True, type=click.IntRange(2, 100_000))
@pass_context
def metrics_command(context: Context, run: str, key: str | None, points: int) -> None:
    """Show the keys that RUN logged, or the series of one."""
    from headwater.track import metric_keys, metric_series

    with context.open() as project:
        if key is None:
            keys = metric_keys(project, run)
            context.show(keys, lambda: "\n".join(keys))
            return
        series = metric_series(project, run, key, points)
    context.show(
        series,
        lambda: table(
            ("step", "when", key), [(p.step, when(p.occurred_at), p.value) for p in series.points], right=(0, 2)
        ),
    )
