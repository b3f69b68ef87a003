"""Arguments that name datasets and versions, completed by the shell from the project at hand."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

_MOST = 200


class DatasetName(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5 only
    """The name of a dataset."""

    name = "dataset"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in _offered(ctx, incomplete, refs=False)]


class Ref(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5 only
    """The ref of a version: ``flights``, ``flights@main``, ``flights@v3``."""

    name = "ref"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in _offered(ctx, incomplete, refs=True)]


DATASET = DatasetName()
REF = Ref()


def _offered(ctx: click.Context, incomplete: str, *, refs: bool) -> list[str]:
    """Return what the words so far could become; nothing where there is no project to ask."""
    from headwater.errors import HeadwaterError
    from headwater.lake import list_datasets, ref_names
    from headwater.project import open_project

    root = ctx.find_root().params
    try:
        with open_project(root.get("project"), actor=root.get("actor")) as project:
            names = ref_names(project, incomplete) if refs else [each.name for each in list_datasets(project)]
    except (HeadwaterError, OSError):
        return []
    return [name for name in names if name.startswith(incomplete)][:_MOST]
