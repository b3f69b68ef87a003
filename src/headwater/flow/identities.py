"""What a program, an image or a notebook is, as a digest: another one is another key.

A program is its bytes, those of the shared libraries that the loader gives it, and of the interpreter that its first
line names. What it opens by itself (a table of its own, a configuration) is out of sight: declare it as a file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from headwater.canonical import digest_of

from .reads import ABSENT, file_digest

IMAGE = "image:"
ENGINES = ("docker", "podman")
_ELF = b"\x7fELF"
_digests: dict[tuple[str, int, int, int], str] = {}
_programs: dict[tuple[str, int, int, int], str] = {}


def program_identity(name: str, root: Path) -> str:
    """Return the digest of a program (a name on PATH, or a path) or of ``image:NAME``; ``absent`` without one."""
    if name.startswith(IMAGE):
        return image_identity(name.removeprefix(IMAGE))
    path = find_program(name, root)
    return ABSENT if path is None else _of_file(path, frozenset())


def find_program(name: str, root: Path) -> Path | None:
    """Return the file that a program's name means: one with a slash is a path below ``root``, others are on PATH."""
    if "/" in name:
        path = root / name
        return path.resolve() if path.is_file() else None
    found = shutil.which(name)
    return Path(found).resolve() if found else None


def image_identity(image: str) -> str:
    """Return the digest of a container image: its own where its name ends in one, else what the engine says."""
    if "@sha256:" in image:
        return digest_of([image.rpartition("@")[2]])
    engine = find_engine()
    if engine is None:
        return ABSENT
    words = [engine, "image", "inspect", "--format", "{{.Id}}", image]
    try:
        asked = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ABSENT
    return digest_of([asked.stdout.strip()]) if asked.returncode == 0 and asked.stdout.strip() else ABSENT


def find_engine() -> str | None:
    """Return the path of the first container engine on PATH, None where there is none."""
    return next((found for name in ENGINES if (found := shutil.which(name))), None)


def notebook_identity(name: str, root: Path) -> str:
    """Return the digest of a notebook's code and of the project's modules that it imports; ``absent`` without it."""
    from .notebook_files import code_identity

    return code_identity(root / name, root)


def _of_file(path: Path, above: frozenset[Path]) -> str:
    stamp = _stamp(path)
    if stamp is None:
        return ABSENT
    if stamp not in _programs:
        _programs[stamp] = digest_of([_digest(path), *_parts(path, above | {path})])
    return _programs[stamp]


def _parts(path: Path, above: frozenset[Path]) -> list[str]:
    """Return the digests of what a program is made of beside its own bytes."""
    try:
        with path.open("rb") as file:
            start = file.read(256)
    except OSError:
        return []
    if start.startswith(_ELF):
        return [_digest(each) for each in _libraries(path)]
    if not start.startswith(b"#!"):
        return []
    words = start[2:].splitlines()[0].decode("utf-8", "replace").split()
    if words and words[0].rpartition("/")[2] == "env":
        words = [each for each in words[1:] if not each.startswith("-")]
    interpreter = find_program(words[0], Path("/")) if words else None
    return [_of_file(interpreter, above)] if interpreter is not None and interpreter not in above else []


def _libraries(path: Path) -> list[Path]:
    """Return the shared libraries that the loader finds for an ELF program, in its order; none where it is static."""
    try:
        asked = subprocess.run(["ldd", str(path)], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = []
    for line in asked.stdout.splitlines():
        target = line.partition("=>")[2].split("(")[0].strip()
        if target.startswith("/"):
            found.append(Path(target).resolve())
    return sorted(found)


def _digest(path: Path) -> str:
    stamp = _stamp(path)
    if stamp is None:
        return ABSENT
    if stamp not in _digests:
        _digests[stamp] = file_digest(path)
    return _digests[stamp]


def _stamp(path: Path) -> tuple[str, int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return str(path), found.st_ino, found.st_size, found.st_mtime_ns
