"""A team's own code, kept by content beside what it needs, and run only where it was trusted by its digest.

Kept are the module of a class and the modules of the same project that these import, as their import statements name
them. They are loaded apart from everything else: two versions of one module live side by side in a process, and a
module of the same name on the machine is not taken instead. What a library brings is named by its version in the
execution record and not kept; a module imported by a computed name is not found.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import threading
import types
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from headwater.canonical import digest, digest_of
from headwater.errors import CorruptError, InvalidInputError, RefusedError, UserCodeError

from .files import Files

FOLDER = "code/"
_loading = threading.RLock()


def keep(cls: type) -> tuple[dict[str, bytes], str]:
    """Return the code that a class needs, by path below ``code/``, and its name there (``pricing.model:Own``).

    Raises:
        InvalidInputError: its source is in no file, or belongs to an installed library.
    """
    name = getattr(cls, "__qualname__", "")
    try:
        file = Path(inspect.getsourcefile(cls) or "").resolve()
    except TypeError:
        file = Path()
    if not file.is_file() or "<locals>" in name:
        raise InvalidInputError(
            f"the code of {name or cls!r} is in no file, or inside a function: put the class at the top of a module of "
            "your project, import it from there, and register it again."
        )
    if "site-packages" in file.parts:
        raise InvalidInputError(f"{name} belongs to an installed library: subclass it in a module of your own.")
    parts = [file.stem] if cls.__module__ == "__main__" else cls.__module__.split(".")
    places = len(parts) if file.name == "__init__.py" else len(parts) - 1
    root = file.parents[places]
    return _reached(root, file), f"{'.'.join(parts)}:{name}"


def code_digest(files: Files) -> str:
    """Return the digest of the code among a model's files: what a person trusts."""
    return digest_of(sorted([name, digest(data)] for name, data in files.items() if name.startswith(FOLDER)))


def trust_name(files: Files) -> str:
    """Return how the code of a model is named where it is trusted: ``code:DIGEST``."""
    return f"code:{code_digest(files)}"


def require_trusted(name: str, trusted: Sequence[str], what: str) -> None:
    """Return when what would run was trusted by name.

    Raises:
        RefusedError: it was not; the message says how it can be.
    """
    if name not in trusted:
        raise RefusedError(
            f"loading {what} would run its code, which no admin trusted ({name}). Read the code, then trust it with "
            "'hw model trust MODEL@vN', or export the model to a format without code (ONNX).",
            untrusted=name,
        )


def load_class(files: Files, name: str) -> Any:
    """Return the class of a name such as ``pricing.model:Own`` out of kept code, running its modules.

    Raises:
        CorruptError: the code has no such module or class.
        UserCodeError: a module raised while it was run.
    """
    module, _, attribute = name.partition(":")
    kept = {path[len(FOLDER) :]: data for path, data in files.items() if path.startswith(FOLDER)}
    with _loading:
        found: Any = _Package(kept, code_digest(files)).load(module)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise CorruptError(f"the model's code has no '{name}'.")
        found = getattr(found, part)
    return found


def _reached(root: Path, file: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    waiting = [file]
    while waiting:
        path = waiting.pop()
        name = FOLDER + path.relative_to(root).as_posix()
        if name in found:
            continue
        found[name] = path.read_bytes()
        package = list(path.relative_to(root).with_suffix("").parts)[:-1]
        for module in _imports(ast.parse(found[name], str(path)), ".".join(package)):
            waiting += _files_of(root, module)
    return found


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Yield every module that import statements may name, functions' too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level and not package:
                continue
            base = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            yield base
            yield from (f"{base}.{each.name}" for each in node.names)


def _files_of(root: Path, module: str) -> Iterator[Path]:
    """Yield the files under the root that importing a module runs: its packages' and its own."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:count])
        for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if path.is_file() and "site-packages" not in path.parts:
                yield path
                break


class _Package:
    """The kept modules of one digest, under names of their own among Python's modules."""

    def __init__(self, sources: Mapping[str, bytes], code: str) -> None:
        self._prefix = f"headwater_code_{code[:20]}"
        self._sources: dict[str, tuple[str, bytes]] = {}
        for path, data in sources.items():
            parts = path.removesuffix(".py").split("/")
            self._sources[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = (path, data)

    def load(self, name: str) -> types.ModuleType:
        """Return a kept module, run once for its digest; a folder without ``__init__.py`` is an empty package."""
        kept = f"{self._prefix}.{name}"
        if kept in sys.modules:
            return sys.modules[kept]
        if not self._has(name):
            raise CorruptError(f"the model's code has no module '{name}'.")
        parent, _, leaf = name.rpartition(".")
        if parent:
            self.load(parent)
        path, data = self._sources.get(name, ("", b""))
        module = types.ModuleType(kept)
        package = not path or path.endswith("__init__.py")
        module.__dict__["__package__"] = name if package else parent
        module.__dict__["__file__"] = f"{self._prefix}/{path}"
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": self._import}
        sys.modules[kept] = module
        try:
            exec(compile(data, f"{self._prefix}/{path}", "exec"), module.__dict__)
        except BaseException as error:
            del sys.modules[kept]
            if not isinstance(error, Exception):
                raise
            raise _raised(name, error) from error
        if parent:
            setattr(sys.modules[f"{self._prefix}.{parent}"], leaf, module)
        return module

    def _has(self, name: str) -> bool:
        return name in self._sources or any(each.startswith(f"{name}.") for each in self._sources)

    def _import(
        self, name: str, given: Any = None, local: Any = None, fromlist: Sequence[str] | None = (), level: int = 0
    ) -> Any:
        """Import as Python's statement does, kept modules first."""
        package = (given or {}).get("__package__") or ""
        absolute = resolve_name("." * level + name, package) if level else name
        if not self._has(absolute):
            return builtins.__import__(name, given, local, fromlist or (), level)
        with _loading:
            module = self.load(absolute)
            for each in fromlist or ():
                if self._has(f"{absolute}.{each}"):
                    self.load(f"{absolute}.{each}")
            return module if fromlist else self.load(absolute.partition(".")[0])


def _raised(name: str, error: Exception) -> UserCodeError:
    import traceback

    told = "".join(traceback.format_exception(error))
    return UserCodeError(f"the model's module '{name}' raised {type(error).__name__}: {error}", told, module=name)
