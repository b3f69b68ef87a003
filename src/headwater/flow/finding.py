"""Which flows a project has: found in its source without running it, and imported from a snapshot to run."""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import InvalidInputError, NotFoundError, UserCodeError
from headwater.operation import operation

from .mentions import chain_of
from .steps import Flow, Step
from .tree import SourceFile, Tree, read_tree

if TYPE_CHECKING:
    from headwater.project import Project

_importing = threading.Lock()


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter of a flow, its annotation and default as written, "" where there is none."""

    name: str
    annotation: str = ""
    default: str = ""
    required: bool = True


class FlowInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A flow as its source describes it. ``ref`` is ``module:function``; ``steps`` are those its source names."""

    name: str
    ref: str
    description: str
    path: str
    line: int
    parameters: tuple[Parameter, ...]
    steps: tuple[str, ...]


class Found:
    """A flow to run: the function, the code it belongs to, and how its steps are called there."""

    def __init__(self, flow: Flow[Any, Any], tree: Tree, module: str, attribute: str) -> None:
        self.flow = flow
        self.tree = tree
        self.module = module
        self.ref = f"{module}:{attribute}"
        self.also = (module,)

    def name_of(self, step: Step[Any, Any]) -> str:
        """Return ``module:name`` of a step, by which a worker finds it.

        Raises:
            InvalidInputError: it is not a name at the top level of a module of the project.
        """
        qualname = step.__qualname__
        for namespace in self._namespaces(step):
            home = self.tree.module_at(Path(str(namespace.get("__file__") or "/")))
            if home is None:
                continue
            if namespace.get(qualname) is step:
                return f"{home}:{qualname}"
            for name, value in list(namespace.items()):
                if value is step:
                    return f"{home}:{name}"
        path = step.function.__code__.co_filename
        raise InvalidInputError(
            f"the step '{qualname}' ({path}:{step.function.__code__.co_firstlineno}) cannot be run in a process of "
            f"its own: it has to be a name at the top level of a Python file below {self.tree.root}. Move it there; "
            "what it needs from around it, pass as arguments.",
            step=qualname,
        )

    def _namespaces(self, step: Step[Any, Any]) -> Iterator[dict[str, Any]]:
        """Yield where a step may have its name: its own module first. Not by ``sys.modules`` where that can be
        helped: another run in this process may have replaced what is there.
        """
        yield step.function.__globals__
        yield self.flow.function.__globals__
        module = sys.modules.get(step.function.__module__)
        if module is not None:
            yield vars(module)


def find_flow(project: Project, flow: str | Flow[Any, Any], root: Path) -> Found:
    """Return the flow of a ref (``module:name``, a name, or the path of its file) or of an imported flow.

    Raises:
        NotFoundError: there is none; the message names those there are.
        UserCodeError: its module cannot be imported.
    """
    tree = read_tree(root.absolute())
    if isinstance(flow, Flow):
        return _of_object(flow, tree)
    from .described import is_described

    in_file = is_described(flow)
    if in_file:
        from .described_code import FLOW, with_described

        (tree, module), attribute = with_described(tree, flow), FLOW
    else:
        module, attribute = _locate(project, flow, tree)
    with _importing:
        from .importer import install, is_installed
        from .worker import users_traceback

        if not is_installed(tree):
            install(tree)
        try:
            __import__(module)
        except BaseException as error:
            if not isinstance(error, Exception | SystemExit):
                raise
            told = UserCodeError(
                f"{module} cannot be imported: {type(error).__name__}: {error}", users_traceback(error)
            )
            if in_file:
                from .described_code import import_error

                raise import_error(root, flow, error, told) from error
            raise told from error
        found = getattr(sys.modules[module], attribute, None)
    if not isinstance(found, Flow):
        raise NotFoundError(f"'{attribute}' in {module} is not a flow: mark it with @flow.", flow=flow)
    made = Found(found, tree, module, attribute)
    if in_file:
        made.ref = flow
    return made


def _of_object(flow: Flow[Any, Any], tree: Tree) -> Found:
    path = Path(flow.function.__code__.co_filename)
    module = tree.module_at(path)
    if module is None:
        raise InvalidInputError(
            f"the flow '{flow.name}' is in '{path}', which is not a Python file below '{tree.root}'. Put it into a "
            "file of the project, or give folder=.",
            path=str(path),
        )
    return Found(flow, tree, module, flow.function.__qualname__)


