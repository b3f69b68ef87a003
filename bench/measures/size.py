"""What a core install holds: this package without extras, its dependencies by hash from the lock, byte-compiled."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process import run
from bench.setting import PYTHON, ROOT, Setting
from bench.values import Comparison, Contender, Goal, MeasureError, Quantity, Sample

SIZE = "size of a core install"


@contextmanager
def size(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield the comparison: our core, an empty environment, and the peers as they are installed here."""
    contenders = (
        Contender("headwater, core", "us", _ours),
        Contender("an empty environment", "floor", _empty),
        setting.peer("dvc", "dvc", "dvc", lambda dvc: lambda folder: _installed(dvc.parent.parent)),
        setting.peer("mlflow", "mlflow", "mlflow", lambda mlflow: lambda folder: _installed(mlflow.parent.parent)),
    )
    yield [Comparison("size", (Quantity(SIZE, "MB", "lower", Goal(300)),), contenders, once=True)]


def core_of(lock: str, core: set[str]) -> str:
    """Return the part of a lock that the packages ``core`` need, themselves included.

    The lock says under each package ``# via`` whom it is there for; packages for extras alone are left out.
    """
    entries = re.split(r"\n(?=\S)", lock.strip())
    names = [re.split(r"[=\[]", entry, maxsplit=1)[0].lower() for entry in entries]
    wanted_by = [set(re.findall(r"^ +# +(?:via )?([\w.-]+)(?:\[.*\])?$", entry, re.MULTILINE)) for entry in entries]
    kept = {normal(name) for name in core}
    while True:
        more = {name for name, parents in zip(names, wanted_by, strict=True) if parents & kept} - kept
        if not more:
            break
        kept |= more
    return "\n".join(entry for name, entry in zip(names, entries, strict=True) if name in kept) + "\n"


def normal(name: str) -> str:
    """Return a distribution's name as a lock writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _ours(folder: Path) -> dict[str, Sample]:
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    core = {match.group() for each in needs if (match := re.match(r"[\w.-]+", each))}
    lock = folder / "core.lock"
    lock.write_text(core_of((ROOT / "requirements.lock").read_text(), core))
    venv, uv = folder / "core", PYTHON.parent / "uv"
    run([PYTHON, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "wheel"], _copy(folder))
    wheel = next((folder / "wheel").glob("*.whl"))
    run([uv, "venv", "-q", "--python", PYTHON, venv], folder)
    install: list[str | Path] = [
        uv,
        "pip",
        "install",
        "-q",
        "--compile-bytecode",
        "--python",
        venv / "bin/python",
        "--no-deps",
    ]
    run([*install, "--require-hashes", "-r", lock], folder)
    run([*install, wheel], folder)
    run([venv / "bin/hw", "init", "tried"], folder)  # what is measured also works
    if shutil.which("uv", path=str(venv / "bin")):
        raise MeasureError("the core lock took in what only development needs")
    return _installed(venv)


def _copy(folder: Path) -> Path:
    """Return a copy of what the wheel is made from, so that building leaves nothing in the source tree."""
    copy = folder / "source"
    copy.mkdir()
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


def _empty(folder: Path) -> dict[str, Sample]:
    run([PYTHON, "-m", "venv", "--without-pip", folder / "empty"], folder)
    return _installed(folder / "empty")


def _installed(place: Path) -> dict[str, Sample]:
    total = 0
    for directory, _, names in os.walk(place):
        total += sum(os.lstat(os.path.join(directory, name)).st_size for name in names)
    return {SIZE: Sample(total / 1e6)}
