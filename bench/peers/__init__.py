"""The peers, each in an environment of its own under bench/.venvs, made from the pinned list beside this file."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

from bench.values import MeasureError

LISTS = Path(__file__).parent
PLACES = LISTS.parent / ".venvs"


class Peers:
    """Finds a peer's programs, making its environment when it is first needed."""

    def __init__(self, *, wanted: bool = True, lists: Path = LISTS, places: Path = PLACES) -> None:
        self.wanted = wanted
        self._lists = lists
        self._places = places
        self._failed: dict[str, str] = {}

    def program(self, peer: str, name: str) -> Path:
        """Return the path of a program of a peer.

        Raises:
            MeasureError: peers are not wanted in this run, or this one cannot be installed.
        """
        if not self.wanted:
            raise MeasureError("left out (--no-peers)")
        if peer in self._failed:
            raise MeasureError(self._failed[peer])
        place = self._places / peer
        pins = (self._lists / f"{peer}.txt").read_text()
        mark = place / ".made-from"
        if not mark.exists() or mark.read_text() != pins:
            try:
                _install(place, self._lists / f"{peer}.txt")
            except (OSError, subprocess.CalledProcessError) as error:
                shutil.rmtree(place, ignore_errors=True)
                said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
                self._failed[peer] = f"{peer} cannot be installed: {said[-1][:160] if said else error}"
                raise MeasureError(self._failed[peer]) from error
            mark.write_text(pins)
        return place / "bin" / name


def _install(place: Path, pins: Path) -> None:
    print(f"installing {pins.stem} into its own environment …", file=sys.stderr, flush=True)
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(exist_ok=True)
    uv = Path(sys.executable).parent / "uv"
    if uv.exists():
        _quiet(uv, "venv", "-q", "--python", sys.executable, place)
        _quiet(
            uv, "pip", "install", "-q", "--no-deps", "--compile-bytecode", "--python", place / "bin/python", "-r", pins
        )
    else:
        venv.create(place, with_pip=True)
        _quiet(place / "bin/pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "-r", pins)


def _quiet(*command: str | Path) -> None:
    subprocess.run([str(each) for each in command], check=True, capture_output=True, text=True, timeout=1200)
