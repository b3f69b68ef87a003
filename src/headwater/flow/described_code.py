"""The module that a flow's file means: one statement for each step, on the line where the file has it, and the flow."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.canonical import digest
from headwater.errors import HeadwaterError, InvalidInputError, NotFoundError, UserCodeError

from .described import OPTIONS, Described, ParameterTable, mapped, read_described, references, unfit
from .finding import FlowInfo, Parameter
from .steps import Flow, Step, step
from .tree import SourceFile, Tree, make_tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from headwater.project import Project

FLOW = "flow_of_file"
_HEAD = (
    "from headwater.flow import DataRef as _data, command as _command, notebook as _notebook; "
    "from headwater.flow.described_code import described_flow as _flow, given_step as _step, picked as _picked; "
    "from pathlib import Path as _file; from builtins import zip as _zip"
)


def with_described(tree: Tree, path: str) -> tuple[Tree, str]:
    """Return a project's code with the module that a flow's file means, and that module's name."""
    module = module_of(path)
    if module in tree.files and not (Path(tree.root) / path).exists():
        return tree, module  # code that a run kept: the file became a module then
    described = read_described(Path(tree.root), path)
    source = source_of(described).encode()
    file = SourceFile(module, f"{module}.py", source, digest(source))
    return make_tree(tree.root, {**tree.files, module: file}), module


def module_of(path: str) -> str:
    """Return the name of the module that a file means: no Python file of the project is called so by accident."""
    return re.sub(r"\W", "_", path.removesuffix(".toml").replace("/", "__")) + "_toml"


def source_of(described: Described) -> str:
    """Return the module's source."""
    homes = {
        name: f"_m{n}" for n, name in enumerate(sorted({s.run.partition(":")[0] for s in described.steps if s.run}))
    }
    rows: dict[int, list[str]] = {1: [_HEAD, *(f"import {name} as {alias}" for name, alias in homes.items())]}
    for found, line in zip(described.steps, described.lines, strict=True):
        rows.setdefault(line, []).append(f"{found.name} = {_declared(found, homes)}")
    if any(path for found in described.steps for _, path in references(found.with_)) or any(
        path for _, path in references(described.document.flow.returns)
    ):
        rows[1].append("_pick = _step(_picked, '_pick')")
    text = "\n".join("; ".join(rows.get(line, ())) for line in range(1, max(rows) + 1))
    return f"{text}\n{_flow(described)}"


def _declared(found: Any, homes: dict[str, str]) -> str:
    options = {name: value for name in OPTIONS if (value := getattr(found, name)) is not msgspec.UNSET}
    given = "".join(f", {name}={value!r}" for name, value in options.items())
    if found.run:
        module, _, name = found.run.partition(":")
        return f"_step({homes[module]}.{name}, {found.name!r}{given})"
    if found.notebook:
        return (
            f"_notebook({found.notebook!r}, name={found.name!r}, parameters={list(found.with_)!r}, "
            f"outputs={list(found.outputs)!r}{given})"
        )
    words = ["inputs", "stdin", "stdout", "environ", "stop_after_s", "image"]
    own = "".join(f", {name}={value!r}" for name in words if (value := getattr(found, name)))
    own += f", outputs={found.outputs!r}" if found.outputs else ""
    own += f", exits={tuple(found.exits)!r}" if found.exits else ""
    return f"_command({found.command!r}, name={found.name!r}{own}{given})"


def _flow(described: Described) -> str:
    table = described.document.flow
    needed = [name for name, each in described.parameters.items() if each.default is msgspec.UNSET]
    others = [f"{name}={each.default!r}" for name, each in described.parameters.items() if name not in needed]
    kinds = {name: [each.type, each.choices] for name, each in described.parameters.items()}
    lines = [
        f"@_flow({table.name!r}, {kinds!r}, strict={table.strict!r})",
        f"def {FLOW}({', '.join(['*', *needed, *others]) if described.parameters else ''}):",
        f"    {table.description!r}",
    ]
    many = {found.name for found in described.steps if mapped(found)}
    spell = _Speller({found.name for found in described.steps}, many)
    for found in described.steps:
        lines += [f"    {line}" for line in _call(found, spell)]
    returns = table.returns if table.returns is not None else f"${described.steps[-1].name}"
    lines.append(f"    return {spell.value(returns)}")
    return "\n".join(lines) + "\n"


