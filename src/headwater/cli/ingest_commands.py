"""``hw ingest``: sources of data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .context import Context, counted, pass_context, size, table, when
from .lazy import LazyGroup
from .progress import file_progress

if TYPE_CHECKING:
    from headwater.ingest import Plan, Proof, Pull, SourceInfo

_COLOURS = {"published": "green", "unchanged": None, "quarantined": "yellow", "committed": "yellow", "failed": "red"}
_FILES = 20


@click.group(cls=LazyGroup)
def ingest() -> None:
    """Sources of data, declared as [[source]] in headwater.toml or with hw.source in sources.py.

    Each pull that brings something new makes one version, with proof of where it came from. A source with parameters
    is pulled as: hw ingest pull orders customer=acme
    """


@ingest.command("list")
@pass_context
def list_command(context: Context) -> None:
    """List the declared sources, how their last pull went, and when they are due."""
    from headwater.ingest import list_sources

    with context.open() as project:
        found = list_sources(project)
    rows = [
        [s.name, s.kind, s.dataset, " ".join(s.parameters), _last(s.last), _due(s), s.problem or s.origin]
        for s in found
    ]
    heads = ["source", "kind", "dataset", "parameters", "last pull", "next", "from"]
    context.show(found, lambda: table(heads, rows))


@ingest.command("show")
@click.argument("name")
@pass_context
def show_command(context: Context, name: str) -> None:
    """Show a source by its name, or a pull by its id (or the version it made): where each file came from."""
    from headwater.errors import NotFoundError
    from headwater.ids import is_id
    from headwater.ingest import history, read_proof, show_source
    from headwater.lake import resolve

    with context.open() as project:
        if name.startswith("pull:") or is_id(name.removeprefix("version:")):
            proof = read_proof(project, name)
            context.show(proof, lambda: _proof_text(proof))
            return
        if "@" in name:
            proof = read_proof(project, resolve(project, name).id)
            context.show(proof, lambda: _proof_text(proof))
            return
        try:
            source = show_source(project, name)
        except NotFoundError:
            if not history(project, name, limit=1):
                raise
            raise NotFoundError(
                f"source '{name}' is not declared any more. 'hw ingest history {name}' shows its pulls.", source=name
            ) from None
        pulls = history(project, name, limit=10)
    context.show(source, lambda: _source_text(source, pulls))


@ingest.command("pull")
@click.argument("name")
@click.argument("parameters", nargs=-1, metavar="[PARAMETER=VALUE]...")
@click.option("--dry-run", is_flag=True, help="Say what would be fetched, and fetch none of it.")
@pass_context
def pull_command(context: Context, name: str, parameters: tuple[str, ...], dry_run: bool) -> int:
    """Pull a source now. Exit code 1 when what it brought waits in quarantine."""
    from headwater.ingest import plan, pull, watching

    given = _given(parameters)
    with context.open() as project:
        if dry_run:
            planned = plan(project, name, given)
            context.show(planned, lambda: _plan_text(planned))
            return 0
        with file_progress(f"pulling {name}") as progress, watching(progress):
            pulled = pull(project, name, given)
    context.show(pulled, lambda: _pull_text(pulled))
    return 1 if pulled.outcome == "quarantined" else 0


@ingest.command("history")
@click.argument("name", required=False)
@click.argument("parameters", nargs=-1, metavar="[PARAMETER=VALUE]...")
@click.option("--limit", "-n", default=20, show_default=True, help="How many pulls.")
@pass_context
def history_command(context: Context, name: str | None, parameters: tuple[str, ...], limit: int) -> None:
    """Show the pulls of a source (of all without a name), newest first, with what went wrong."""
    from headwater.ingest import history

    with context.open() as project:
        found = history(project, name, _given(parameters) or None, limit=limit)
    context.show(found, lambda: _history_text(found))


@ingest.command("test")
@click.argument("name")
@click.argument("parameters", nargs=-1, metavar="[PARAMETER=VALUE]...")
@pass_context
def test_command(context: Context, name: str, parameters: tuple[str, ...]) -> None:
    """Check a source's settings and whether its place answers; fetches no data."""
    from headwater.ingest import reach_source

    with context.open() as project:
        found = reach_source(project, name, _given(parameters))
    context.show(found, lambda: f"{found.origin}\n{found.found}")


