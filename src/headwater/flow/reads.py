"""What a step read while it ran beyond its arguments: refs, files, folders, environment, modules, programs.

Each read is a kind, a name and a digest. An entry of the memory counts only if every read gives the same digest now.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from headwater.canonical import digest
from headwater.errors import HeadwaterError

from .tree import Tree

ABSENT = "absent"
_WORDS = {
    "file": "the file", "folder": "the folder", "module": "the module", "code": "the module", "program": "the program",
}  # fmt: skip
_BLOCK = 1 << 20


class ReadItem(msgspec.Struct, frozen=True, array_like=True):
    """One read: ``ref`` (name → manifest root), ``file``, ``folder``, ``env``, ``module``, ``program`` or ``notebook``.

    ``code`` is a module that is imported from outside the project and of what is installed.

    ``version`` is the id of the version that a ref named when it was read.
    """

    kind: str
    name: str
    digest: str
    version: str = ""


class Now:
    """Answers what reads would give now; each question is asked once in its life."""

    def __init__(self, root: Path, tree: Tree, resolve: Callable[[str], tuple[str, str]]) -> None:
        self._root = root
        self._tree = tree
        self._resolve = resolve
        self._known: dict[tuple[str, str], str] = {}

    def digest(self, kind: str, name: str) -> str:
        """Return the digest that a read of this kind and name gives now, ``absent`` where there is none."""
        key = (kind, name)
        if key not in self._known:
            self._known[key] = self._ask(kind, name)
        return self._known[key]

    def changed(self, reads: Iterable[ReadItem]) -> ReadItem | None:
        """Return the first read that gives something else now, None when all are the same."""
        return next((read for read in reads if self.digest(read.kind, read.name) != read.digest), None)

    def _ask(self, kind: str, name: str) -> str:
        if kind in ("file", "code"):
            return file_digest(self._root / name)
        if kind == "folder":
            return folder_digest(self._root / name)
        if kind == "env":
            return env_digest(name)
        if kind == "program":
            from .identities import program_identity

            return program_identity(name, self._root)
        if kind == "notebook":
            from .identities import notebook_identity

            return notebook_identity(name, self._root)
        if kind == "module":
            file = self._tree.files.get(name)
            return ABSENT if file is None else file.digest
        try:
            return self._resolve(name)[0]
        except HeadwaterError:
            return ABSENT


def sentence(read: ReadItem, now: str) -> str:
    """Return in a few words how a read differs from before."""
    went = now == ABSENT
    if kind_of := _WORDS.get(read.kind):
        return f"{kind_of} {read.name} {'is gone' if went else 'changed'}"
    if read.kind == "env":
        return f"the environment variable {read.name} {'is not set any more' if went else 'changed'}"
    return f"{read.name} {'cannot be found any more' if went else 'is another version now'}"


def file_digest(path: str | Path) -> str:
    """Return the digest of a file's bytes, ``absent`` when it cannot be read."""
    from blake3 import blake3

    hasher = blake3()
    try:
        with open(path, "rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                hasher.update(block)
    except OSError:
        return ABSENT
    return hasher.hexdigest()


def folder_digest(path: str | Path) -> str:
    """Return the digest of the names in a folder, ``absent`` when it cannot be read."""
    try:
        names = sorted(name for name in os.listdir(path) if name != "__pycache__")
    except OSError:
        return ABSENT
    return digest("\0".join(names).encode("utf-8", "surrogateescape"))


def env_digest(name: str) -> str:
    """Return the digest of an environment variable, ``absent`` when it is not set."""
    value = os.environ.get(name)
    return ABSENT if value is None else digest(value.encode("utf-8", "surrogateescape"))
