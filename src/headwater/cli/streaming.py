"""``hw data add DATASET -``: one file from standard input."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from headwater.check import Publication
    from headwater.project import Project


def add_standard_input(
    project: Project, dataset: str, *, name: str | None, under: str, message: str, source: str | None, branch: str
) -> Publication:
    """Put standard input as the file ``name`` below ``under``, and publish it."""
    from headwater.check import publish
    from headwater.lake.streaming import put_stream

    if not name:
        raise click.UsageError("'-' reads one file from standard input: say with --name what it is called there.")
    path = f"{under.strip('/')}/{name}" if under.strip("/") else name
    entry = put_stream(project, path, sys.stdin.buffer)
    return publish(
        project, dataset, put=[entry], branch=branch, message=message, source=source or f"standard input as {name}"
    )
