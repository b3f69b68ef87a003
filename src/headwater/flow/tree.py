"""The project's code as it stands: every .py file under the project's folder, read once, by module name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from headwater.canonical import digest, digest_of
from headwater.errors import InvalidInputError

_SKIPPED = {"__pycache__", "node_modules", "site-packages", "dist", "build", "venv"}
MOST_FILES = 20_000
_LOOK_AT = 3000


class SourceFile(msgspec.Struct, frozen=True):
    """One module: its name, the path of its file below the root, and its source."""

    module: str
    path: str
    source: bytes
    digest: str

    @property
    def is_package(self) -> bool:
        """Whether the file is a package's ``__init__.py``."""
        return self.path.rpartition("/")[2] == "__init__.py"


class Tree(msgspec.Struct, frozen=True):
    """All modules of a project at one moment; ``digest`` names exactly these paths and bytes."""

    root: str
    files: dict[str, SourceFile]
    digest: str

    def folder_of(self, module: str) -> str:
        """Return the package that relative imports of a module start from."""
        file = self.files.get(module)
        return module if file is not None and file.is_package else module.rpartition(".")[0]

    def has(self, module: str) -> bool:
        """Tell whether a module or a package without ``__init__.py`` of that name is the project's."""
        return module in self.files or self.is_namespace(module)

    def is_namespace(self, module: str) -> bool:
        """Tell whether the name is a folder that holds modules but no ``__init__.py``."""
        return module not in self.files and any(name.startswith(f"{module}.") for name in self.files)

    def module_at(self, path: Path) -> str | None:
        """Return the name of the module whose file is ``path``."""
        try:
            relative = path.resolve().relative_to(Path(self.root).resolve()).as_posix()
        except ValueError:
            return None
        return next((file.module for file in self.files.values() if file.path == relative), None)


def read_tree(root: Path) -> Tree:
    """Read the code of a project: its folder, and ``src`` in it where there is one.

    Hidden folders, virtual environments and folders of data (thousands of entries, none of them code) are left out.

    Raises:
        InvalidInputError: there are more than ``MOST_FILES`` files of code.
    """
    files: dict[str, SourceFile] = {}
    for path in _code_files(root, root):
        relative = path[len(str(root)) + 1 :].replace(os.sep, "/")
        module = module_name(relative)
        if module is None:
            continue
        try:
            source = Path(path).read_bytes()
        except OSError:
            continue
        files[module] = SourceFile(module, relative, source, digest(source))
        if len(files) > MOST_FILES:
            raise InvalidInputError(
                f"'{root}' holds more than {MOST_FILES:,} Python files. Make a folder of its own for the project.",
                path=str(root),
            )
    return make_tree(str(root), files)


def make_tree(root: str, files: dict[str, SourceFile]) -> Tree:
    """Return the tree of these files."""
    return Tree(root, files, digest_of(sorted([file.path, file.digest] for file in files.values())))


def module_name(path: str) -> str | None:
    """Return the module that a path below the root is imported as, None when its name cannot be imported."""
    parts = path.removesuffix(".py").split("/")
    if parts[0] == "src" and len(parts) > 1:
        parts = parts[1:]
    if parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts) if parts and all(part.isidentifier() for part in parts) else None


def _code_files(folder: Path, root: Path) -> Iterator[str]:
    folders: list[str] = []
    found: list[str] = []
    for seen, entry in enumerate(_scan(folder)):
        if seen >= _LOOK_AT and not found:
            return
        name = entry.name
        if name.endswith(".py"):
            found.append(entry.path)
        elif not name.startswith(".") and name not in _SKIPPED and entry.is_dir(follow_symlinks=False):
            folders.append(entry.path)
    if folder != root and os.path.exists(folder / "pyvenv.cfg"):
        return
    yield from sorted(found)
    for each in sorted(folders):
        yield from _code_files(Path(each), root)


def _scan(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:
        return
