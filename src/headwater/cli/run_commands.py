"""``hw runs``: the experiments."""

from __future__ import annotations

from typing import Any

import click

from .context import Context, pass_context, table, when


@click.group()
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

    context.show(
        page, lambda: table(("run", "name", "status", "started", "took", "by", *metrics), [row(r) for r in page.runs])
    )


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


@runs.command("log")
@click.argument("run")
@click.option("--task", help="Only this task's lines.")
@click.option("--limit", default=1000, show_default=True)
@pass_context
def log(context: Context, run: str, task: str | None, limit: int) -> None:
    """Show what RUN and its steps printed."""
    from headwater.track import read_log

    with context.open() as project:
        lines = read_log(project, run, task=task, limit=limit)
    context.show(lines, lambda: "\n".join(f"{when(each.occurred_at)}  {each.text}" for each in lines) or "(nothing)")
