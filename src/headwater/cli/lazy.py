"""A click group whose commands are imported when they are used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

import click


class WordyCommand(click.Command):
    """A command whose first argument may be a word that stands for another command: ``hw run cancel`` and ``hw run``.

    ``words`` maps each word to ``module:attribute`` in this package.
    """

    words: ClassVar[Mapping[str, str]] = {}

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args and args[0] in self.words:
            module, _, attribute = self.words[args[0]].partition(":")
            other: click.Command = getattr(importlib.import_module(f"headwater.cli.{module}"), attribute)
            return other.make_context(f"{info_name} {args[0]}", args[1:], parent=parent, **extra)
        return super().make_context(info_name, args, parent=parent, **extra)


class LazyGroup(click.Group):
    """A group that knows of each command its module and one line of help, and keeps commands in order.

    ``lazy`` maps a command's name to ``("module:attribute", "one line of help")``; the module lies in this package.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *(name for name in self.lazy if name not in self.commands)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"headwater.cli.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [
            (name, command.get_short_help_str(limit=120))
            for name, command in self.commands.items()
            if name not in self.lazy and not command.hidden
        ]
        rows += [(name, help_line) for name, (_, help_line) in self.lazy.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message}{_nearest(args[0], self.list_commands(ctx))}", ctx) from None


def _nearest(word: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean '{close[0]}'?" if close else ""
