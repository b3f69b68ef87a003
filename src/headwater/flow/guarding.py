"""Watching the memory of the steps that run: who takes more than it may is stopped, before the machine is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol, TypeVar

from .machine_memory import MIB, available_bytes, memory_bytes
from .processes import own_bytes, processes, resident_bytes

EVERY_S = 0.1
CEILING = 0.8
"""The share of the machine's memory that a step may use that asked for none."""
_YOUNG_S = 0.15
_RESERVE = 0.05
_LARGEST_RESERVE_BYTES = 1 << 30


class Watched(Protocol):
    """A step that runs: its process, when that started (monotonic), its peak so far."""

    pid: int
    started: float
    peak_bytes: int

    @property
    def memory_bytes(self) -> int:
        """What it asked for, 0 for nothing."""


W = TypeVar("W", bound=Watched)


class MemoryGuard:
    """Looks at the trees of the steps' processes, at most every ``EVERY_S``; steps that end sooner cost nothing.

    A step is stopped when it holds more than it asked for, or more than ``CEILING`` of the machine when it asked for
    nothing; and the largest is stopped when the machine, or the control group, is about to run out.
    """

    def __init__(self, machine_bytes: int | None = None) -> None:
        self.machine_bytes = memory_bytes() if machine_bytes is None else machine_bytes
        self._looked = 0.0

    def look(self, running: Sequence[W]) -> list[tuple[W, str]]:
        """Return the steps to stop now, each with the reason."""
        now = time.monotonic()
        if now - self._looked < EVERY_S:
            return []
        old = [each for each in running if each.pid and now - each.started > _YOUNG_S]
        known = processes() if old else {}
        if not known:
            return []
        self._looked = now
        stopped: list[tuple[W, str]] = []
        sizes: list[int] = []
        for each in old:
            limit = each.memory_bytes or int(self.machine_bytes * CEILING)
            size = resident_bytes(each.pid, known)
            if size > limit > 0:
                # What a step shares with the process it was forked from is not its own.
                size = own_bytes(each.pid, known)
            each.peak_bytes = max(each.peak_bytes, size)
            sizes.append(size)
            if size > limit > 0:
                stopped.append((each, self._too_much(each, size)))
        reserve = min(int(self.machine_bytes * _RESERVE), _LARGEST_RESERVE_BYTES)
        if not stopped and available_bytes() < reserve:
            size, place = max((size, place) for place, size in enumerate(sizes))
            stopped.append((old[place], self._no_room(size)))
        return stopped

    def _too_much(self, step: Watched, size: int) -> str:
        if step.memory_bytes:
            return (
                f"it used {-(-size // MIB)} MiB of its {step.memory_bytes // MIB} MiB and was stopped. Ask for more "
                "with @step(memory_mib=...), or have it work in smaller pieces."
            )
        return (
            f"it used {size // MIB} MiB and was stopped: a step that asks for no memory may use "
            f"{CEILING:.0%} of the machine's {self.machine_bytes // MIB} MiB. Ask for what it needs with "
            "@step(memory_mib=...), or have it work in smaller pieces."
        )

    def _no_room(self, size: int) -> str:
        return (
            f"it used {size // MIB} MiB, more than any other step, when the machine was about to run out of its "
            f"{self.machine_bytes // MIB} MiB, and was stopped. Say what steps need with @step(memory_mib=...): "
            "then no more of them run at once than fit."
        )
