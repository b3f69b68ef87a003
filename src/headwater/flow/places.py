"""Places: what steps may take of a machine at once, and which waiting job goes next.

Jobs that need the same wait in one line, first come first served. Between lines the job that has waited longest goes
first; one that does not fit lets others pass, but only so many times, so that a large job is not starved by small
ones for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

import msgspec

from headwater.errors import InvalidInputError

# How many jobs may pass one that waits, for each place of the machine.
_PASSED_PER_PLACE = 4


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What a step takes while it runs: CPU cores (of the places that there are), bytes of memory, whole GPUs."""

    cores: float = 1.0
    memory_bytes: int = 0
    gpus: int = 0


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What a running job holds; ``gpus`` are the indices of the GPUs that are its own."""

    needs: Needs
    gpus: tuple[int, ...] = ()


class Placed(Protocol):
    """What waits for a place."""

    needs: Needs


J = TypeVar("J", bound=Placed)


class Places:
    """What there is, and what of it is free."""

    def __init__(self, cores: float, memory_bytes: int = 0, gpus: int = 0) -> None:
        self.cores, self.memory_bytes, self.gpus = float(cores), memory_bytes, gpus
        self._free_cores, self._free_bytes = float(cores), memory_bytes
        self._free_gpus = list(range(gpus))

    def refusal(self, needs: Needs) -> str:
        """Return why a job could never run here, "" when it could."""
        if needs.cores > self.cores:
            return f"it asks for {needs.cores:g} cores, and this run has {self.cores:g} places (--workers)"
        if needs.memory_bytes > self.memory_bytes > 0:
            return f"it asks for {_mib(needs.memory_bytes)} of memory, and the machine has {_mib(self.memory_bytes)}"
        if needs.gpus > self.gpus:
            return f"it asks for {needs.gpus} GPUs, and this machine has {self.gpus}"
        return ""

    def take(self, needs: Needs) -> Taken | None:
        """Take what a job needs, None when that is not free. A machine of unknown memory does not count it."""
        free = (
            needs.cores <= self._free_cores + 1e-9
            and (not self.memory_bytes or needs.memory_bytes <= self._free_bytes)
            and needs.gpus <= len(self._free_gpus)
        )
        if not free:
            return None
        self._free_cores -= needs.cores
        self._free_bytes -= needs.memory_bytes
        chosen, self._free_gpus = self._free_gpus[: needs.gpus], self._free_gpus[needs.gpus :]
        return Taken(needs=needs, gpus=tuple(chosen))

    def give_back(self, taken: Taken) -> None:
        """Free what a job held."""
        self._free_cores += taken.needs.cores
        self._free_bytes += taken.needs.memory_bytes
        self._free_gpus = sorted([*self._free_gpus, *taken.gpus])


class Line(Generic[J]):
    """The jobs that wait for places."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._lines: dict[Needs, deque[tuple[int, J]]] = {}
        self._next = 0
        self._passed = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[J]:
        for line in self._lines.values():
            yield from (job for _, job in line)

    def add(self, job: J) -> None:
        """Let a job wait.

        Raises:
            InvalidInputError: it could never run here; the message says what it asks for and what there is.
        """
        if why := self.places.refusal(job.needs):
            raise InvalidInputError(f"the step cannot run here: {why}. Ask for less, or run it where there is more.")
        self._lines.setdefault(job.needs, deque()).append((self._next, job))
        self._next += 1
        self._count += 1

    def put_back(self, job: J) -> None:
        """Let a job that could not be started wait again, before all others."""
        self._lines.setdefault(job.needs, deque()).appendleft((-1, job))
        self._count += 1

    def take(self) -> tuple[J, Taken] | None:
        """Return the next job that fits, with what it holds; None when none does."""
        waiting = sorted((line[0][0], needs) for needs, line in self._lines.items()) if len(self._lines) > 1 else [
            (0, needs) for needs in self._lines
        ]  # fmt: skip
        for number, (_, needs) in enumerate(waiting):
            taken = self.places.take(needs)
            if taken is not None:
                self._passed = self._passed + 1 if number else 0
                line = self._lines[needs]
                job = line.popleft()[1]
                if not line:
                    del self._lines[needs]
                self._count -= 1
                return job, taken
            if self._passed >= _PASSED_PER_PLACE * self.places.cores:
                return None  # the first has been passed often enough: what becomes free is kept for it
        return None

    def remove(self, job: J) -> bool:
        """Take a waiting job out; tell whether it was there."""
        line = self._lines.get(job.needs, deque())
        for entry in line:
            if entry[1] is job:
                line.remove(entry)
                if not line:
                    del self._lines[job.needs]
                self._count -= 1
                return True
        return False


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


def machine(cores: float) -> Places:
    """Return the places of this machine: its memory as the kernel tells, its GPUs as the driver lists them."""
    from .machine_memory import memory_bytes

    return Places(cores, memory_bytes(), gpus_here())


def gpus_here() -> int:
    """Return how many NVIDIA GPUs this process may use: those of CUDA_VISIBLE_DEVICES, else the device files."""
    import os
    import re

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([each for each in visible.split(",") if each.strip() not in ("", "-1")])
    try:
        return sum(re.fullmatch(r"nvidia\d+", name) is not None for name in os.listdir("/dev"))
    except OSError:
        return 0
