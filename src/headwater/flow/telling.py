"""What a step tells of itself while it runs: how far it is, and what it leaves to be shown."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from headwater.errors import InvalidInputError

if TYPE_CHECKING:
    from headwater.track import Artefact

    from .cards import Card

_EVERY_S = 0.1
_LONGEST_TEXT = 500
MOST_CARDS = 100

Send = Callable[[float, float, str], None]


class Telling:
    """What one task tells. ``send`` takes its progress: parts done, parts in all (0: not known), a text."""

    def __init__(self, send: Send) -> None:
        self.cards: list[Card] = []
        self._send: Send | None = send
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._sent = 0.0

    def progress(self, done: float, total: float, text: str) -> None:
        """Send how far the task is, at most ten times a second; the last part always."""
        now = time.monotonic()
        with self._lock:
            if self._send is None or os.getpid() != self._process:
                return  # it has ended; or a process that it forked, which shares the channel, says so
            if now - self._sent < _EVERY_S and not (total and done >= total):
                return
            self._sent = now
            self._send(done, total, text[:_LONGEST_TEXT])

    def card(self, card: Card) -> None:
        """Take a card."""
        if len(self.cards) >= MOST_CARDS:
            raise InvalidInputError(
                f"a step leaves at most {MOST_CARDS} cards, and this one leaves more. Put several things into one "
                "card (Markdown, a table), or keep them as artefacts."
            )
        self.cards.append(card)

    def close(self) -> None:
        """Send no more: what comes next on the channel is the answer."""
        with self._lock:
            self._send = None


_of_process: Telling | None = None
_of_thread: ContextVar[Telling | None] = ContextVar("headwater_flow_telling", default=None)


def begin(send: Send, *, thread: bool = False) -> Telling:
    """Let what this process tells from now on (or this thread alone) be one task's."""
    global _of_process
    made = Telling(send)
    if thread:
        _of_thread.set(made)
    else:
        _of_process = made
    return made


def _telling() -> Telling | None:
    return _of_thread.get() or _of_process


def progress(done: float, total: float = 0, text: str = "") -> None:
    """Say from inside a step how far it is: ``hw.progress(3, 10, "epoch 3")``; ``total`` 0 where it is not known.

    It is shown live by ``hw run`` and on the run's page. Outside a step it does nothing.
    """
    found = _telling()
    if found is not None:
        numbers = [float(each) if math.isfinite(each) else 0.0 for each in (done, total)]
        found.progress(numbers[0], numbers[1], str(text))


def card(content: Any, title: str = "", *, kind: str | None = None) -> None:
    """Leave something to be shown on the run's page, from inside a step.

    ``content`` is Markdown (a text), HTML (a text with ``kind="html"``; shown in a frame of its own in which nothing
    runs), a table (a frame, or a list of dicts), a chart (a Vega-Lite specification with its values in it, or an
    Altair chart), or an image (PNG, JPEG or SVG as bytes or a path, a Matplotlib figure, a Pillow image). A remembered
    step shows the cards that it left when it ran. Outside a step it does nothing but check the content.

    Raises:
        InvalidInputError: it cannot be shown; the message says why.
    """
    from .cards import make_card

    made = make_card(content, title, kind)
    found = _telling()
    if found is not None:
        found.card(made)


def log_artefact(content: Any, name: str | None = None, *, media: str = "") -> Artefact | None:
    """Keep bytes, or the file at a path, as an artefact of the run that this code runs in; None outside of one.

    A remembered step does not run, so it keeps nothing again: what a later step needs is a result, not an artefact.
    """
    from .current import active_run

    run = active_run()
    return None if run is None else run.artefact(content, name, media=media)
