"""``hw stream``: flows over what keeps coming."""

from __future__ import annotations

import click

from .context import Context, counted, pass_context, printable, table, when


@click.group()
def stream() -> None:
    """Flows over Kafka topics, the project's own events or webhooks, by the batch, each exactly once into the lake."""


@stream.command("list")
@pass_context
def list_command(context: Context) -> None:
    """Show the streams that headwater.toml declares."""
    from headwater.flow import list_streams

    with context.open() as project:
        found = list_streams(project)
    rows = [(each.name, each.flow, each.into, each.every, each.description) for each in found]
    context.show(found, lambda: table(("stream", "flow", "into", "every", "what it is"), rows))


@stream.command("status")
@click.argument("name", metavar="STREAM")
@pass_context
def status(context: Context, name: str) -> None:
    """Show how far STREAM is, what it promises, and what it could not take."""
    from headwater.flow import stream_status

    with context.open() as project:
        found = stream_status(project, name)
    last, contract = found.last, found.contract
    facts = [
        ("from", found.origin),
        ("into", found.stream.into),
        ("flow", found.stream.flow),
        ("every", found.stream.every),
        ("behind", f"not known: {found.problem}" if found.behind is None else counted(found.behind, "record")),
        ("last batch", f"{last.outcome} {when(last.started_at)}  {last.message}" if last else "none yet"),
        ("put apart", counted(found.rejected, "record")),
    ]
    lines = [f"{label:<11} {printable(text)}" for label, text in facts]
    if contract is not None:
        lines.append(f"contract {contract.number}: {contract.reason}, {contract.recorded_by}")
        lines += [f"  {column:<24} {kind}" for column, kind in contract.columns.items()]
    context.show(found, lambda: "\n".join(lines))


@stream.command("run")
@click.argument("name", metavar="STREAM")
@click.option("--once", is_flag=True, help="Take in what is there now, then end.")
@click.option("--batches", default=0, help="At most so many batches; 0: any number.")
@pass_context
def run(context: Context, name: str, once: bool, batches: int) -> None:
    """Work on STREAM in this process until stopped; a server or worker does so by itself."""
    import time

    from headwater.flow import advance_stream, list_streams
    from headwater.jobs.schedules import period_us

    done = 0
    with context.open() as project:
        every_s = next((period_us(each.every) / 1e6 for each in list_streams(project) if each.name == name), 1.0)
        while True:
            advance = advance_stream(project, name, batches=batches)
            done += len(advance.batches)
            for batch in advance.batches:
                click.echo(f"{batch.outcome}: {printable(batch.message)}", err=True)
            if once or batches:
                break
            time.sleep(every_s)
    context.show({"batches": done}, lambda: f"{counted(done, 'batch') if done == 1 else f'{done:,} batches'} taken in")


@stream.command("accept")
@click.argument("name", metavar="STREAM")
@click.option("--reason", required=True, help="Why; its consumers will ask.")
@pass_context
def accept(context: Context, name: str, reason: str) -> None:
    """Let STREAM promise what its flow makes now."""
    from headwater.flow import accept_contract

    with context.open() as project:
        found = accept_contract(project, name, reason)
    context.show(found, lambda: f"contract {found.number}: {', '.join(f'{c} {t}' for c, t in found.columns.items())}")


@stream.command("rejects")
@click.argument("name", metavar="STREAM")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@pass_context
def rejects(context: Context, name: str, limit: int) -> None:
    """Show the records that STREAM could not take, and why."""
    import msgspec

    from headwater.flow import list_rejects

    with context.open() as project:
        found = list_rejects(project, name, limit=limit)
    rows = [(when(r.at), r.reason[:80], msgspec.json.encode(r.record).decode()[:80]) for r in found]
    context.show(found, lambda: table(("at", "reason", "record"), rows))
