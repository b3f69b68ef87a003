"""What a statement does when its module is imported, beside binding its names: what it runs and what it may change."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import msgspec

from .mentions import Mentions, chain_of, root_of

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_MAKING = ("__new__", "__init__", "__post_init__", "__init_subclass__", "__set_name__", "__setattr__", "__getattr__")
_BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)


class Effects(msgspec.Struct, frozen=True, array_like=True):
    """Chains of names. ``acting`` are run or may be changed on import, ``stored`` are assigned to.

    ``outward`` are assigned to, called for their effect, or decorate, on import; ``when_called`` are assigned to or
    called for their effect anywhere in the statement, in functions too. ``indirect``: the statement changes things
    under names of its own, as a loop over them does. ``alias`` is what the statement gives a second name, ``builds``
    what it calls to make the value that it binds. ``building`` is what a class mentions where it makes an instance,
    None where that cannot be told from the rest of it.
    """

    acting: list[str] = []
    stored: list[str] = []
    outward: list[str] = []
    when_called: list[str] = []
    indirect: bool = False
    alias: str = ""
    builds: str = ""
    building: list[str] | None = None


def effects_of(node: ast.stmt, package: str) -> Effects:
    """Return what a statement of the top level does on import."""
    on_import, whole = Mentions(package, {}), Mentions(package, {})
    for part in _parts(node):
        on_import.visit(part)
    whole.visit(node)
    indirect = isinstance(node, _BLOCKS) and bool(_own_names(node) & {each.partition(".")[0] for each in whole.changed})
    return Effects(
        acting=sorted(on_import.found | on_import.stored),
        stored=sorted(on_import.stored),
        outward=sorted(on_import.changed | set(_decorators(node))),
        when_called=sorted(whole.changed),
        indirect=indirect,
        alias=_alias(node),
        builds=_builds(node),
        building=_building(node, package) if isinstance(node, ast.ClassDef) else None,
    )


def _parts(node: ast.stmt) -> Iterator[ast.AST]:
    """Yield the parts of a statement that run on import and may change what stands elsewhere."""
    if isinstance(node, _FUNCTIONS):
        yield from node.decorator_list
        yield from (each for each in (*node.args.defaults, *node.args.kw_defaults) if each is not None and _calls(each))
    elif isinstance(node, ast.ClassDef):
        yield from node.decorator_list
        yield from (keyword.value for keyword in node.keywords)
        yield from (base for base in node.bases if _calls(base))
        for each in node.body:
            yield from _parts(each)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            yield from (each for each in ast.walk(target) if isinstance(each, ast.Attribute | ast.Subscript))
        if node.value is not None and _calls(node.value):
            yield node.value
    elif _acts(node):
        yield node


def _decorators(node: ast.stmt) -> Iterator[str]:
    for each in ast.walk(node) if isinstance(node, ast.ClassDef) else [node]:
        yield from (root for decorator in getattr(each, "decorator_list", ()) if (root := root_of(decorator)))


def _own_names(node: ast.stmt) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}


def _alias(node: ast.stmt) -> str:
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    return (chain_of(value) or "") if value is not None else ""


def _builds(node: ast.stmt) -> str:
    if isinstance(node, _FUNCTIONS) and len(node.decorator_list) == 1:
        return chain_of(node.decorator_list[0]) or ""
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    return (chain_of(value.func) or "") if isinstance(value, ast.Call) else ""


def _building(node: ast.ClassDef, package: str) -> list[str] | None:
    """Return what a class mentions outside of methods and in those that run when an instance is made."""
    methods = {each.name: each for each in node.body if isinstance(each, _FUNCTIONS)}
    waiting, visited = [name for name in _MAKING if name in methods], set[str]()
    while waiting:
        name = waiting.pop()
        if name in visited:
            continue
        visited.add(name)
        uses = _uses_of_self(methods[name])
        if uses is None:
            return None
        waiting.extend(uses & methods.keys())
    mentions = Mentions(package, {})
    parts: list[ast.AST] = [*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)]
    parts += [each for each in node.body if not isinstance(each, _FUNCTIONS)]
    parts += [part for each in methods.values() for part in (*each.decorator_list, *each.args.defaults)]
    for part in (*parts, *(methods[name] for name in visited)):
        mentions.visit(part)
    return sorted(mentions.found)


def _uses_of_self(method: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str] | None:
    """Return the attributes that a method uses of its first argument, None where that goes elsewhere."""
    first = next((each.arg for each in (*method.args.posonlyargs, *method.args.args)), "")
    whole = sum(isinstance(each, ast.Name) and each.id == first for each in ast.walk(method))
    named = [
        each
        for each in ast.walk(method)
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == first
    ]
    return {each.attr for each in named} if first and whole == len(named) else None


def _calls(node: ast.expr) -> bool:
    return any(isinstance(each, ast.Call) for each in ast.walk(node))


def _acts(node: ast.stmt) -> bool:
    if isinstance(node, ast.AugAssign | ast.Delete):
        return True
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    return any(
        isinstance(each, ast.Call | ast.AugAssign | ast.Delete | ast.Subscript)
        or (isinstance(each, ast.Attribute) and not isinstance(each.ctx, ast.Load))
        for each in ast.walk(node)
    )