def _locate(project: Project, ref: str, tree: Tree) -> tuple[str, str]:
    infos = _infos(project, tree)
    module, colon, name = ref.partition(":")
    for info in infos:
        home, _, function = info.ref.partition(":")
        if (colon and home == module and name in (function, info.name)) or (not colon and ref in (function, info.name)):
            return home, function
    known = ", ".join(info.ref for info in infos) or "none"
    raise NotFoundError(
        f"there is no flow '{ref}'. The project has: {known}. A flow is a function with @flow in flows.py, or in a "
        "module that [flows] modules = [...] in headwater.toml names.",
        flow=ref,
    )


def _modules(project: Project, tree: Tree) -> list[SourceFile]:
    named = project.settings.table("flows").get("modules")
    if named is None:
        return [file for file in tree.files.values() if file.module == "flows" or file.module.endswith(".flows")]
    missing = [name for name in named if name not in tree.files]
    if missing:
        raise NotFoundError(
            f"[flows] in headwater.toml names the module '{missing[0]}', which is not below '{tree.root}'.",
            module=missing[0],
        )
    return [tree.files[name] for name in named]


def _infos(project: Project, tree: Tree) -> list[FlowInfo]:
    return [info for file in _modules(project, tree) for info in _read_infos(file)]


def _read_infos(file: SourceFile) -> list[FlowInfo]:
    try:
        body = ast.parse(file.source).body
    except (SyntaxError, ValueError):
        return []
    steps = {node.name for node in body if isinstance(node, ast.FunctionDef) and _mark(node, "step") is not None}
    found = []
    for node in body:
        mark = _mark(node, "flow") if isinstance(node, ast.FunctionDef) else None
        if mark is None or not isinstance(node, ast.FunctionDef):
            continue
        named = [ast.literal_eval(each.value) for each in getattr(mark, "keywords", ()) if each.arg == "name"]
        used = [chain for each in ast.walk(node) if (chain := chain_of(each)) and chain.partition(".")[0] in steps]
        found.append(
            FlowInfo(
                name=str(named[0]) if named else node.name,
                ref=f"{file.module}:{node.name}",
                description=ast.get_docstring(node) or "",
                path=file.path,
                line=node.lineno,
                parameters=_parameters(node.args),
                steps=tuple(dict.fromkeys(chain.partition(".")[0] for chain in used)),
            )
        )
    return found


def _mark(node: ast.AST, name: str) -> ast.expr | None:
    for each in getattr(node, "decorator_list", ()):
        chain = chain_of(each.func if isinstance(each, ast.Call) else each)
        if chain is not None and chain.rpartition(".")[2] == name:
            return each  # type: ignore[no-any-return]  # decorators are expressions
    return None


def _parameters(given: ast.arguments) -> tuple[Parameter, ...]:
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
    pairs = [*zip(plain, defaults, strict=True), *zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return tuple(
        Parameter(
            name=each.arg,
            annotation=ast.unparse(each.annotation) if each.annotation else "",
            default=ast.unparse(default) if default is not None else "",
            required=default is None,
        )
        for each, default in pairs
    )


@operation("flow.list", needs="run:read")
def list_flows(project: Project) -> list[FlowInfo]:
    """Return the flows of the project's folder in the order of their modules; no code of theirs is run."""
    if project.root is None:
        return []
    from .described_code import list_described

    return [*_infos(project, read_tree(project.root.absolute())), *list_described(project.root)]


@operation("flow.show", needs="run:read")
def show_flow(project: Project, flow: str) -> FlowInfo:
    """Return a flow by ``module:name`` or name.

    Raises:
        NotFoundError: there is none; the message names those there are.
    """
    from .described import is_described, read_described

    if project.root is not None:
        if is_described(flow):
            from .described_code import info_of

            return info_of(read_described(project.root, flow))
        tree = read_tree(project.root.absolute())
        module, attribute = _locate(project, flow, tree)
        for info in _infos(project, tree):
            if info.ref == f"{module}:{attribute}":
                return info
    raise NotFoundError(f"there is no flow '{flow}' here.", flow=flow)
