"""A progress bar for what takes a while: drawn only on a terminal, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .context import size

QUIET_S = 0.5
"""What ends within this time shows no bar."""


@contextmanager
def file_progress(label: str) -> Iterator[Callable[[int, int, int], None] | None]:
    """Yield what a long act calls with files done, files in all (0: not known) and bytes done.

    None where nobody looks.
    """
    with _bar(label) as show:

        def report(done: int, total: int, size_bytes: int) -> None:
            files = f"{done:,}/{total:,} files" if total else f"{done:,} files"
            show(done, total, f"{files}, {size(size_bytes)}")  # type: ignore[misc]  # there is one where this is used

        yield report if show is not None else None


@contextmanager
def row_progress(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """Yield what a long act calls with rows done and rows in all; None where nobody looks."""
    with _bar(label) as show:

        def report(done: int, total: int) -> None:
            show(done, total, f"{done:,}/{total:,} rows")  # type: ignore[misc]  # there is one where this is used

        yield report if show is not None else None


@contextmanager
def _bar(label: str) -> Iterator[Callable[[int, int, str], None] | None]:
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    started = time.monotonic()
    bar = Progress(
        TextColumn(label),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(label, total=None, said="")
    shown = False

    def show(done: int, total: int, said: str) -> None:
        nonlocal shown
        bar.update(task, completed=done, total=total or None, said=said)
        if not shown and time.monotonic() - started > QUIET_S:
            bar.start()
            shown = True

    try:
        yield show
    finally:
        if shown:
            bar.stop()


@contextmanager
def busy(label: str) -> Iterator[None]:
    """Show that something is being done of which nobody knows how much is left."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(label):
        yield
