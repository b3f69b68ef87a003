"""The pages of the reference that the code itself dictates: ``python docs/generate.py`` writes them anew."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from headwater import sdk
from headwater.api.operations import load_operations
from headwater.cli.root import cli
from headwater.errors import error_classes

FOLDER = Path(__file__).parent / "reference"
WIDTH = 100


def pages() -> dict[str, str]:
    """Return the text of each generated page by its file name."""
    return {
        "commands.md": commands_page(),
        "errors.md": errors_page(),
        "operations.md": operations_page(),
        "python.md": python_page(),
    }


def walk(
    command: click.Command = cli, parent: click.Context | None = None, name: str = "hw"
) -> Iterator[click.Context]:
    """Yield a context for each command below one, itself first, in the order of the help."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH)
    context.help_option_names = cli.context_settings["help_option_names"]
    yield context
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            if below is not None and not below.hidden:
                yield from walk(below, context, each)


def commands_page() -> str:
    """Return every command with its help."""
    parts = [_head("Commands", "`hw` and `headwater` are the same program; `--json` may stand anywhere on the line.")]
    for context in walk():
        parts.append(f"## {context.command_path}\n\n```text\n{context.get_help().rstrip()}\n```\n")
    return "\n".join(parts)


def errors_page() -> str:
    """Return every kind of error, with the exit code, the HTTP status and what it means."""
    lines = [
        _head("Errors", "A kind never changes once released; a message says what happened, why, and what to do."),
        'As JSON an error is `{"error": {"kind": …, "message": …, "values": {…}}}`.',
        "Exit codes: 0 done, 1 the answer is no, 2 wrong use, 3 it broke.",
        "",
        "| kind | exit code | HTTP status | in Python | what it says |",
        "|---|---|---|---|---|",
    ]
    load_operations()  # rooms may have kinds of their own
    for kind, cls in sorted(error_classes().items()):
        if cls.__module__.startswith("headwater."):
            lines.append(f"| `{kind}` | {cls.exit_code} | {cls.http_status} | `{cls.__name__}` | {_first(cls)} |")
    return "\n".join(lines) + "\n"


def operations_page() -> str:
    """Return every operation with its permission and summary."""
    lines = [
        _head(
            "Operations", "Each is `POST /api/v1/operations/NAME` on a server; `/api/v1/openapi.json` has the types."
        ),
        "Roles: viewer reads; developer reads and writes; approver reads and approves; service reads and predicts; "
        "admin does all.",
        "",
        "| operation | needs | what it does |",
        "|---|---|---|",
    ]
    lines += [
        f"| `{each.name}` | `{each.needs}` | {_cell(each.summary)} |"
        for each in load_operations()
        if not each.name.startswith("test.")
    ]
    return "\n".join(lines) + "\n"


def python_page() -> str:
    """Return every name of ``import headwater as hw`` with its signature and docstring."""
    parts = [_head("Python", "`import headwater as hw` offers these names; each is loaded when it is first used.")]
    for name in sorted(sdk.NAMES):
        module, _, attribute = sdk.NAMES[name].partition(":")
        value = getattr(importlib.import_module(module), attribute)
        signature = _plain(str(inspect.signature(value)))
        parts.append(f"## hw.{name}\n\n```text\nhw.{name}{signature}\n```\n\n```text\n{inspect.getdoc(value)}\n```\n")
    return "\n".join(parts)


def _head(title: str, sentence: str) -> str:
    return f"# {title}\n\n{sentence}\nThis page is generated: `python docs/generate.py` writes it anew.\n"


def _plain(signature: str) -> str:
    """Return a signature without the quotes of its annotations and without addresses in memory."""
    bare = re.sub(r"(: |-> )'([^']*)'", r"\1\2", signature)
    return re.sub(r"<function (\w+) at 0x[0-9a-f]+>", r"\1", bare)


def _first(cls: type) -> str:
    return _cell((inspect.getdoc(cls) or "").split("\n\n", 1)[0])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