def _call(found: Any, spell: _Speller) -> list[str]:
    lines = []
    for name in found.needs:
        lines.append(f"[_h.result() for _h in _{name}]" if name in spell.many else f"_{name}.result()")
    over = mapped(found)
    given = [f"{name}={spell.value(value)}" for name, value in found.with_.items() if name not in over]
    if not over:
        return [*lines, f"_{found.name} = {found.name}({', '.join(given)})"]
    items = [spell.items(found.with_[name]) for name in over]
    names = [f"_i{number}" for number in range(len(over))]
    each = ", ".join([*given, *(f"{name}={item}" for name, item in zip(over, names, strict=True))])
    return [
        *lines,
        f"_{found.name} = [{found.name}({each}) for {', '.join(names)}, in _zip({', '.join(items)}, strict=True)]",
    ]


class _Speller:
    """Spells values of the file as expressions of the flow's function."""

    def __init__(self, steps: set[str], many: set[str]) -> None:
        self.steps = steps
        self.many = many

    def value(self, given: Any) -> str:
        """Return the expression of a value."""
        if isinstance(given, str):
            return self._text(given)
        if isinstance(given, list):
            return f"[{', '.join(self.value(each) for each in given)}]"
        if not isinstance(given, dict):
            return repr(given)
        if len(given) == 1:
            (key, inner) = next(iter(given.items()))
            if key in ("data", "file"):
                return f"_{key}({self.value(inner)})"
            if key == "value":
                return repr(inner)
        return f"{{{', '.join(f'{key!r}: {self.value(each)}' for key, each in given.items())}}}"

    def items(self, given: Any) -> str:
        """Return the expression of a list that a step is mapped over: the value of a step has to be there for that."""
        ref = next(iter(references(given)), None) if isinstance(given, str) else None
        if ref is not None and ref[0] in self.steps and ref[0] not in self.many:
            return f"{self.value(given)}.result()"
        return self.value(given)

    def _text(self, given: str) -> str:
        if not given.startswith("$"):
            return repr(given)
        if given.startswith("$$"):
            return repr(given[1:])
        name, path = next(references(given))
        if name not in self.steps:
            return name + "".join(f"[{each!r}]" for each in path)
        if not path:
            return f"_{name}"
        if name in self.many:
            return f"[_pick(_h, {path!r}) for _h in _{name}]"
        return f"_pick(_{name}, {path!r})"


def given_step(target: Any, name: str, **options: Any) -> Step[..., Any]:
    """Return the step that a file names: one of the project's as it is, or a function of the project's as a step."""
    if isinstance(target, Step):
        if not options:
            return target
        return Step(target.function, msgspec.structs.replace(target.options, **_listed(options)))
    if not callable(target):
        raise InvalidInputError(f"the step '{name}' runs a {type(target).__name__}, which cannot be called.")
    made: Step[..., Any] = step(**options)(target)
    return made


def _listed(options: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}


def picked(value: Any, path: list[str]) -> Any:
    """Return what lies at a path inside of a step's value: entries of mappings, items of lists, attributes."""
    for each in path:
        if isinstance(value, dict):
            value = value[each]
        elif isinstance(value, list | tuple) and each.isdigit():
            value = value[int(each)]
        else:
            value = getattr(value, each)
    return value


