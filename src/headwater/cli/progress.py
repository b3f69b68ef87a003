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

    def report(done: int, total: int, size_bytes: int) -> None:
        nonlocal shown
        files = f"{done:,}/{total:,} files" if total else f"{done:,} files"
        bar.update(task, completed=done, total=total or None, said=f"{files}, {size(size_bytes)}")
        if not shown and time.monotonic() - started > QUIET_S:
            bar.start()
            shown = True

    try:
        yield report
    finally:
        if shown:
            bar.stop()
