"""What of this program an exported package carries: the very modules that answer here, under the package's own name.

A second implementation of contracts and outputs would one day answer differently from the first. The modules are found
by following imports from ``ROOTS``; only rooms that need no project may be reached.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

HOUSE = "headwater"
ROOTS = (f"{HOUSE}.serve.exporting.entry", f"{HOUSE}.serve.exporting.door")
ROOMS = frozenset({"errors", "ids", "canonical", "duck", "model", "serve"})
_FOLDER = Path(__file__).parents[2]


class UncarriedError(RuntimeError):
    """A module that a package must carry imports, when it is loaded, one that no package can carry."""


class _Import(NamedTuple):
    module: str
    line: int
    whole: bool  # a module's first line needs it; else a function, which a package may never call


def carried_sources(package: str, flavour: str) -> dict[str, str]:
    """Return the sources a package carries for a flavour, by path below ``package``, importing each other there.

    Raises:
        UncarriedError: a module that is needed imports a room of the project.
    """
    wanted = [*ROOTS, f"{HOUSE}.model.flavours.{flavour}"]
    for root in wanted:
        if (refused := _refused(root)) is not None:
            raise UncarriedError(f"{refused}, so that {root} cannot be carried by a package")
    found: set[str] = set()
    while wanted:
        module = wanted.pop()
        if module not in found:
            found.add(module)
            wanted += [each.module for each in _imports(module) if each.whole or _refused(each.module) is None]
    sources = {_place(module): _renamed(module, package) for module in sorted(found)}
    for place in list(sources):
        for folder in Path(place).parents:
            if folder != Path("."):
                sources.setdefault((folder / "__init__.py").as_posix(), "")
    return {"__init__.py": "", **sources}


@lru_cache(maxsize=512)
def _refused(module: str, above: tuple[str, ...] = ()) -> str | None:
    """Return why a module cannot be carried, or None; what only its functions import does not count."""
    room = module.removeprefix(HOUSE).lstrip(".").partition(".")[0]
    if room not in ROOMS:
        return f"{above[-1] if above else 'the package'} imports {module}"
    for each in _imports(module):
        if each.whole and each.module not in above and each.module != module:
            why = _refused(each.module, (*above, module))
            if why is not None:
                return why
    return None


@lru_cache(maxsize=512)
def _imports(module: str) -> tuple[_Import, ...]:
    tree = ast.parse(_file(module).read_text("utf-8"))
    package = module if _file(module).name == "__init__.py" else module.rpartition(".")[0]
    return tuple(_walk(tree, package, whole=True))


def _walk(node: ast.AST, package: str, *, whole: bool) -> Iterator[_Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.ImportFrom):
            for module in _named(child, package):
                yield _Import(module, child.lineno, whole)
        elif isinstance(child, ast.Import):
            for alias in child.names:
                if alias.name.partition(".")[0] == HOUSE:
                    yield _Import(alias.name, child.lineno, whole)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _walk(child, package, whole=whole and not inside)


def _named(node: ast.ImportFrom, package: str) -> Iterator[str]:
    """Yield the house's modules that a ``from ... import ...`` names."""
    base = node.module or ""
    if node.level:
        parts = package.split(".")
        base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
    if base.partition(".")[0] != HOUSE:
        return
    for alias in node.names:
        inside = f"{base}.{alias.name}"
        yield inside if _exists(inside) else base


def _exists(module: str) -> bool:
    path = _FOLDER.parent.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _file(module: str) -> Path:
    path = _FOLDER.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _place(module: str) -> str:
    return _file(module).relative_to(_FOLDER).as_posix()


def _renamed(module: str, package: str) -> str:
    """Return a module's source with the house's absolute imports going to the package."""
    lines = _file(module).read_text("utf-8").splitlines(keepends=True)
    for node in ast.walk(ast.parse("".join(lines))):
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").partition(".")[0] == HOUSE:
            line = lines[node.lineno - 1]
            lines[node.lineno - 1] = line.replace(f"from {HOUSE}", f"from {package}", 1)
    return "".join(lines)
