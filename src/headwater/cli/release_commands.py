"""``hw release`` and ``hw rollback``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .context import Context, pass_context, printable, table, when
from .lazy import LazyGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.release import GateResult, Release, ReleaseRequest


ELSEWHERE: dict[str, tuple[str, str]] = {
    "show": ("rehearsal_commands:show_command", "One release: what it replaced, who approved it, on what evidence."),
    "channels": ("rehearsal_commands:channels_command", "What each channel points to, and what it demands."),
    "review": ("rehearsal_commands:review_command", "Say what you think of a version, for the gate 'reviewer'."),
    "backtest": ("rehearsal_commands:backtest_command", "Ask a version what a channel was asked."),
    "replay": ("rehearsal_commands:replay_command", "Ask a version what each consumer asked."),
    "budget": ("rehearsal_commands:budget_command", "Measure latency, loading time and memory of a version."),
    "consumers": ("rehearsal_commands:consumers", "Who relies on a model's answers."),
    "rollouts": ("rollout_commands:rollouts", "Canaries and shadows, and the live figures of one."),
    "shadow": ("rollout_commands:shadow", "Let a version see a copy of what a channel is asked."),
    "stop": ("rollout_commands:stop", "End a canary or shadow."),
    "control": ("rollout_commands:control", "Judge the open canaries: let them grow, or go back."),
}


@click.group(cls=LazyGroup, lazy=ELSEWHERE)
def release() -> None:
    """Moving a channel to another version of a model: gates, then the approvals it demands."""


@release.command("request")
@click.argument("version")
@click.argument("channel")
@click.option("--reason", "-r", required=True, help="Why this version should be there.")
@click.option("--canary", is_flag=True, help="Let its share of requests grow by stages first.")
@pass_context
def request(context: Context, version: str, channel: str, reason: str, canary: bool) -> int:
    """Ask that CHANNEL (staging, production, …) point to VERSION (delay@v3)."""
    from headwater.release import request_release

    with context.open() as project:
        made = request_release(project, version, channel, reason, kind="canary" if canary else "direct")
    return _show_request(context, made)


@release.command("gates")
@click.argument("version")
@click.argument("channel")
@pass_context
def gates(context: Context, version: str, channel: str) -> int:
    """Show what the gates of CHANNEL say of VERSION, changing nothing."""
    from headwater.release import check_gates

    with context.open() as project:
        found = check_gates(project, version, channel)
    context.show(found, lambda: _gate_table(found))
    return 0 if all(gate.open for gate in found) else 1


@release.command("approve")
@click.argument("request", metavar="REQUEST")
@click.option("--reason", "-r", required=True)
@pass_context
def approve_command(context: Context, request: str, reason: str) -> int:
    """Say yes to a request; the last yes that was missing releases it."""
    from headwater.release import approve

    with context.open() as project:
        made = approve(project, request, reason)
    return _show_request(context, made)


@release.command("reject")
@click.argument("request", metavar="REQUEST")
@click.option("--reason", "-r", required=True)
@pass_context
def reject_command(context: Context, request: str, reason: str) -> int:
    """Say no to a request, with a reason that is kept."""
    from headwater.release import reject

    with context.open() as project:
        made = reject(project, request, reason)
    context.show(made, lambda: f"request {made.id}: {made.status}. {made.why}")
    return 0


@release.command("requests")
@click.option("--status", help="waiting, released, rejected or closed.")
@click.option("--model")
@click.option("--limit", default=20, show_default=True)
@pass_context
def requests(context: Context, status: str | None, model: str | None, limit: int) -> None:
    """Show requests, newest first."""
    from headwater.release import list_release_requests

    with context.open() as project:
        found = list_release_requests(project, model, status=status, limit=limit)
    context.show(
        found,
        lambda: table(
            ("request", "model", "version", "channel", "status", "by", "when", "why"),
            [
                (
                    r.id,
                    r.model,
                    f"v{r.number}",
                    r.channel,
                    r.status,
                    r.requested_by,
                    when(r.requested_at),
                    f"waits for {r.waits_for}" if r.waits_for else r.why[:80],
                )
                for r in found
            ],
        ),
    )


@release.command("log")
@click.option("--model")
@click.option("--channel")
@click.option("--at", help="What was there at this date or time (UTC), who approved it, on what evidence.")
@click.option("--limit", default=20, show_default=True)
@pass_context
def log(context: Context, model: str | None, channel: str | None, at: str | None, limit: int) -> None:
    """Show releases and rollbacks, newest first; with --at what was where then, and why."""
    from headwater.release import release_log

    with context.open() as project:
        found = release_log(project, model, channel, at=at, limit=limit)
    if at is not None:
        nothing = f"nothing was released by {at} UTC"
        context.show(found, lambda: "\n\n".join(release_text(each) for each in found) or nothing)
        return
    context.show(
        found,
        lambda: table(
            ("when", "model", "channel", "version", "kind", "by", "approved by", "reason", "release"),
            [
                (
                    when(r.released_at),
                    r.model,
                    r.channel,
                    f"v{r.number}",
                    r.kind,
                    _person(r.by, r.claimed),
                    ", ".join(a.by for a in r.approvals),
                    r.reason,
                    r.id,
                )
                for r in found
            ],
        ),
    )


def release_text(found: Release) -> str:
    """Return one release as people read it: what is where since when, who said so, and on what evidence."""
    before = f"v{found.previous_number}" if found.previous_number else "nothing"
    lines = [
        click.style(f"{found.model}@{found.channel} is v{found.number} since {when(found.released_at)} UTC", bold=True),
        f"  {found.kind} {found.id}, replaced {before}",
        f"  by {_person(found.by, found.claimed)}: {found.reason}",
    ]
    for each in found.approvals:
        as_roles = f" as {', '.join(each.roles)}" if each.roles else ""
        said = "approved" if each.decision == "approve" else "rejected"
        lines.append(f"  {said} by {_person(each.by, each.claimed)}{as_roles}: {each.reason}")
    if not found.approvals:
        lines.append("  no approval" + (": going back needs none" if found.kind == "rollback" else " was demanded"))
    for gate in found.gates:
        looked = f" [{', '.join(gate.looked_at)}]" if gate.looked_at else ""
        lines.append(f"  gate {gate.name} was {'open' if gate.open else 'closed'}: {gate.found}{looked}")
    if not found.gates:
        lines.append("  no gate" + (": going back takes none" if found.kind == "rollback" else " was declared"))
    return "\n".join(printable(line) if number else line for number, line in enumerate(lines))


def _person(name: str, claimed: bool) -> str:
    return f"{name} (claimed)" if claimed else name


@click.command()
@click.argument("model")
@click.option("--channel", default="production", show_default=True)
@click.option("--to", help="A version that was there before; default: the one that the present one replaced.")
@click.option("--reason", "-r", required=True)
@pass_context
def rollback(context: Context, model: str, channel: str, to: str | None, reason: str) -> None:
    """Put back what MODEL's channel pointed to before. No gate; recorded.

    A canary under way is taken back first. --to names any version behind the present one (v3 or delay@v3). Going
    forward again, to one that was taken back, takes a request where the channel has gates or approvals. Where it
    demands people who are signed in (authenticated = true), a claimed name does not take back either.
    """
    from headwater.release import rollback as roll_back

    with context.open() as project:
        made = roll_back(project, model, channel, to=to, reason=reason)
    context.show(made, lambda: f"{made.model}@{made.channel} is v{made.number} again (was v{made.previous_number})")


def _show_request(context: Context, made: ReleaseRequest) -> int:
    def render() -> str:
        head = f"request {made.id}: {made.model} v{made.number} → {made.channel}: {made.status}"
        head += f" for {made.waits_for}" if made.waits_for else ""
        return "\n".join(part for part in (head, made.why, _gate_table(made.gates)) if part)

    context.show(made, render)
    return 0 if made.status in ("waiting", "released") else 1


def _gate_table(gates: Sequence[GateResult]) -> str:
    rows = [("open" if g.open else "closed", g.name, g.found, g.wants, g.do) for g in gates]
    return table(("gate", "name", "found", "wants", "do"), rows) if rows else ""
