"""Which global names a piece of code mentions, with its scopes respected: ``helpers.normalise``, not a local ``x``."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_CHANGING = {
    "append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "clear", "remove", "discard",
    "appendleft", "popleft",
}  # fmt: skip
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Call:
    """A call or use of something with a full dotted name: ``numpy.random.rand``.

    ``first`` is its first argument where that is a text, ``keywords`` are the names of those that have one;
    ``imported``: what the name begins with is a module.
    """

    __slots__ = ("arguments", "first", "imported", "keywords", "line", "name")

    def __init__(
        self, name: str, line: int, arguments: int = 0, *, first: str = "", keywords: Iterable[str] = (),
        imported: bool = False,
    ) -> None:  # fmt: skip
        self.name = name
        self.line = line
        self.arguments = arguments
        self.first = first
        self.keywords = frozenset(keywords)
        self.imported = imported


class _Scope:
    def __init__(self, kind: str, names: set[str]) -> None:
        self.kind = kind
        self.names = names
        self.imports: dict[str, str] = {}


class Mentions(ast.NodeVisitor):
    """Gathers chains of names: ``found`` that are read, ``stored`` that are assigned to, ``calls`` by full name.

    ``changed`` are those whose attributes or items are assigned to, or that are called for their effect alone.
    """

    def __init__(self, package: str, imports: Mapping[str, str]) -> None:
        self.package = package
        self.imports = imports
        self.found: set[str] = set()
        self.stored: set[str] = set()
        self.changed: set[str] = set()
        self.calls: list[Call] = []
        self._scopes: list[_Scope] = []

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Del):  # forgetting a name says nothing of what it named
            self._mention(node, [])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        parts: list[str] = []
        base: ast.expr = node
        while isinstance(base, ast.Attribute):
            parts.append(base.attr)
            base = base.value
        if isinstance(base, ast.Name):
            self._mention(base, parts[::-1], stored=not isinstance(node.ctx, ast.Load))
        else:
            self.visit(base)
            if not isinstance(node.ctx, ast.Load):
                self._change(base)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._change(node.value)
            self._note_global(node.value, node.lineno)
        elif self._full(chain_of(node.value) or "") == "os.environ":
            self.calls.append(Call("os.environ[]", node.lineno, 1, first=_text(node.slice), imported=True))
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self._change(node.value.func)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        chain = chain_of(node.func)
        keywords = [each.arg for each in node.keywords if each.arg]
        if chain is not None:
            full = self._full(chain)
            self.calls.append(
                Call(
                    full,
                    node.lineno,
                    len(node.args) + len(node.keywords),
                    first=_text(node.args[0]) if node.args else "",
                    keywords=keywords,
                    imported=full != chain and not full.startswith("?"),
                )
            )
            self._whole_environment(node)
            self._changed_global(node)
            if chain.rpartition(".")[2] in ("import_module", "__import__") and node.args:
                self._import_by_text(node.args[0])
        self.generic_visit(node)

    def _whole_environment(self, node: ast.Call) -> None:
        for each in (*node.args, *(keyword.value for keyword in node.keywords)):
            if self._full(chain_of(each) or "") == "os.environ":
                self.calls.append(Call("os.environ whole", node.lineno))

    def _changed_global(self, node: ast.Call) -> None:
        """Note a method that changes a list, a dict or a set of the module, called in a function."""
        if isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGING:
            self._note_global(node.func.value, node.lineno)

    def _note_global(self, node: ast.expr, line: int) -> None:
        if not isinstance(node, ast.Name) or not any(scope.kind == "function" for scope in self._scopes):
            return
        if self._scope_of(node.id) is None and node.id not in self.imports:
            self.calls.append(Call(f"global {node.id}", line))

    def visit_Global(self, node: ast.Global) -> None:
        for name in node.names:
            self.calls.append(Call(f"global {name}", node.lineno))
            self.found.add(name)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.found.add(f"@{alias.name}:")
            name = alias.asname or alias.name.partition(".")[0]
            self._local_import(name, alias.name if alias.asname else name, "")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        from .facts import absolute

        source = absolute(self.package, node.module, node.level)
        for alias in node.names:
            self.found.add(f"@{source}:")
            self._local_import(alias.asname or alias.name, source, alias.name)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for each in (*node.decorator_list, node.args, *([node.returns] if node.returns else [])):
            self._visit_signature(each)
        self._enter("function", _locals(node), node.body)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815  # the name that NodeVisitor looks for

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_signature(node.args)
        self._enter("function", _locals(node), [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for each in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(each)
        self._enter("class", set(_stored(node.body)), node.body)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        self.visit(node.generators[0].iter)
        names = {name for each in node.generators for name in _targets(each.target)}
        parts: list[ast.AST] = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        for number, each in enumerate(node.generators):
            parts += each.ifs + ([each.iter] if number else [])
        self._enter("function", names, parts)

    visit_ListComp = visit_SetComp = _comprehension  # noqa: N815  # as above
    visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815  # as above

    def _visit_signature(self, node: ast.AST) -> None:
        if isinstance(node, ast.arguments):
            every = (*node.posonlyargs, *node.args, *node.kwonlyargs, node.vararg, node.kwarg)
            for value in (*node.defaults, *node.kw_defaults, *(a.annotation for a in every if a is not None)):
                if value is not None:
                    self.visit(value)
        else:
            self.visit(node)

    def _enter(self, kind: str, names: set[str], body: Sequence[ast.AST]) -> None:
        self._scopes.append(_Scope(kind, names))
        for each in body:
            self.visit(each)
        self._scopes.pop()

    def _scope_of(self, name: str) -> _Scope | None:
        for depth, scope in enumerate(reversed(self._scopes)):
            if name in scope.names and (scope.kind == "function" or depth == 0):
                return scope
        return None

    def _mention(self, node: ast.Name, rest: list[str], *, stored: bool = False) -> None:
        scope = self._scope_of(node.id)
        chain = ".".join([node.id, *rest])
        if scope is None:
            self.found.add(chain)
            if stored or not isinstance(node.ctx, ast.Load):
                self.stored.add(chain)
        elif node.id in scope.imports:
            imported = _joined(scope.imports[node.id], rest)
            self.found.add(imported)
            if stored:
                self.stored.add(imported)
                self.changed.add(imported)
        if stored and scope is None:
            self.changed.add(chain)

    def _change(self, node: ast.expr) -> None:
        """Note that what an expression begins with is changed: ``a.b`` of ``a.b(c)[0].d``; not a local name."""
        chain = root_of(node)
        name, _, rest = chain.partition(".")
        scope = self._scope_of(name)
        if chain and scope is None:
            self.changed.add(chain)
        elif scope is not None and name in scope.imports:
            self.changed.add(_joined(scope.imports[name], rest.split(".") if rest else []))

    def _full(self, chain: str) -> str:
        name, dot, rest = chain.partition(".")
        scope = self._scope_of(name)
        if scope is None:
            return f"{self.imports.get(name, name)}{dot}{rest}"
        if name in scope.imports:
            return f"{scope.imports[name].strip('@:').replace(':', '.')}{dot}{rest}"
        return f"?{dot}{rest}"

    def _local_import(self, name: str, module: str, attribute: str) -> None:
        if self._scopes:
            scope = self._scope_of(name) or self._scopes[-1]
            scope.imports[name] = f"@{module}:{attribute}"

    def _import_by_text(self, argument: ast.expr) -> None:
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            name = argument.value
            level = len(name) - len(name.lstrip("."))
            from .facts import absolute

            self.found.add(f"@{absolute(self.package, name.lstrip('.'), level)}:*")


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _joined(imported: str, rest: list[str]) -> str:
    return ".".join([imported, *rest]) if not imported.endswith(":") else imported + ".".join(rest)


def root_of(node: ast.expr) -> str:
    """Return the chain that an expression begins with, "" when it begins with something else than a name."""
    while (chain := chain_of(node)) is None:
        if isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        else:
            return ""
    return chain


def chain_of(node: ast.AST) -> str | None:
    """Return ``a.b.c`` for an attribute chain on a name, None for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None


def _locals(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> set[str]:
    given = node.args
    every = (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg)
    names = {each.arg for each in every if each is not None}
    if not isinstance(node, ast.Lambda):
        names.update(_stored(node.body))
        names -= {name for each in ast.walk(node) if isinstance(each, ast.Global) for name in each.names}
    return names


def _stored(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names bound in a block, not in the functions and classes within it."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            yield node.id
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif (isinstance(node, ast.ExceptHandler) and node.name) or (
            isinstance(node, ast.MatchAs | ast.MatchStar) and node.name
        ):
            yield node.name
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif not isinstance(node, (*_FUNCTIONS, *_COMPREHENSIONS)):
            waiting.extend(ast.iter_child_nodes(node))


def _targets(node: ast.expr) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            yield each.id
