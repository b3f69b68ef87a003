"""``hw runs code`` and ``hw run --from RUN``: what a run ran, and running it again from that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .context import Context, counted, pass_context, table

if TYPE_CHECKING:
    from headwater.flow.again import Again, Changed
    from headwater.flow.code_kept import RunCode
    from headwater.project import Project

_SHOWN = 20


@click.command("code")
@click.argument("run")
@click.option("--to", "folder", type=click.Path(file_okay=False, path_type=Path), help="Write code and files there.")
@click.option("--diff", "only_diff", is_flag=True, help="Show git's uncommitted changes of then, as text.")
@pass_context
def code_command(context: Context, run: str, folder: Path | None, only_diff: bool) -> None:
    """Show the code that RUN ran: modules, files that its steps read, commit, packages."""
    from headwater.flow.code_kept import get_run_code, write_code

    with context.open() as project:
        found = write_code(project, run, folder) if folder else get_run_code(project, run)
    context.show(found, lambda: found.diff if only_diff else _code_text(found, folder))


def _code_text(found: RunCode, folder: Path | None) -> str:
    rows = [("code", each.path, each.digest[:12]) for each in found.modules]
    rows += [("read", each.path, each.digest[:12]) for each in found.files]
    lines = [
        f"{found.flow} of run {found.run}, Python {found.python}",
        table(("", "file", "content"), rows),
        f"packages: {', '.join(f'{name} {version}' for name, version in found.libraries.items()) or 'none reached'}"
        f" ({counted(len(found.packages), 'package')} installed: --json)",
    ]
    if found.commit:
        changed = f"{found.diff.count(chr(10)):,} lines of uncommitted changes: --diff" if found.diff else "no changes"
        lines.append(f"commit {found.commit[:12]} of branch {found.branch or '(none)'}, {changed}")
    if folder is not None:
        lines.append(f"written to {folder}")
    return "\n".join(lines)


def run_from(context: Context, project: Project, run: str, changes: dict[str, Any], **options: Any) -> int:
    """Run a run again from its code, show how it went, and return the exit code."""
    from headwater.flow.again import run_again

    from .run_display import watching

    def tell(changed: tuple[Changed, ...]) -> None:
        if not context.as_json:
            for line in _package_lines(changed):
                click.echo(click.style(line, fg="yellow"), err=True)

    with watching(quiet=context.as_json) as spectator:
        again = run_again(project, run, changes, on_packages=tell, spectator=spectator, **options)
    context.show(again, lambda: _again_text(again))
    return 0 if again.outcome.status == "done" else 1


def _package_lines(changed: tuple[Changed, ...]) -> list[str]:
    lines = [
        f"{each.name} is {each.now or 'not installed'} now, was {each.then or 'not installed'}"
        for each in changed
        if each.reached
    ][:_SHOWN]
    others = sum(not each.reached for each in changed)
    return [*lines, *([f"{counted(others, 'package')} that this code does not reach differ too"] if others else [])]


def _again_text(again: Again) -> str:
    from .flow_commands import summary_of

    lines = [summary_of(again.outcome)]
    if again.same or again.different:
        total = again.same + len(again.different)
        lines.append(f"{again.same:,} of {counted(total, 'result')} are the same as then")
    lines += [click.style(f"not the same: {each}", fg="red") for each in again.different[:_SHOWN]]
    return "\n".join(lines)