def _given(parameters: Sequence[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for text in parameters:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"'{text}' is no parameter: write NAME=VALUE.")
        given[name] = value
    return given


def _words(parameters: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(parameters.items()))


def _coloured(outcome: str) -> str:
    return click.style(outcome, fg=_COLOURS.get(outcome))


def _last(pull: Pull | None) -> str:
    return "never" if pull is None else f"{pull.outcome} {when(pull.started_at)}"


def _due(source: SourceInfo) -> str:
    times = [each.next_at for each in source.schedules if each.next_at is not None]
    return when(min(times)) if times else ("paused" if source.schedules else "")


def _pull_text(pull: Pull) -> str:
    to = f"{pull.dataset}@v{pull.number}" if pull.number is not None else f"{pull.dataset}@{pull.branch}"
    if pull.outcome == "unchanged":
        head = f"{to}: nothing changed, no new version"
    else:
        removed = f", {pull.removed:,} removed" if pull.removed else ""
        head = f"{to}: {counted(pull.files, 'file')}, {size(pull.bytes)}{removed} from {pull.origin}"
    return "\n".join(part for part in (f"{_coloured(pull.outcome)} {head}", pull.message) if part)


def _history_text(pulls: Sequence[Pull]) -> str:
    rows = []
    for pull in pulls:
        took = "" if pull.ended_at is None else f"{(pull.ended_at - pull.started_at) / 1e6:.1f} s"
        to = f"v{pull.number}" if pull.number is not None else ""
        rows.append([
            when(pull.started_at), pull.source, _words(pull.parameters), pull.outcome,
            f"{pull.dataset}@{to or pull.branch}", pull.files, size(pull.bytes), took, pull.id, _short(pull.message),
        ])  # fmt: skip
    heads = ["started", "source", "parameters", "outcome", "to", "files", "size", "took", "pull", "said"]
    return table(heads, rows, right=(5, 6, 7))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else line[:99] + "…"


def _source_text(source: SourceInfo, pulls: Sequence[Pull]) -> str:
    to = f"{source.dataset}@{source.branch}" + (f", below {source.under}/" if source.under else "")
    lines = [
        click.style(f"{source.name} ({source.kind})", bold=True) + f" declared in {source.declared_in}",
        *([source.description] if source.description else []),
        f"from  {source.origin}",
        f"to    {to}",
    ]
    lines += [f"      {key} = {value}" for key, value in source.settings.items()]
    lines += [f"takes {' '.join(f'{name}=...' for name in source.parameters)}"] if source.parameters else []
    lines += [
        f"due   {when(each.next_at) or 'paused'} (trigger {each.trigger}, {each.cron})" for each in source.schedules
    ]
    lines += [click.style("cannot be used: ", fg="red") + source.problem] if source.problem else []
    return "\n".join([*lines, "", _history_text(pulls)])


def _proof_text(proof: Proof) -> str:
    head = [_pull_text(proof.pull), f"pull:{proof.pull.id} by {proof.pull.actor} at {when(proof.pull.started_at)}"]
    lines: list[str] = []
    for file in proof.files[:_FILES]:
        lines.append(f"{file['path']}  {size(int(file['size']))}  {file['digest']}")
        lines += [f"    {key}: {_value(key, value)}" for key, value in file.items() if key not in _SHOWN and value]
    if proof.total > _FILES:
        lines.append(f"... and {proof.total - _FILES:,} more (--json shows up to a thousand)")
    lines += [f"removed: {path}" for path in proof.removed[:_FILES]]
    return "\n".join([*head, *lines])


_SHOWN = {"path", "size", "digest"}


def _value(key: str, value: Any) -> str:
    return when(value) if key.endswith("_at") and isinstance(value, int) else str(value)


def _plan_text(plan: Plan) -> str:
    acts = {"fetch": "fetch", "ask": "ask  ", "remove": "remove"}
    lines = [f"{acts[each.act]} {each.what}" + (f"  ({each.why})" if each.why else "") for each in plan.planned]
    return "\n".join([f"{plan.origin} to {plan.dataset}@{plan.branch}; {plan.since}", *(lines or ["nothing to do"])])
