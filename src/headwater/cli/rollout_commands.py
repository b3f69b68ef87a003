"""``hw release rollouts``, ``shadow``, ``stop`` and ``control``: what is on its way into a channel."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from .context import Context, pass_context, table, when

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.release import RolloutFigures, RolloutRecord


@click.command()
@click.argument("rollout", required=False)
@click.option("--model")
@click.option("--status", help="open, released or withdrawn.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@pass_context
def rollouts(context: Context, rollout: str | None, model: str | None, status: str | None, limit: int) -> None:
    """Show canaries and shadows, newest first; or ROLLOUT with its live figures and what they call for."""
    from headwater.release import get_rollout, list_rollouts

    if rollout is not None:
        with context.open() as project:
            one = get_rollout(project, rollout)
        context.show(one, lambda: figures_text(one))
        return
    with context.open() as project:
        found = list_rollouts(project, model, status=status, limit=limit)
    context.show(found, lambda: _rollout_table(found))


@click.command()
@click.argument("version")
@click.argument("channel")
@click.option("--reason", "-r", required=True)
@pass_context
def shadow(context: Context, version: str, channel: str, reason: str) -> None:
    """Let VERSION (delay@v3) see a copy of what CHANNEL is asked; its answers are given to nobody."""
    from headwater.release import start_shadow

    with context.open() as project:
        made = start_shadow(project, version, channel, reason)
    context.show(made, lambda: f"{made.model} v{made.number} shadows {made.channel} (rollout {made.id})")


@click.command()
@click.argument("rollout")
@click.option("--reason", "-r", required=True)
@pass_context
def stop(context: Context, rollout: str, reason: str) -> None:
    """End a canary or shadow: what the channel points to answers everything again. No gate; recorded."""
    from headwater.release import stop_rollout

    with context.open() as project:
        made = stop_rollout(project, rollout, reason)
    context.show(made, lambda: f"the {made.kind} of {made.model} v{made.number} in {made.channel} has ended")


@click.command()
@click.option("--every", type=click.FloatRange(0.1), help="Go on, looking again after so many seconds; ^C ends it.")
@pass_context
def control(context: Context, every: float | None) -> int:
    """Judge the open canaries by their live figures: let them grow, or go back. 'hw up' does so by itself.

    Exit code 1: one went back.
    """
    from headwater.release import run_controller

    with context.open() as project:
        while True:
            found = run_controller(project)
            context.show(found, lambda found=found: "\n".join(map(figures_text, found)) or "no canary is under way")  # type: ignore[misc]  # a default argument
            if every is None:
                return 1 if any(each.verdict.act == "back" for each in found) else 0
            time.sleep(every)


def figures_text(figures: RolloutFigures) -> str:
    """Return a rollout's figures as people read them."""
    rollout, live = figures.rollout, figures.live
    said = {"grow": "it grows", "back": "it goes back", "wait": "it stays"}[figures.verdict.act]
    rows = [
        (name, side.answers, side.failures, "" if side.p95_us is None else f"{side.p95_us / 1000:.1f}")
        for name, side in ((f"v{rollout.number}", live.canary), (f"v{rollout.stable_number}", live.stable))
    ]
    return "\n".join(
        (
            _rollout_table([rollout]),
            table(("version", "answers", "failures", "p95 ms"), rows, right=(1, 2, 3)),
            f"{said}: {figures.verdict.why}" if rollout.status == "open" else f"{rollout.status}: {rollout.why}",
        )
    )


def _rollout_table(found: Sequence[RolloutRecord]) -> str:
    headers = ("rollout", "model", "channel", "kind", "version", "beside", "share", "status", "since", "why")
    rows = [
        (
            each.id,
            each.model,
            each.channel,
            each.kind,
            f"v{each.number}",
            f"v{each.stable_number}",
            f"{each.share:g} %" if each.kind == "canary" else "",
            each.status,
            when(each.stage_at),
            each.why[:80],
        )
        for each in found
    ]
    return table(headers, rows)
