"""What may import what inside the package, and a check of it that finds hidden imports too."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = "headwater"

# Each line may import the lines below it; names on one line may import each other one way, never in a circle.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("cli", "web", "api", "protocols"),
    ("sdk", "testing"),
    ("trace",),
    ("release",),
    ("monitor",),
    ("serve",),
    ("evaluate",),
    ("model",),
    ("flow",),
    ("track",),
    ("ingest", "label"),
    ("profile",),
    ("check",),
    ("lake",),
    ("working",),
    ("jobs", "notify"),
    ("access",),
    ("project",),
    ("objects", "ledger", "events"),
    ("errors", "ids", "canonical", "operation", "durable", "duck"),
)
FLOOR_OF = {name: len(FLOORS) - line for line, names in enumerate(FLOORS) for name in names}

# `import headwater` is the public face: it shows the sdk, and whoever imports it imports that.
FACE = "sdk"


@dataclass(frozen=True, slots=True, order=True)
class Import:
    """One module of ours naming another."""

    importer: str
    imported: str
    path: str
    line: int
    on_loading: bool  # False in a function, and where only a type checker looks


def violations(root: Path) -> list[str]:
    """Return a sentence for each break of the floors under ``root/headwater``, in order of the files."""
    modules = {_module_name(path, root): path for path in sorted((root / PACKAGE).rglob("*.py"))}
    imports = sorted({found for name, path in modules.items() for found in _imports(name, path, root, modules)})
    return [
        *_unknown_names(root),
        *_upward(imports),
        *_circles_between(imports),
        *_circles_within(imports),
    ]


def _unknown_names(root: Path) -> Iterator[str]:
    for path in sorted((root / PACKAGE).iterdir()):
        if path.is_dir():
            known = path.name in FLOOR_OF or not any(path.rglob("*.py"))
        else:
            known = path.suffix != ".py" or path.stem in FLOOR_OF or path.stem == "__init__"
        if not known:
            yield f"{path.relative_to(root)}: not in the picture of the floors; give '{path.stem}' a line"


def _upward(imports: Iterable[Import]) -> Iterator[str]:
    for found in imports:
        importer, imported = _room(found.importer), _room(found.imported)
        if not importer:
            if imported not in ("", FACE):
                yield f"{found.path}:{found.line}: {PACKAGE} itself may import only {FACE}, not {imported}"
            continue
        imported = imported or FACE
        if importer in FLOOR_OF and imported in FLOOR_OF and FLOOR_OF[imported] > FLOOR_OF[importer]:
            yield f"{found.path}:{found.line}: {importer} imports {imported}, which is above it"


def _circles_between(imports: Iterable[Import]) -> Iterator[str]:
    graph: dict[str, set[str]] = {}
    for found in imports:
        importer, imported = _room(found.importer), _room(found.imported)
        if importer != imported and FLOOR_OF.get(importer, 0) == FLOOR_OF.get(imported, -1):
            graph.setdefault(importer, set()).add(imported)
    yield from _circles(graph, "packages on one line import each other in a circle")


def _circles_within(imports: Iterable[Import]) -> Iterator[str]:
    """Yield circles among the imports that run when the modules are loaded, one for each package at most."""
    graphs: dict[str, dict[str, set[str]]] = {}
    for found in imports:
        room = _room(found.importer)
        if found.on_loading and room and room == _room(found.imported):
            graphs.setdefault(room, {}).setdefault(found.importer, set()).add(found.imported)
    for graph in graphs.values():
        yield from _circles(graph, "modules of one package import each other in a circle")


def _circles(graph: Mapping[str, set[str]], what: str) -> Iterator[str]:
    """Yield one circle of the graph, if it has any: mending it may mend others."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"{what}: {' <- '.join(error.args[1])}"


def _room(module: str) -> str:
    """Return the name under headwater that a module belongs to, '' for headwater itself."""
    return module.split(".")[1] if "." in module else ""


def _module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(name: str, path: Path, root: Path, modules: Mapping[str, Path]) -> Iterator[Import]:
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    later = {id(inner) for node in ast.walk(tree) if _runs_later(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        for target in _targets(node, package, modules):
            if target.split(".")[0] == PACKAGE and target != name:
                line = getattr(node, "lineno", 0)
                yield Import(name, target, str(path.relative_to(root)), line, id(node) not in later)


def _runs_later(node: ast.AST) -> bool:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
            return True
    return False


def _targets(node: ast.AST, package: str, modules: Mapping[str, Path]) -> Iterator[str]:
    """Yield the full names of the modules that a node imports, ours and others'."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            base = _absolute("." * level + (module or ""), package)
            for alias in names:
                inner = f"{base}.{alias.name}"
                # `from headwater import gone` names a room that is not there: still an import of that room.
                yield inner if inner in modules or (base == PACKAGE and alias.name in FLOOR_OF) else base
        case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called), args=[first, *_]) if called in (
            "import_module",
            "__import__",
            "find_spec",
            "resolve_name",
        ):
            if text := _leading_text(first):
                yield _absolute(text.split(":")[0], package)


def _leading_text(node: ast.expr) -> str:
    """Return a literal string, or what an f-string starts with and a '?' for the rest; '' for anything else."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
            return f"{text}?"
    return ""


def _absolute(name: str, package: str) -> str:
    dots = len(name) - len(name.lstrip("."))
    if dots == 0:
        return name
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - dots + 1], *filter(None, [name[dots:]])])
