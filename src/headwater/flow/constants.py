"""Which statements bind names to values that nothing can change: literals, and what pure functions make of them."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from .mentions import chain_of

_PURE = {
    "re.compile", "struct.Struct", "frozenset", "typing.TypeVar", "typing.ParamSpec", "typing.NewType",
    "typing.TypeVarTuple", "typing.cast", "typing_extensions.TypeVar", "typing_extensions.ParamSpec",
    "decimal.Decimal", "fractions.Fraction", "logging.getLogger", "datetime.timedelta", "datetime.date",
    "datetime.datetime", "pathlib.Path", "pathlib.PurePath", "collections.namedtuple", "operator.itemgetter",
    "operator.attrgetter", "int", "float", "str", "bytes", "bool", "len", "min", "max", "sum", "round", "abs", "object",
    "hasattr", "isinstance", "issubclass", "callable",
}  # fmt: skip
_OF_TEXT = {"encode", "format", "join", "strip", "lower", "upper", "replace", "title", "rstrip", "lstrip"}
_TYPES = {"dict", "list", "tuple", "set", "frozenset", "type"}


def is_constant(node: ast.stmt, imports: Mapping[str, str]) -> bool:
    """Tell whether a statement only binds names to what cannot be changed; ``imports`` are full names."""
    if isinstance(node, ast.Delete):
        return all(isinstance(each, ast.Name) for each in node.targets)
    if isinstance(node, ast.AnnAssign):
        targets: list[ast.expr] = [node.target]
    elif isinstance(node, ast.Assign):
        targets = node.targets
    else:
        return False
    plain = all(isinstance(each, ast.Name) for target in targets for each in _leaves(target))
    return plain and node.value is not None and _is_immutable(node.value, imports)


def _leaves(target: ast.expr) -> list[ast.expr]:
    if isinstance(target, ast.Tuple | ast.List):
        return [leaf for each in target.elts for leaf in _leaves(each)]
    return [target]


def _is_immutable(node: ast.expr, imports: Mapping[str, str]) -> bool:
    def every(nodes: list[ast.expr]) -> bool:
        return all(_is_immutable(each, imports) for each in nodes)

    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.UnaryOp):
        return _is_immutable(node.operand, imports)
    if isinstance(node, ast.BinOp):
        return every([node.left, node.right])
    if isinstance(node, ast.BoolOp):
        return every(node.values)
    if isinstance(node, ast.Compare):
        return _is_immutable(node.left, imports) or every(node.comparators)
    if isinstance(node, ast.Tuple):
        return every(node.elts)
    if isinstance(node, ast.JoinedStr):
        return all(not any(isinstance(inner, ast.Call) for inner in ast.walk(each)) for each in node.values)
    if isinstance(node, ast.Subscript):
        return _is_type(node.value, imports)
    return isinstance(node, ast.Call) and _is_pure(node, imports)


def _is_pure(node: ast.Call, imports: Mapping[str, str]) -> bool:
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    inner = [each for argument in given for each in ast.walk(argument) if isinstance(each, ast.Call)]
    if not all(_is_immutable(each, imports) for each in inner):
        return False
    if _full_name(node.func, imports) in _PURE:
        return True
    of_text = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Constant | ast.JoinedStr)
    return of_text and isinstance(node.func, ast.Attribute) and node.func.attr in _OF_TEXT


def _is_type(node: ast.expr, imports: Mapping[str, str]) -> bool:
    name = _full_name(node, imports)
    return name in _TYPES or name.startswith(("typing.", "collections.abc.", "typing_extensions."))


def _full_name(node: ast.expr, imports: Mapping[str, str]) -> str:
    name, dot, rest = (chain_of(node) or "").partition(".")
    return f"{imports.get(name, name)}{dot}{rest}"
