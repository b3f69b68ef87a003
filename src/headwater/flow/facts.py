"""What one module's source says, statement by statement: what each binds, what it mentions, what it may change.

Only the top level is cut into statements: a function or a class is one. The digest of a statement is that of its
syntax tree, without comments, formatting and docstrings.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import msgspec

from headwater.canonical import digest

from .constants import is_constant
from .effects import Effects, effects_of
from .hazards import hazard_of
from .mentions import Call, Mentions, chain_of

FORMAT = 5
_HOLDERS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Imported(msgspec.Struct, frozen=True, array_like=True):
    """What a name is bound to by an import: a module, or a name in it."""

    module: str
    name: str | None


class Hazard(msgspec.Struct, frozen=True, array_like=True):
    """A call that no key can see: its line, what it is, and the option that settles it (``hazards``)."""

    line: int
    text: str
    settles: str


class Statement(msgspec.Struct, frozen=True, array_like=True):
    """One statement of the top level.

    ``mentions`` are chains of names: ``helpers.normalise`` begins with a global name of the module,
    ``@pkg.mod:attr`` is what a function imports by itself. ``constant``: it binds names to values that nothing can
    change. ``ordered``: its place counts. ``defines``: a function or class. ``bases``: those of a class; ``notes``: a
    class that learns of its subclasses. ``docs`` is the digest of its docstrings; ``asks``: whether it asks for
    ``docs`` or even for the ``source`` of code.
    """

    digest: str
    line: int
    binds: list[str]
    mentions: list[str]
    effects: Effects
    defines: bool
    bases: list[str]
    notes: bool
    constant: bool
    ordered: bool
    hazards: list[Hazard]
    docs: str = ""
    asks: str = ""


class Facts(msgspec.Struct, frozen=True, array_like=True):
    """One module: its statements, what its names are imported from, and which modules importing it runs."""

    module: str
    statements: list[Statement]
    bindings: dict[str, list[int]]
    imports: dict[str, list[Imported]]
    stars: list[str]
    eager: list[str]
    unused: list[str]
    digest: str
    error: str
    docs: str = ""


def read_facts(module: str, package: str, source: bytes) -> Facts:
    """Return what a module's source says; source that does not parse gives one statement of its bytes."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError) as error:
        whole = Statement(digest(source), 1, [], [], Effects(), False, [], False, False, True, [])
        return Facts(module, [whole], {}, {}, [], [], [], digest(source), str(error))
    reader = _Reader(module, package)
    reader.docs = _text_of(body)
    for node in body:
        reader.take(node)
    return reader.facts()


class _Reader:
    def __init__(self, module: str, package: str) -> None:
        self.module = module
        self.package = package
        self.docs = ""
        self.statements: list[Statement] = []
        self.bindings: dict[str, list[int]] = {}
        self.imports: dict[str, list[Imported]] = {}
        self.stars: list[str] = []
        self.eager: list[str] = []

    def take(self, node: ast.stmt) -> None:
        if _is_skipped(node):
            return
        if isinstance(node, ast.Import | ast.ImportFrom):
            self._import(node)
            return
        for inner in _inner_imports(node):
            self._import(inner)
        number = len(self.statements)
        binds = sorted(set(_bound(node)))
        for name in binds:
            self.bindings.setdefault(name, []).append(number)
        mentions = Mentions(self.package, self.imports_by_name())
        mentions.visit(node)
        constant = is_constant(node, self.imports_by_name())
        effects = Effects() if constant else effects_of(node, self.package)
        docs, asks = _docs(node), _asks(node)
        text = _normalised(node)
        self.statements.append(
            Statement(
                digest=digest(text.encode("utf-8", "surrogatepass")),
                line=node.lineno,
                binds=binds,
                mentions=sorted(mentions.found),
                effects=effects,
                defines=isinstance(node, _HOLDERS),
                bases=_bases(node),
                notes=_notes_subclasses(node),
                constant=constant,
                ordered=not isinstance(node, _HOLDERS) or bool(effects.acting),
                hazards=_hazards(mentions.calls),
                docs=docs,
                asks=asks,
            )
        )

    def imports_by_name(self) -> dict[str, str]:
        """Return the full dotted name behind each imported name, the last import winning."""
        return {
            name: f"{each[-1].module}.{each[-1].name}" if each[-1].name else each[-1].module
            for name, each in self.imports.items()
        }

    def facts(self) -> Facts:
        used = {chain.partition(".")[0] for statement in self.statements for chain in statement.mentions}
        unused = [each.module for name, found in self.imports.items() if name not in used for each in found]
        together = digest("".join(statement.digest for statement in self.statements).encode())
        return Facts(
            self.module, self.statements, self.bindings, self.imports, self.stars, self.eager, sorted(set(unused)),
            together, "", self.docs,
        )  # fmt: skip

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.eager.append(alias.name)
                top = alias.name.partition(".")[0]
                name, target = (alias.asname, alias.name) if alias.asname else (top, top)
                self.imports.setdefault(name, []).append(Imported(target, None))
            return
        source = absolute(self.package, node.module, node.level)
        self.eager.append(source)
        for alias in node.names:
            if alias.name == "*":
                self.stars.append(source)
            else:
                self.eager.append(f"{source}.{alias.name}")
                self.imports.setdefault(alias.asname or alias.name, []).append(Imported(source, alias.name))


