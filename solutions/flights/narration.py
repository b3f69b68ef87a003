"""How the demo talks: numbered chapters, a line or two each, with the time that has passed."""

from __future__ import annotations

import sys
import time

_started = time.monotonic()


def chapter(number: int, title: str) -> None:
    """Begin a chapter."""
    print(f"\n\033[1m{number}. {title}\033[0m" if sys.stdout.isatty() else f"\n{number}. {title}", flush=True)


def say(text: str) -> None:
    """Print one line of what happened, with the seconds since the demo began."""
    print(f"   {time.monotonic() - _started:5.1f} s  {text}", flush=True)
