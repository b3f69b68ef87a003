"""What an edit touches, and whether code that a step ran has to do with it: told from runs, not from any memory."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .edits import Edit

_DEFS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Touched(NamedTuple):
    """What an edit changes: functions (file, qualified name), names bound outside of functions, and files."""

    functions: frozenset[tuple[str, str]]
    names: frozenset[str]
    files: frozenset[str]
    other: bool

    @property
    def nothing(self) -> bool:
        """Whether the edit changes no code at all: comments, formatting, docstrings, order."""
        return not (self.functions or self.names or self.files or self.other)


def touched(edit: Edit, files: Mapping[str, str]) -> Touched:
    """Return what an edit changes in a project of these files."""
    functions: set[tuple[str, str]] = set()
    names: set[str] = set()
    data: set[str] = set()
    other = False
    for path, old, new in edit.changes:
        if path.startswith(("$", "../", "gone:")):
            other = True
        elif not path.endswith(".py"):
            data |= {path.removeprefix("link:"), path.removeprefix("link:").rpartition("/")[0]}
        else:
            before = files.get(path, "")
            after = before.replace(old, new) if old else new
            found, bound = _compare(before, after)
            functions |= {(path, each) for each in found}
            names |= bound
    return Touched(frozenset(functions), frozenset(names), frozenset(data), other)


def _compare(before: str, after: str) -> tuple[set[str], set[str]]:
    try:
        old, new = _units(before), _units(after)
    except SyntaxError:
        return {"<module>"}, set()
    changed = {key for key in {*old, *new} if old.get(key) != new.get(key)}
    functions = {name for kind, name, _ in changed if kind == "def"}
    names = {name for kind, _, bound in changed if kind != "def" for name in bound}
    nameless = any(kind == "run" and not bound for kind, _, bound in changed)
    return functions | ({"<module>"} if nameless else set()), names


Key = tuple[str, str, tuple[str, ...]]


def _units(source: str) -> dict[Key, Any]:
    found: dict[Key, Any] = {}
    _gather(ast.parse(source).body, "", found)
    return found


def _gather(body: list[ast.stmt], prefix: str, found: dict[Key, Any]) -> None:
    for node in body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.setdefault(("def", prefix + node.name, ()), []).append(ast.dump(_bare(node)))
        elif isinstance(node, ast.ClassDef):
            head = [ast.dump(each) for each in (*node.bases, *node.keywords, *node.decorator_list)]
            found[("class", prefix + node.name, (node.name,))] = head
            _gather(node.body, f"{prefix}{node.name}.", found)
        else:
            key = ("run", prefix, tuple(sorted(_bound(node))))
            found.setdefault(key, []).append(ast.dump(_bare(node)))


def _bare(node: ast.stmt) -> ast.stmt:
    for each in ast.walk(node):
        if isinstance(each, _DEFS):
            kept = [line for line in each.body if not (isinstance(line, ast.Expr) and _is_text(line.value))]
            each.body = kept or [ast.Pass()]
    return node


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _bound(node: ast.stmt) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store | ast.Del):
            yield each.id
        elif isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store):
            yield each.attr
        elif isinstance(each, ast.alias):
            yield (each.asname or each.name).partition(".")[0]
        elif isinstance(each, _DEFS):
            yield each.name


def mentioned_by_name(files: Mapping[str, str]) -> dict[str, set[str]]:
    """Return for each name of a function, a class or a module's value what all things of that name mention."""
    found: dict[str, set[str]] = {}
    for path, text in files.items():
        if not path.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, _DEFS):
                found.setdefault(node.name, set()).update(_used(node))
            elif isinstance(node, ast.Module):
                for each in node.body:
                    for name in _bound(each) if isinstance(each, ast.Assign | ast.AnnAssign) else ():
                        found.setdefault(name, set()).update(_used(each))
    return found


def _used(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            yield each.id
        elif isinstance(each, ast.Attribute):
            yield each.attr


def relation(what: Touched, step: Mapping[str, Any], imported: list[Any], mentioned: Mapping[str, set[str]]) -> str:
    """Return how an edit stands to what a step ran: ``ran``, ``named``, ``imported`` or ``apart``.

    ``ran``: a function that it changes ran in the step, or a name or file that it changes is used by what ran, or it
    changes the flow's own function, and with it perhaps the arguments.
    ``named``: what ran mentions it or its class, through whatever number of functions that did not run with these
    inputs, or a method of the same class ran. ``imported``: it ran when the modules were imported. ``apart``: none of
    these.
    """
    ran = {(path, name) for path, name in step["ran"]}
    names = set(step["names"])
    if (
        what.other
        or ("flows.py", "main") in what.functions
        or what.functions & ran
        or what.names & names
        or what.files & set(step["files"])
    ):
        return "ran"
    classes = {(path, name.rpartition(".")[0]) for path, name in ran if "." in name}
    reached = _spread(names | {name.rpartition(".")[2] for _, name in classes}, mentioned)
    for path, name in what.functions:
        if reached & set(name.split(".")) or (path, name.rpartition(".")[0]) in classes:
            return "named"
    if what.names & reached:
        return "named"
    if what.functions & {(path, name) for path, name in imported}:
        return "imported"
    return "apart"


def _spread(names: set[str], mentioned: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(mentioned.get(name, ()))
    return found
