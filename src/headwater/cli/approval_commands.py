"""``hw runs questions``, ``approve`` and ``reject``: what runs wait for."""

from __future__ import annotations

import click

from .context import Context, pass_context, table, when


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also those that were answered.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@pass_context
def questions(context: Context, everything: bool, limit: int) -> None:
    """Show what runs wait for."""
    from headwater.flow import list_questions

    with context.open() as project:
        found = list_questions(project, status="" if everything else "waiting", limit=limit)
    rows = [(q.run, q.title, q.role, q.asked_by, when(q.asked_at), q.status, q.decided_by, q.reason) for q in found]
    headers = ("run", "question", "for", "asked by", "asked", "status", "answered by", "reason")
    context.show(found, lambda: table(headers, rows))


@click.command()
@click.argument("run")
@click.option("--reason", required=True, help="Why; it is recorded.")
@pass_context
def approve(context: Context, run: str, reason: str) -> None:
    """Say yes to what RUN waits for; a worker lets it go on."""
    from headwater.flow import approve_run

    with context.open() as project:
        found = approve_run(project, run, reason)
    context.show(found, lambda: f"approved: {found.title}")


@click.command()
@click.argument("run")
@click.option("--reason", required=True, help="Why; it is recorded.")
@pass_context
def reject(context: Context, run: str, reason: str) -> None:
    """Say no to what RUN waits for; its flow ends with an error that tells so."""
    from headwater.flow import reject_run

    with context.open() as project:
        found = reject_run(project, run, reason)
    context.show(found, lambda: f"rejected: {found.title}")
