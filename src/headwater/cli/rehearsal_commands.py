"""``hw release backtest``, ``replay``, ``budget``, ``review``, ``consumers``, ``channels`` and ``show``."""

from __future__ import annotations

import click

from .context import Context, pass_context, table, when


@click.command("backtest")
@click.argument("version")
@click.argument("channel", default="production")
@click.option("--rows", default=5000, show_default=True, help="How many of the newest recorded rows.")
@click.option("--since", help="Only what happened since this date or time (UTC).")
@click.option("--until", help="Only what happened before this date or time (UTC).")
@click.option("--metric", default="", help="Default: the main one of the task.")
@pass_context
def backtest_command(
    context: Context, version: str, channel: str, rows: int, since: str | None, until: str | None, metric: str
) -> int:
    """Ask VERSION what CHANNEL was asked, and compare with what was answered and what turned out true.

    The evidence is what the gate 'backtest' reads. Exit code 1: rows are refused, or it is worse.
    """
    from headwater.release.log import at_us
    from headwater.serve.rehearsal import backtest

    start, end = (at_us(each) if each else None for each in (since, until))
    with context.open() as project:
        made = backtest(project, version, channel, rows=rows, start=start, end=end, metric=metric)
    context.show(made, lambda: f"{made.body['sentence']}\n{made.ref}")
    return 1 if made.body["refused"] or made.body["worse"] else 0


@click.command("replay")
@click.argument("version")
@click.argument("channel", default="production")
@click.option("--rows", default=200, show_default=True, help="How many of each consumer's newest recorded rows.")
@pass_context
def replay_command(context: Context, version: str, channel: str, rows: int) -> int:
    """Ask VERSION what each consumer of CHANNEL asked, and say whose calls would break.

    The evidence is what the gate 'consumers' reads. Exit code 1: a registered consumer has a problem.
    """
    from headwater.serve.rehearsal import replay_calls

    with context.open() as project:
        made = replay_calls(project, version, channel, rows=rows)

    def render() -> str:
        rows = [(each["name"], each["rows"], "; ".join(each["problems"]) or "fine") for each in made.body["consumers"]]
        rows += [
            (
                f"{each['caller'] or '(nobody named)'} (not registered)",
                each["rows"],
                "; ".join(each["problems"]) or "fine",
            )
            for each in made.body["undeclared"]
        ]
        return f"{made.body['sentence']}\n\n{table(('consumer', 'rows', 'outcome'), rows, right=(1,))}\n{made.ref}"

    context.show(made, render)
    return 0 if made.body["passed"] else 1


@click.command("budget")
@click.argument("version")
@click.option("--channel", default="production", show_default=True, help="Whose recorded rows to answer.")
@click.option("--rows", default=500, show_default=True, help="How many rows to answer one by one.")
@pass_context
def budget_command(context: Context, version: str, channel: str, rows: int) -> None:
    """Measure what VERSION costs to serve, in a process of its own; the gate 'budget' reads it."""
    from headwater.serve.rehearsal import measure_budget

    with context.open() as project:
        made = measure_budget(project, version, channel, rows=rows)
    context.show(made, lambda: f"{made.body['sentence']}\n{made.ref}")


@click.command("review")
@click.argument("version")
@click.argument("decision", type=click.Choice(["approve", "reject"]))
@click.option("--reason", "-r", required=True, help="What was looked at, and why.")
@pass_context
def review_command(context: Context, version: str, decision: str, reason: str) -> None:
    """Say what you think of VERSION; the gate 'reviewer' reads it. Moves nothing."""
    from headwater.release import review_version

    with context.open() as project:
        made = review_version(project, version, "approve" if decision == "approve" else "reject", reason)
    context.show(made, lambda: f"{made.by}: {made.decision}. {made.reason}\n{made.ref}")


@click.group()
def consumers() -> None:
    """Who relies on a model's answers: registered, and seen to ask."""


@consumers.command("list")
@click.argument("model")
@click.option("--channel", default="production", show_default=True)
@pass_context
def consumers_list(context: Context, model: str, channel: str) -> None:
    """Show the registered consumers of MODEL, and callers in its traffic that nobody registered."""
    from headwater.serve.rehearsal import list_callers, list_consumers

    with context.open() as project:
        registered = list_consumers(project, model, channel=channel)
        seen = list_callers(project, model, channel=channel)

    def render() -> str:
        rows = []
        for each in registered:
            mine = [caller for caller in seen if caller.consumer == each.name]
            last = max((caller.last_at for caller in mine), default=None)
            reads = ", ".join(each.reads) or "all"
            rows.append(
                (each.name, ", ".join(each.callers), reads, sum(c.rows for c in mine), when(last), each.contact)
            )
        rows += [
            ("(not registered)", caller.caller or "(nobody named)", "", caller.rows, when(caller.last_at), "")
            for caller in seen
            if caller.consumer is None
        ]
        return table(("consumer", "asks as", "reads", "rows", "last asked", "contact"), rows, right=(3,))

    context.show({"registered": registered, "callers": seen}, render)


@consumers.command("register")
@click.argument("model")
@click.argument("name")
@click.option("--channel", default="production", show_default=True)
@click.option("--caller", "callers", multiple=True, help="A name under which it asks; default: NAME.")
@click.option("--reads", multiple=True, help="An output that it relies on; default: all of them.")
@click.option("--contact", default="", help="Whom to ask.")
@pass_context
def consumers_register(
    context: Context,
    model: str,
    name: str,
    channel: str,
    callers: tuple[str, ...],
    reads: tuple[str, ...],
    contact: str,
) -> None:
    """Register NAME as somebody who relies on MODEL, or replace what was registered."""
    from headwater.serve.rehearsal import register_consumer

    with context.open() as project:
        made = register_consumer(project, model, name, channel=channel, callers=callers, reads=reads, contact=contact)
    asks = ", ".join(made.callers)
    context.show(made, lambda: f"{made.name} relies on {made.model}@{made.channel} and asks as {asks}")


@consumers.command("remove")
@click.argument("model")
@click.argument("name")
@click.option("--channel", default="production", show_default=True)
@pass_context
def consumers_remove(context: Context, model: str, name: str, channel: str) -> None:
    """Forget a registered consumer."""
    from headwater.serve.rehearsal import remove_consumer

    with context.open() as project:
        remove_consumer(project, model, name, channel=channel)
    context.show({"removed": name}, lambda: f"{name} is no registered consumer of {model}@{channel} any more")


@click.command("channels")
@click.argument("model", required=False)
@pass_context
def channels_command(context: Context, model: str | None) -> None:
    """Show the channels of all models or one: what each points to, and what it demands."""
    from headwater.release import list_channels

    with context.open() as project:
        found = list_channels(project, model)
    context.show(
        found,
        lambda: table(
            ("model", "channel", "version", "since", "approvals", "gates"),
            [
                (
                    each.model,
                    each.channel,
                    f"v{each.release.number}" if each.release else "nothing yet",
                    when(each.release.released_at) if each.release else "",
                    each.demands or "none",
                    ", ".join(each.gates) or "none",
                )
                for each in found
            ],
        ),
    )


@click.command("show")
@click.argument("release")
@pass_context
def show_command(context: Context, release: str) -> None:
    """Show one release: what it replaced, who approved it with which words, and what each gate found."""
    from headwater.release import get_release

    from .release_commands import release_text

    with context.open() as project:
        found = get_release(project, release)
    context.show(found, lambda: release_text(found))
