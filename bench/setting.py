"""What every measure is given: where to work, the peers, and our own programs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .peers import Peers
from .process import run
from .values import Contender, Go, MeasureError, absent

ROOT = Path(__file__).parent.parent
PROGRAMS = Path(__file__).parent / "programs"
PYTHON = Path(sys.executable)
HW = PYTHON.parent / "hw"


@dataclass(frozen=True, slots=True)
class Setting:
    """The folder to work in, the peers, and ``share``: how much of the full work to do (1 but in a quick look)."""

    place: Path
    peers: Peers
    share: float = 1.0

    def much(self, amount: int) -> int:
        """Return a share of an amount of work, at least one."""
        return max(1, round(amount * self.share))

    def peer(self, name: str, package: str, program: str, make: Callable[[Path], Go]) -> Contender:
        """Return a peer as a contender made from the path of its program, or the row that says why it cannot run."""
        try:
            return Contender(name, "peer", make(self.peers.program(package, program)))
        except MeasureError as error:
            return absent(name, "peer", str(error))


def new_project(folder: Path, name: str = "bench") -> Path:
    """Make a Headwater project in a new folder and return it."""
    project = folder / name
    project.mkdir()
    run([HW, "init", "."], project)
    return project
