"""Reading the pages: their code blocks, the commands in them, and whether the command line knows those."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from headwater.cli.root import cli

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# file: (\S+)\n")
_INLINE = re.compile(r"`(hw [a-z][^`\n]*)`")


class Block(NamedTuple):
    """A fenced block: its language and text; ``file`` where its first line says that it is one."""

    language: str
    text: str
    file: str


def written_pages() -> list[Path]:
    """Return the pages that people write, in order; the benchmarks' page comes from a runner."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    found = []
    for language, body in _BLOCK.findall(text):
        named = _FILE.match(body)
        found.append(Block(language, body[named.end() :] if named else body, named.group(1) if named else ""))
    return found


def shell_lines(block: Block) -> Iterator[str]:
    """Yield the commands of a shell block, without prompts and comments."""
    for line in block.text.splitlines():
        command = line.removeprefix("$ ").strip()
        if command and not command.startswith(("#", "[exit")) and (block.language == "sh" or line.startswith("$ ")):
            yield command


def commands(text: str) -> list[str]:
    """Return each ``hw ...`` of a page: in its shell blocks and between backticks."""
    found = [line for block in blocks(text) if block.language in ("sh", "console") for line in shell_lines(block)]
    return [line for line in found if line.startswith("hw ")] + _INLINE.findall(_BLOCK.sub("", text))


def problem_of(line: str) -> str:
    """Return what is wrong with a command line, "" where the command and its options exist."""
    words = shlex.split(line, comments=True)[1:]
    words = list(itertools.takewhile(lambda word: word not in ("&", "|", "&&"), words))
    command: click.Command = cli
    context = click.Context(cli, info_name="hw", help_option_names=["-h", "--help"])
    shared = {name for each in cli.get_params(context) for name in each.opts} | {"--json"}
    while words:
        word = words.pop(0)
        if word.startswith("-") and len(word) > 1:
            name = word.partition("=")[0]
            options = {opt: p for p in command.get_params(context) for opt in (*p.opts, *p.secondary_opts)}
            if name not in options and name not in shared:
                return f"'{line}': {context.command_path} has no option {name}"
            option = options.get(name)
            if isinstance(option, click.Option) and not option.is_flag and "=" not in word and option.name != "help":
                words = words[1:]
        elif isinstance(command, click.Group):
            below = command.get_command(context, word)
            if below is None:
                return f"'{line}': {context.command_path} has no command {word}"
            command, context = below, click.Context(below, info_name=word, parent=context)
    return ""
