"""``hw check``: verdicts and quarantine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .context import Context, contents, pass_context, table, when

if TYPE_CHECKING:
    from headwater.check import Publication, Verdict

_COLOURS = {"passed": "green", "warned": "yellow", "failed": "red"}


@click.group()
def check() -> None:
    """Data tests. They run by themselves when data is added; here they run again, or quarantine is decided."""


@check.command("run")
@click.argument("ref")
@pass_context
def run(context: Context, ref: str) -> int:
    """Run the checks of a version now. Exit code 1 when one fails."""
    from headwater.check import run_checks

    with context.open() as project:
        verdict = run_checks(project, ref)
    context.show(verdict, lambda: verdict_text(verdict))
    return 1 if verdict.outcome == "failed" else 0


@check.command("show")
@click.argument("ref")
@pass_context
def show(context: Context, ref: str) -> int:
    """Show the newest verdict of a version."""
    from headwater.check import find_verdict
    from headwater.errors import NotFoundError

    with context.open() as project:
        verdict = find_verdict(project, ref)
    if verdict is None:
        raise NotFoundError(f"no check ran on {ref} yet. 'hw check run {ref}' runs them.")
    context.show(verdict, lambda: verdict_text(verdict))
    return 1 if verdict.outcome == "failed" else 0


@check.command("quarantine")
@click.argument("dataset", required=False)
@pass_context
def quarantine_command(context: Context, dataset: str | None) -> None:
    """Show the versions that wait because a check failed, and why."""
    from headwater.check import quarantine

    with context.open() as project:
        found = [q for q in quarantine(project) if dataset in (None, q.version.dataset)]
    context.show(
        found,
        lambda: (
            "\n\n".join(f"{q.version.ref} by {q.version.author}\n{verdict_text(q.verdict)}" for q in found) or "(none)"
        ),
    )


@check.command("release")
@click.argument("version")
@click.option("--reason", "-r", required=True, help="Why it may pass all the same; kept in the chain.")
@pass_context
def release(context: Context, version: str, reason: str) -> None:
    """Let a version out of quarantine: a recorded decision."""
    from headwater.check import release_from_quarantine

    with context.open() as project:
        branch = release_from_quarantine(project, version, reason)
    context.show(
        branch, lambda: f"{branch.dataset}: branch '{branch.name}' points to v{branch.number}, by this decision"
    )


def show_publication(context: Context, published: Publication, note: str = "") -> int:
    """Show how publishing went, and a note; the exit code is 1 when the version waits in quarantine."""

    def render() -> str:
        version = published.version
        if not version.changed:
            return f"{version.ref}: nothing changed, no new version"
        parts = [f"{version.ref}: {contents(version)}"]
        if published.verdict is not None and published.verdict.outcome != "passed":
            parts.append(verdict_text(published.verdict))
        parts += [published.message, note]
        return "\n".join(part for part in parts if part)

    context.show(published, render)
    return 0 if published.published else 1


def verdict_text(verdict: Verdict) -> str:
    """Return a verdict as people read it: what failed first, with why and what to do."""
    order = {"failed": 0, "warned": 1, "passed": 2}
    lines = [click.style(f"{verdict.outcome} at {when(verdict.created_at)}", fg=_COLOURS[verdict.outcome], bold=True)]
    for result in sorted(verdict.results, key=lambda r: order[r.outcome]):
        mark = click.style(f"{result.outcome:7}", fg=_COLOURS[result.outcome])
        lines.append(f"{mark} {result.name}: {result.found}")
        if result.outcome == "passed":
            continue
        lines += [f"        {label}: {text}" for label, text in _advice(result.why, result.owner, result.do)]
        if result.sample:
            names = list(result.sample[0])
            shown = table(names, [[_cell(row.get(name)) for name in names] for row in result.sample[:3]])
            lines += [f"        {line}" for line in shown.splitlines()]
        lines += [f"        {line}" for line in result.traceback.splitlines()]
    return "\n".join(lines)


def _cell(value: Any) -> Any:
    """Return a value of a sample row as a line of text shows it; a picture by what it is."""
    if isinstance(value, str) and value.startswith("data:image/"):
        return f"({value.partition(';')[0].removeprefix('data:image/')} picture)"
    return value


def _advice(why: str, owner: str, do: str) -> list[tuple[str, str]]:
    return [(label, text) for label, text in (("why", why), ("ask", owner), ("do", do)) if text]
