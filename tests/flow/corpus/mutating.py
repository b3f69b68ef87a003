"""Edits made by rule from a project's syntax trees, so that nobody chooses those that suit.

Most change what the code does (or may do); the neutral ones do not.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator, Mapping

from .edits import Edit

Change = tuple[int, int, str]
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==", ast.Is: "is not",
    ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "+", ast.FloorDiv: "*", ast.Div: "*", ast.Mod: "*", ast.BitOr: "&",
}  # fmt: skip
_DEFS = (ast.FunctionDef, ast.AsyncFunctionDef)


class _File:
    """One file's text and tree, with what makes a place in it an offset."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self.lines = text.splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._offset(node.lineno, node.col_offset), self._offset(node.end_lineno, node.end_col_offset)

    def source(self, node: ast.expr | ast.stmt) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    def _offset(self, line: int, column: int) -> int:
        return self.starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode())

    def nodes(self, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
        """Yield the nodes of these kinds that no text or annotation holds."""
        waiting: list[ast.AST] = [self.tree]
        while waiting:
            node = waiting.pop()
            if isinstance(node, kinds):
                yield node
            if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
                continue
            for name, value in ast.iter_fields(node):
                if name in ("annotation", "returns"):
                    continue
                waiting.extend(each for each in _listed(value) if isinstance(each, ast.AST))


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _constants(file: _File) -> Iterator[Change]:
    for node in file.nodes(ast.Constant):
        assert isinstance(node, ast.Constant)
        value = node.value
        if isinstance(value, bool):
            yield (*file.span(node), str(not value))
        elif isinstance(value, int | float):
            yield (*file.span(node), repr(value + 1))
        elif isinstance(value, str) and not file.source(node).startswith(("r", "f")):
            yield (*file.span(node), repr(value + "x"))


def _comparisons(file: _File) -> Iterator[Change]:
    for node in file.nodes(ast.Compare):
        assert isinstance(node, ast.Compare)
        if len(node.ops) == 1:
            left, right = file.source(node.left), file.source(node.comparators[0])
            yield (*file.span(node), f"({left} {_COMPARISONS[type(node.ops[0])]} {right})")


def _operators(file: _File) -> Iterator[Change]:
    for node in file.nodes(ast.BinOp):
        assert isinstance(node, ast.BinOp)
        if type(node.op) in _OPERATORS:
            yield (
                *file.span(node),
                f"({file.source(node.left)} {_OPERATORS[type(node.op)]} {file.source(node.right)})",
            )


def _conditions(file: _File) -> Iterator[Change]:
    for node in file.nodes(ast.If, ast.IfExp, ast.While):
        assert isinstance(node, ast.If | ast.IfExp | ast.While)
        yield (*file.span(node.test), f"(not ({file.source(node.test)}))")


def _connectives(file: _File) -> Iterator[Change]:
    for node in file.nodes(ast.BoolOp):
        assert isinstance(node, ast.BoolOp)
        word = " or " if isinstance(node.op, ast.And) else " and "
        yield (*file.span(node), "(" + word.join(file.source(each) for each in node.values) + ")")


def _defaults(file: _File) -> Iterator[Change]:
    for node in file.nodes(*_DEFS):
        assert isinstance(node, _DEFS)
        for each in (*node.args.defaults, *node.args.kw_defaults):
            if each is not None:
                yield (*file.span(each), "None" if file.source(each) != "None" else "()")


def _deleted(file: _File) -> Iterator[Change]:
    for node in file.nodes(ast.Expr, ast.Assign, ast.AugAssign, ast.Delete):
        assert isinstance(node, ast.stmt)
        yield (*file.span(node), "pass")


def _returns(file: _File) -> Iterator[Change]:
    for node in file.nodes(ast.Return):
        assert isinstance(node, ast.Return)
        if node.value is not None:
            yield (*file.span(node), "return None")


def _decorators(file: _File) -> Iterator[Change]:
    for node in file.nodes(*_DEFS, ast.ClassDef):
        for each in getattr(node, "decorator_list", ()):
            start, end = file.span(each)
            yield start - 1, end, "# no decorator"


def _bases(file: _File) -> Iterator[Change]:
    for node in file.nodes(ast.ClassDef):
        assert isinstance(node, ast.ClassDef)
        for each in node.bases:
            yield (*file.span(each), "object")


def _arguments(file: _File) -> Iterator[Change]:
    for node in file.nodes(ast.Call):
        assert isinstance(node, ast.Call)
        if node.args and not isinstance(node.args[-1], ast.Starred | ast.GeneratorExp):
            yield (*file.span(node.args[-1]), "None")


def _attributes(file: _File) -> Iterator[Change]:
    for node in file.nodes(ast.ClassDef):
        assert isinstance(node, ast.ClassDef)
        for each in node.body:
            if isinstance(each, ast.Assign | ast.AnnAssign) and each.value is not None:
                yield (*file.span(each.value), "7")


def _module_values(file: _File) -> Iterator[Change]:
    for each in file.tree.body:
        if isinstance(each, ast.Assign | ast.AnnAssign) and each.value is not None:
            yield (*file.span(each.value), "None")


def _annotations(file: _File) -> Iterator[Change]:
    for node in file.nodes(*_DEFS):
        assert isinstance(node, _DEFS)
        for each in node.args.args:
            if each.annotation is not None:
                yield (*file.span(each.annotation), '"object"')


def _inserted_functions(file: _File) -> Iterator[Change]:
    for node in file.tree.body:
        if isinstance(node, _DEFS):
            start = file.span(node.decorator_list[0])[0] - 1 if node.decorator_list else file.span(node)[0]
            yield start, start, "def nobody_asked_for(x):\n    return [x]\n\n\n"


def _comments(file: _File) -> Iterator[Change]:
    for node in file.nodes(ast.Assign, ast.Return, ast.AugAssign, ast.If):
        assert isinstance(node, ast.stmt)
        start = file.starts[node.lineno - 1]
        if file.text[start : file.span(node)[0]].strip() == "":
            yield start, start, "# a remark\n"


def _formatting(file: _File) -> Iterator[Change]:
    for node in file.nodes(ast.Return, ast.Assign):
        assert isinstance(node, ast.Return | ast.Assign)
        if node.value is not None and not isinstance(node.value, ast.Tuple | ast.Yield):
            yield (*file.span(node.value), f"(\n\n  {file.source(node.value)}\n)")


def _docstrings(file: _File) -> Iterator[Change]:
    for node in ast.walk(file.tree):
        if isinstance(node, (*_DEFS, ast.ClassDef)):
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield (*file.span(first), '"""Said otherwise."""')
            elif first.lineno > node.lineno:
                start = file.span(first)[0]
                if not isinstance(first, (*_DEFS, ast.ClassDef)):
                    yield start, start, '"""Now it says something."""\n' + " " * first.col_offset


def _swapped(file: _File) -> Iterator[Change]:
    """Yield the places of two neighbouring functions without decorators or defaults, in the other order."""
    for one, two in zip(file.tree.body, file.tree.body[1:], strict=False):
        if all(
            isinstance(each, _DEFS) and not each.decorator_list and not each.args.defaults and not each.args.kw_defaults
            for each in (one, two)
        ):
            yield file.span(one)[0], file.span(two)[1], f"{file.source(two)}\n\n\n{file.source(one)}"


def _renamed_locals(file: _File) -> Iterator[Change]:
    for node in file.nodes(*_DEFS):
        assert isinstance(node, _DEFS)
        inner = [each for each in ast.walk(node) if isinstance(each, (*_DEFS, ast.Lambda, ast.Global, ast.Nonlocal))]
        given = {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}
        stored = {e.id for e in ast.walk(node) if isinstance(e, ast.Name) and isinstance(e.ctx, ast.Store)} - given
        if len(inner) > 1 or not stored or "locals" in file.source(node) or "{" in file.source(node):
            continue
        name = min(stored)
        places = sorted(file.span(e) for e in ast.walk(node) if isinstance(e, ast.Name) and e.id == name)
        start, end = file.span(node)
        text, at = "", start
        for left, right in places:
            text += file.text[at:left] + f"{name}_renamed"
            at = right
        yield start, end, text + file.text[at:end]


CHANGING: dict[str, Callable[[_File], Iterator[Change]]] = {
    "any constant": _constants,
    "comparison": _comparisons,
    "arithmetic": _operators,
    "condition negated": _conditions,
    "and/or": _connectives,
    "default argument": _defaults,
    "statement deleted": _deleted,
    "nothing returned": _returns,
    "decorator deleted": _decorators,
    "base class replaced": _bases,
    "argument replaced": _arguments,
    "class attribute replaced": _attributes,
    "module value replaced": _module_values,
    "type hint": _annotations,
    "local variable renamed": _renamed_locals,
}
NEUTRAL: dict[str, Callable[[_File], Iterator[Change]]] = {
    "unrelated function added": _inserted_functions,
    "remark": _comments,
    "layout": _formatting,
    "documentation": _docstrings,
    "functions swapped": _swapped,
}


def mutate(project: str, files: Mapping[str, str], per_rule: int, seed: int) -> list[Edit]:
    """Return up to ``per_rule`` edits by each rule, drawn from all places that it fits in the project."""
    random_ = random.Random(f"{project} {seed}")
    parsed = {path: _File(text) for path, text in files.items() if path.endswith(".py")}
    edits = []
    for kind, rule in {**CHANGING, **NEUTRAL}.items():
        places = [(path, change) for path, file in parsed.items() for change in sorted(rule(file))]
        random_.shuffle(places)
        made = 0
        for path, (start, end, text) in places:
            old = parsed[path].text
            new = old[:start] + text + old[end:]
            if made < per_rule and new != old and _parses(new):
                edits.append(Edit(kind, project, path, "", new))
                made += 1
    return edits


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True
