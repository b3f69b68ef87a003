"""What Headwater itself opens on a step's behalf, which is no read of the step's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from . import watching


@contextmanager
def unwatched() -> Iterator[None]:
    """Note no reads of this process until the block ends."""
    watch = watching.active
    if watch is None:
        yield
        return
    before, watch.on = watch.on, False
    try:
        yield
    finally:
        watch.on = before