def described_flow(
    name: str, parameters: dict[str, Any], *, strict: bool
) -> Callable[[Callable[..., Any]], Flow[..., Any]]:
    """Return what makes the function of a file a flow that refuses arguments of other types."""
    kinds = {each: ParameterTable(type=kind, choices=choices) for each, (kind, choices) in parameters.items()}

    def check(arguments: dict[str, Any]) -> None:
        for each, value in arguments.items():
            told = unfit(each, kinds[each], value) if each in kinds else ""
            if told:
                raise InvalidInputError(f"flow '{name}': {told}", flow=name)

    def mark(function: Callable[..., Any]) -> Flow[..., Any]:
        function.check = check  # type: ignore[attr-defined]  # asked for by check_arguments
        return Flow(function, name, strict)

    return mark


def info_of(described: Described) -> FlowInfo:
    """Return what is told of a flow in a file where flows are listed."""
    parameters = tuple(
        Parameter(
            name=name, annotation=each.type, required=each.default is msgspec.UNSET,
            default="" if each.default is msgspec.UNSET else repr(each.default),
        )
        for name, each in described.parameters.items()
    )  # fmt: skip
    return FlowInfo(
        name=described.name, ref=described.path, description=described.document.flow.description, path=described.path,
        line=1, parameters=parameters, steps=tuple(step.name for step in described.steps),
    )  # fmt: skip


def list_described(root: Path) -> list[FlowInfo]:
    """Return the flows in files of a project's folder and of ``flows`` in it; a file that is wrong says so in place."""
    found = []
    for place in sorted([*root.glob("*.toml"), *root.glob("flows/*.toml")]):
        path = place.relative_to(root).as_posix()
        text = place.read_bytes()
        if b"[[step]]" not in text or b"[flow]" not in text:
            continue
        try:
            found.append(info_of(read_described(root, path)))
        except InvalidInputError as error:
            found.append(
                FlowInfo(name=path, ref=path, description=error.message, path=path, line=1, parameters=(), steps=())
            )
    return found


def check_targets(project: Project, described: Described) -> list[str]:
    """Find what a flow's file names; see ``check_flow_file``."""
    from .finding import find_flow
    from .identities import find_program
    from .notebook_files import declared_parameters, read_notebook

    assert project.root is not None
    found = find_flow(project, described.path, project.root)
    home = vars(sys.modules[found.module])
    told = []
    for each, line in zip(described.steps, described.lines, strict=True):
        where = f"{described.path}:{line}: step '{each.name}'"
        if each.notebook:
            known = declared_parameters(read_notebook(project.root / each.notebook))
            wrong = next((name for name in each.with_ if name not in known), None)
            if wrong is not None:
                raise InvalidInputError(
                    f"{where}: {each.notebook} has no parameter '{wrong}'; it has {', '.join(known) or 'none'}."
                )
        try:
            inspect.signature(home[each.name].function).bind(**each.with_)
        except TypeError as error:
            raise InvalidInputError(f"{where}: {error}. It takes {_signature(home[each.name])}.") from error
        if each.command and not each.image and "{" not in each.command[0]:
            declared = each.files if each.files is not msgspec.UNSET else ()
            if each.command[0] not in declared and find_program(each.command[0], project.root) is None:
                told.append(f"{where}: the program '{each.command[0]}' is not on PATH of this machine")
    return told


def _signature(given: Step[..., Any]) -> str:
    return str(inspect.signature(given.function)).strip("()") or "no arguments"


def import_error(root: Path, path: str, error: BaseException, told: UserCodeError) -> HeadwaterError:
    """Return in the file's own terms that a module or a name of one is not there; other errors as ``told``."""
    if isinstance(error, HeadwaterError):
        return error
    missing = re.search(r"No module named '([^']+)'|module '([^']+)' has no attribute '([^']+)'", str(error))
    if missing is None:
        return told
    described = read_described(root, path)
    module, name = missing[1] or missing[2], missing[3]
    for each, line in zip(described.steps, described.lines, strict=True):
        home, _, function = each.run.partition(":")
        if home == module and (name is None or function.partition(".")[0] == name):
            lacks = f"the module '{module}' has no '{name}'" if name else f"there is no module '{module}'"
            return NotFoundError(f"{path}:{line}: step '{each.name}': run = '{each.run}', and {lacks}.", path=path)
    return told
