"""Importing from a code snapshot: modules run the bytes that keys were made of, under their real paths."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import linecache
import sys
import types
from collections.abc import Sequence

from .tree import SourceFile, Tree

_MOST_KEPT = 10_000
_kept: dict[tuple[str, str], types.CodeType] = {}


def _compiled(path: str, digest: str, source: bytes) -> types.CodeType:
    """Return the code of a module; a process that runs many flows compiles each file once."""
    found = _kept.get((path, digest))
    if found is None:
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        found = _kept[path, digest] = compile(source, path, "exec", dont_inherit=True)
    return found


class SnapshotFinder(importlib.abc.MetaPathFinder):
    """Finds the project's modules in a tree, before anything else does."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return where a module comes from, None when it is not the project's."""
        file = self.tree.files.get(fullname)
        if file is None:
            if not self.tree.is_namespace(fullname):
                return None
            spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [f"{self.tree.root}/{fullname.replace('.', '/')}"]
            return spec
        name = f"{self.tree.root}/{file.path}"
        spec = importlib.machinery.ModuleSpec(
            fullname, SnapshotLoader(file, name), origin=name, is_package=file.is_package
        )
        spec.has_location = True
        if file.is_package:
            spec.submodule_search_locations = [name.rpartition("/")[0]]
        return spec


class SnapshotLoader(importlib.abc.InspectLoader):
    """Runs a module of a snapshot. Tracebacks show the snapshot's lines, whatever the file says by then."""

    def __init__(self, file: SourceFile, name: str) -> None:
        self.file = file
        self.path = name

    def get_source(self, fullname: str) -> str:
        """Return the module's source as text."""
        import importlib.util

        return importlib.util.decode_source(self.file.source)

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the module's code in its namespace."""
        lines = self.file.source.decode("utf-8", "replace").splitlines(keepends=True)
        linecache.cache[self.path] = (len(self.file.source), None, lines, self.path)
        exec(_compiled(self.path, self.file.digest, self.file.source), module.__dict__)

    def is_package(self, fullname: str) -> bool:
        """Tell whether the module is a package."""
        return self.file.is_package

    def get_resource_reader(self, fullname: str) -> object:
        """Return what ``importlib.resources`` reads files beside a package's modules with."""
        from importlib.readers import FileReader

        return FileReader(self)  # type: ignore[arg-type]  # of a loader it only asks for the path

    def get_data(self, path: str) -> bytes:
        """Return the bytes of a file beside the module."""
        with open(path, "rb") as file:
            return file.read()


def install(tree: Tree) -> SnapshotFinder:
    """Make this process import the project's modules from a tree; modules of an earlier one are forgotten."""
    remove()
    finder = SnapshotFinder(tree)
    sys.meta_path.insert(0, finder)
    for name in [name for name in tree.files if name in sys.modules and not name.startswith("headwater")]:
        if name != "__main__" and _is_of(sys.modules[name], tree):
            del sys.modules[name]
    return finder


def is_installed(tree: Tree) -> bool:
    """Tell whether this process imports from exactly this tree already."""
    return any(
        isinstance(each, SnapshotFinder) and each.tree.root == tree.root and each.tree.digest == tree.digest
        for each in sys.meta_path
    )


def remove() -> None:
    """Undo ``install``: forget the finder and the modules that it loaded."""
    for finder in [each for each in sys.meta_path if isinstance(each, SnapshotFinder)]:
        sys.meta_path.remove(finder)
        for name in loaded(finder.tree):
            del sys.modules[name]


def loaded(tree: Tree) -> list[str]:
    """Return the modules of a tree that this process has loaded from a snapshot."""
    found = []
    for name in tree.files:
        module = sys.modules.get(name)
        if module is not None and isinstance(getattr(module, "__loader__", None), SnapshotLoader):
            found.append(name)
    return found


def _is_of(module: types.ModuleType, tree: Tree) -> bool:
    return str(getattr(module, "__file__", "")).startswith(tree.root + "/")