def absolute(package: str, module: str | None, level: int) -> str:
    """Return the full name of what ``from ..x import`` imports from."""
    if level == 0:
        return module or ""
    base = package
    for _ in range(level - 1):
        base = base.rpartition(".")[0]
    return f"{base}.{module}".strip(".") if module else base


def _bases(node: ast.stmt) -> list[str]:
    if not isinstance(node, ast.ClassDef):
        return []
    found = [chain_of(each.value if isinstance(each, ast.Subscript) else each) for each in node.bases]
    return [each for each in found if each is not None]


def _notes_subclasses(node: ast.stmt) -> bool:
    if not isinstance(node, ast.ClassDef):
        return False
    if any(keyword.arg == "metaclass" for keyword in node.keywords):
        return True
    return any(isinstance(each, ast.FunctionDef) and each.name == "__init_subclass__" for each in node.body)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_skipped(node: ast.stmt) -> bool:
    """Tell whether importing does not run the statement: text, ``if TYPE_CHECKING``, ``if __name__ == '__main__'``."""
    if isinstance(node, ast.If) and not node.orelse:
        test = chain_of(node.test)
        if test is not None and test.rpartition(".")[2] == "TYPE_CHECKING":
            return True
        if isinstance(node.test, ast.Compare) and chain_of(node.test.left) == "__name__":
            return isinstance(node.test.ops[0], ast.Eq)
    return _is_text(node) or isinstance(node, ast.Pass)


def _inner_imports(node: ast.stmt) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield imports in the blocks of a statement that run when the module is imported."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _inner_imports(child)  # type: ignore[arg-type]  # handlers and cases hold statements too


def _bound(node: ast.AST) -> Iterator[str]:
    """Yield the global names that a statement binds or changes in place."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
        yield node.id
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp | ast.Lambda):
        return
    for child in ast.iter_child_nodes(node):
        yield from _bound(child)


def _hazards(calls: list[Call]) -> list[Hazard]:
    found = dict.fromkeys(hazard_of(call) for call in calls)
    return [Hazard(*each) for each in found if each is not None]


_ASKING_DOCS = {"__doc__", "getdoc"}
_ASKING_SOURCE = {"getsource", "getsourcelines", "findsource", "co_firstlineno", "f_lineno", "tb_lineno", "co_code"}


def _docs(node: ast.stmt) -> str:
    texts = [_text_of(each.body) for each in ast.walk(node) if isinstance(each, _HOLDERS)]
    return digest("\0".join(texts).encode("utf-8", "surrogatepass")) if any(texts) else ""


def _text_of(body: list[ast.stmt]) -> str:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return first.value.value
    return ""


def _asks(node: ast.stmt) -> str:
    names = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
    names |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    names |= {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    if names & _ASKING_SOURCE:
        return "source"
    return "docs" if names & _ASKING_DOCS else ""


def _normalised(node: ast.stmt) -> str:
    for each in ast.walk(node):
        if isinstance(each, _HOLDERS) and each.body and _is_text(each.body[0]):
            each.body = each.body[1:] or [ast.Pass()]
    return ast.dump(node, annotate_fields=False)
