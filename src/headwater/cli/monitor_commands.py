"""``hw watch`` and ``hw alarm``."""

from __future__ import annotations

import click

from .context import Context, pass_context, table, when


@click.command()
@click.argument("monitor", required=False)
@pass_context
def watch(context: Context, monitor: str | None) -> int:
    """Measure the windows that are complete, of one monitor or of all. Exit code 1 when an alarm was raised."""
    from headwater.monitor import list_monitors, run_monitor

    with context.open() as project:
        names = [monitor] if monitor else [m.name for m in list_monitors(project)]
        reports = [run_monitor(project, name) for name in names]

    def render() -> str:
        lines = []
        for report in reports:
            lines.append(f"{report.monitor}: {len(report.windows)} new windows, {len(report.alarms)} alarms")
            lines += [
                f"  {when(w.start_at)} – {when(w.end_at)} {w.kind}: {w.rows} rows, v{w.number}" for w in report.windows
            ]
            lines += [click.style(f"  alarm {a.id}: {a.title}", fg="red") for a in report.alarms]
            lines += [f"  {note}" for note in report.notes]
        return "\n".join(lines) or "no monitor is declared: write [[monitors]] in headwater.toml"

    context.show(reports, render)
    return 1 if any(report.alarms for report in reports) else 0


@click.group()
def alarm() -> None:
    """What monitors found."""


@alarm.command("list")
@click.option("--open", "open_only", is_flag=True, help="Only those that nobody acknowledged.")
@click.option("--limit", default=20, show_default=True)
@pass_context
def list_command(context: Context, open_only: bool, limit: int) -> None:
    """Show alarms, newest first."""
    from headwater.monitor import list_alarms

    with context.open() as project:
        found = list_alarms(project, open_only=open_only, limit=limit)
    context.show(
        found,
        lambda: table(
            ("alarm", "when", "monitor", "what", "settled by"),
            [(a.id, when(a.created_at), a.monitor, a.title, a.acknowledged_by or "") for a in found],
        ),
    )


@alarm.command("show")
@click.argument("identifier", metavar="ALARM")
@pass_context
def show(context: Context, identifier: str) -> None:
    """Show one alarm with its evidence."""
    from headwater.monitor import get_alarm

    with context.open() as project:
        found = get_alarm(project, identifier)
    context.show(
        found,
        lambda: "\n".join(
            [f"{found.title}", f"{found.model} v{found.number}, {when(found.start_at)} – {when(found.end_at)}"]
            + [f"- {cause['sentence']}" for cause in found.body.get("causes", [])]
        ),
    )


@alarm.command("acknowledge")
@click.argument("identifier", metavar="ALARM")
@click.option("--reason", "-r", required=True, help="Why it is settled.")
@pass_context
def acknowledge_command(context: Context, identifier: str, reason: str) -> None:
    """Say that an alarm is settled, and why; the same cause may alarm again from fresh evidence."""
    from headwater.monitor import acknowledge

    with context.open() as project:
        found = acknowledge(project, identifier, reason)
    context.show(found, lambda: f"settled: {found.title}")
