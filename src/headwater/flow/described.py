"""Flows described in a file: ``[flow]``, ``[parameters]`` and ``[[step]]`` tables in TOML, for who writes no Python.

The file is read and checked here, and made into the module that it means by ``described_code``: from there on it is a
flow like any other, with the same keys, workers and snapshots.
"""

from __future__ import annotations

import keyword
import re
import tomllib
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec

from headwater.errors import InvalidInputError, NotFoundError
from headwater.operation import operation

from .drawing import Picture, Seen, picture_of
from .steps import Options

if TYPE_CHECKING:
    from headwater.project import Project

SUFFIX = ".toml"
_TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,), "int": (int,), "float": (float, int), "bool": (bool,), "list": (list,), "table": (dict,),
}  # fmt: skip
_OWN = ("run", "command", "notebook")
_REF = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)((?:\.[A-Za-z0-9_]+)*)")


class FlowTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[flow]``. ``returns`` is the value that the flow gives; the last step's where not said."""

    name: str
    description: str = ""
    returns: Any = None
    strict: bool = False


class ParameterTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A parameter with more than a default. Without one it has to be given."""

    type: str = ""
    default: Any = msgspec.UNSET
    choices: list[Any] = []
    help: str = ""


_FILES = dict[str, str]
_own_fields: list[Any] = [
    ("name", str),
    ("run", str, ""),
    ("command", list[str], msgspec.field(default_factory=list)),
    ("notebook", str, ""),
    ("with_", dict[str, Any], msgspec.field(default_factory=dict, name="with")),
    ("needs", list[str], msgspec.field(default_factory=list)),
    ("map", str | list[str], msgspec.field(default_factory=list)),
    ("inputs", _FILES, msgspec.field(default_factory=dict)),
    ("outputs", str | list[str] | _FILES, msgspec.field(default_factory=list)),
    ("stdin", str, ""),
    ("stdout", str, ""),
    ("environ", _FILES, msgspec.field(default_factory=dict)),
    ("exits", list[int], msgspec.field(default_factory=list)),
    ("stop_after_s", float | str | None, None),
    ("image", str, ""),
]
OPTIONS = tuple(name for name in Options.__struct_fields__ if name != "notebooks")
_hints = get_type_hints(Options)
StepTable = msgspec.defstruct(
    "StepTable",
    [*_own_fields, *((name, _hints[name] | msgspec.UnsetType, msgspec.UNSET) for name in OPTIONS)],
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
)
StepTable.__doc__ = "A table ``[[step]]``: what it runs, with what, after what; and the options that any step has."


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole file."""

    flow: FlowTable
    parameters: dict[str, Any] = {}
    step: list[StepTable]  # type: ignore[valid-type]  # a class made from the options that steps have


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """A flow as its file describes it, checked. ``lines`` are those of the tables ``[[step]]``."""

    path: str
    document: Document
    parameters: dict[str, ParameterTable]
    steps: list[Any]
    lines: list[int]

    @property
    def name(self) -> str:
        """The flow's name."""
        return self.document.flow.name


def is_described(flow: Any) -> bool:
    """Tell whether a flow was named by its file."""
    return isinstance(flow, str) and flow.endswith(SUFFIX)


def read_described(root: Path, path: str) -> Described:
    """Return the flow that a file below ``root`` describes.

    Raises:
        NotFoundError: there is no such file.
        InvalidInputError: it describes none; the message names file, line, key, and what is allowed.
    """
    place = root / path
    try:
        text = place.read_bytes().decode()
    except OSError:
        raise NotFoundError(f"there is no file '{path}' below '{root}'.", path=path) from None
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path}: not UTF-8: {error}.", path=path) from error
    return _Reader(path, text).read()


class _Reader:
    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.lines = text.splitlines()
        self.text = text

    def read(self) -> Described:
        try:
            given = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise InvalidInputError(f"{self.path}: {error}.", path=self.path) from error
        self.given = given
        try:
            document = msgspec.convert(given, Document)
        except msgspec.ValidationError as error:
            raise self._not_of_its_form(str(error)) from error
        parameters = {name: self._parameter(name, value) for name, value in document.parameters.items()}
        steps = list(document.step)
        self._check_steps(steps, parameters)
        starts = self.starts()
        order = self._order(steps)
        return Described(
            path=self.path, document=document, parameters=parameters, steps=[steps[n] for n in order],
            lines=[starts[n] for n in order],
        )  # fmt: skip

    def starts(self) -> list[int]:
        """Return the lines of the tables ``[[step]]``."""
        return [n for n, line in enumerate(self.lines, 1) if re.match(r"\s*\[\[\s*step\s*\]\]", line)] or [1]

    def wrong(self, what: str, *, step: int | None = None, key: str = "", table: str = "") -> InvalidInputError:
        """Return the error that names the file, the line of the key, and what is wrong."""
        line = self._line(step, key, table)
        where = ""
        if step is not None:
            name = self.given.get("step", [])[step].get("name") if isinstance(self.given.get("step"), list) else None
            where = f"step '{name}': " if isinstance(name, str) else f"step {step + 1}: "
        return InvalidInputError(f"{self.path}:{line}: {where}{what}", path=self.path, line=line, key=key)

    def _line(self, step: int | None, key: str, table: str) -> int:
        starts = self.starts()
        if step is not None:
            first = starts[step] if step < len(starts) else 1
            last = starts[step + 1] - 1 if step + 1 < len(starts) else len(self.lines)
        else:
            first = next((n for n, row in enumerate(self.lines, 1) if re.match(rf"\s*\[{table}\]", row)), 1)
            last = next((n - 1 for n, row in enumerate(self.lines, 1) if n > first and row.startswith("[")), 10**9)
        looked = re.compile(rf'\s*(\[step\.)?"?{re.escape(key)}"?\s*[=\].]') if key else None
        numbered = enumerate(self.lines[first - 1 : last], first)
        return next((n for n, row in numbered if looked is not None and looked.match(row)), first)

    def _not_of_its_form(self, told: str) -> InvalidInputError:
        """Say in our words what msgspec found: the key, its line, and what stands there otherwise."""
        what, _, place = told.partition(" - at `$")
        place = place.rstrip("`")
        found = re.match(r"\.step\[(\d+)\]", place)
        number = int(found[1]) if found else None
        table = "" if found else place.lstrip(".").partition(".")[0].partition("[")[0]
        rest = place[found.end() :] if found else place.removeprefix(f".{table}")
        key = re.split(r"[.\[]", rest.lstrip("."))[0]
        unknown = re.search(r"unknown field `([^`]+)`", what)
        if unknown:
            key = unknown[1]
            allowed = StepTable if found else {"flow": FlowTable}.get(table, Document)
            names = ", ".join(msgspec.json.schema(allowed)["$defs"][allowed.__name__]["properties"])
            return self.wrong(f"there is no key '{key}'; the keys are {names}.", step=number, key=key, table=table)
        what = what.replace("Object missing required field", "it lacks the key")
        what = what.replace("`str`", "text").replace("`array`", "a list").replace("`object`", "a table")
        at = f"'{key}': " if key else ""
        return self.wrong(f"{at}{what}.", step=number, key=key, table=table or "flow")

    def _parameter(self, name: str, value: Any) -> ParameterTable:
        if not _is_name(name):
            raise self.wrong(f"the parameter '{name}' is no name: letters, digits, _.", key=name, table="parameters")
        if not isinstance(value, dict):
            return ParameterTable(type=_type_of(value), default=value)
        try:
            made = msgspec.convert(value, ParameterTable)
        except msgspec.ValidationError as error:
            names = ", ".join(ParameterTable.__struct_fields__)
            raise self.wrong(f"'{name}': {error}; the keys are {names}.", key=name, table="parameters") from error
        kind = made.type or (_type_of(made.default) if made.default is not msgspec.UNSET else "text")
        if kind not in _TYPES:
            raise self.wrong(
                f"'{name}': there is no type '{kind}'; there are {', '.join(_TYPES)}.", key=name, table="parameters"
            )
        made = msgspec.structs.replace(made, type=kind)
        if made.default is not msgspec.UNSET and (told := unfit(name, made, made.default)):
            raise self.wrong(f"its default does not fit: {told}", key=name, table="parameters")
        return made

    def _check_steps(self, steps: list[Any], parameters: Mapping[str, Any]) -> None:
        names: dict[str, int] = {}
        for number, step in enumerate(steps):
            if not _is_name(step.name):
                raise self.wrong(f"'{step.name}' is no name of a step: letters, digits, _.", step=number, key="name")
            if step.name in names:
                raise self.wrong("an earlier step has that name.", step=number, key="name")
            if step.name in parameters:
                raise self.wrong("a parameter has that name too; rename one.", step=number, key="name")
            names[step.name] = number
        for number, step in enumerate(steps):
            self._check_step(number, step, {*names, *parameters}, set(names))
        for name, _ in references(self.given["flow"].get("returns")):
            if name not in names and name not in parameters:
                raise self.wrong(f"'returns' names '${name}', which is neither.", key="returns", table="flow")

    def _check_step(self, number: int, step: Any, known: set[str], names: set[str]) -> None:
        chosen = [key for key in _OWN if getattr(step, key)]
        if len(chosen) != 1:
            told = f"it has {' and '.join(chosen)}" if chosen else "it has none"
            raise self.wrong(
                f"a step has one of {', '.join(_OWN)}; {told}.", step=number, key=chosen[-1] if chosen else ""
            )
        kind = chosen[0]
        if kind == "run" and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", step.run):
            raise self.wrong(f"run = '{step.run}' is not 'module:function'.", step=number, key="run")
        only = {"inputs", "stdin", "stdout", "environ", "exits", "stop_after_s", "image"}
        for key in only if kind != "command" else ():
            if getattr(step, key):
                raise self.wrong(f"'{key}' is for a command; this step has {kind}.", step=number, key=key)
        if step.outputs and kind == "run":
            raise self.wrong("'outputs' is for a command or a notebook.", step=number, key="outputs")
        if kind == "notebook" and not isinstance(step.outputs, list):
            raise self.wrong("'outputs' of a notebook is a list of variables.", step=number, key="outputs")
        if kind == "command" and isinstance(step.outputs, list) and step.outputs:
            raise self.wrong(
                "'outputs' of a command is a file, or a table of names to files.", step=number, key="outputs"
            )
        for name in step.needs:
            if name not in names:
                raise self.wrong(
                    f"needs '{name}', and there is no such step. Steps: {_listed(names)}.", step=number, key="needs"
                )
        for name, _ in references(step.with_):
            if name not in known:
                raise self.wrong(f"'${name}' is neither a step nor a parameter. There are: {_listed(known)}. "
                                 "A text that begins with $ is written $$.", step=number, key="with")  # fmt: skip
        for name in mapped(step):
            if name not in step.with_:
                raise self.wrong(
                    f"maps over '{name}', which 'with' does not give. It gives: {_listed(step.with_)}.",
                    step=number, key="map",
                )  # fmt: skip

    def _order(self, steps: list[Any]) -> list[int]:
        """Return the steps so that each comes after those it needs; else in the file's order."""
        at = {step.name: number for number, step in enumerate(steps)}
        needs = {number: sorted({at[name] for name in needed(step) if name in at}) for number, step in enumerate(steps)}
        sorter: TopologicalSorter[int] = TopologicalSorter(needs)
        try:
            sorter.prepare()
        except CycleError as error:
            circle = [steps[number].name for number in error.args[1]]
            raise self.wrong(
                f"steps need each other in a circle: {' ← '.join(circle)}.", step=error.args[1][0]
            ) from error
        order: list[int] = []
        while sorter.is_active():
            for number in sorted(sorter.get_ready()):
                order.append(number)
                sorter.done(number)
        return order


def references(value: Any) -> Iterator[tuple[str, list[str]]]:
    """Yield what a value refers to: the name of a step or parameter, and the path inside of its value."""
    if isinstance(value, str) and value.startswith("$") and not value.startswith("$$"):
        found = _REF.fullmatch(value)
        yield (found[1], found[2].split(".")[1:]) if found else (value[1:], [])
    elif isinstance(value, list | tuple):
        for each in value:
            yield from references(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from references(each)


def needed(step: Any) -> list[str]:
    """Return the names that a step needs, of steps and parameters."""
    return [*step.needs, *(name for name, _ in references(step.with_))]


def mapped(step: Any) -> list[str]:
    """Return the arguments that a step is mapped over."""
    return [step.map] if isinstance(step.map, str) else list(step.map)


def unfit(name: str, parameter: ParameterTable, value: Any) -> str:
    """Return in a sentence why a value does not fit a parameter, "" when it does."""
    wanted = _TYPES[parameter.type]
    fits = isinstance(value, wanted) and (bool in wanted or not isinstance(value, bool))
    if not fits:
        return f"{name} is {value!r}, and should be {parameter.type}."
    if parameter.choices and value not in parameter.choices:
        return f"{name} is {value!r}, and should be one of {', '.join(map(repr, parameter.choices))}."
    return ""


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return next((name for name, kinds in _TYPES.items() if isinstance(value, kinds)), "text")


def _is_name(name: str) -> bool:
    return name.isidentifier() and name.isascii() and not keyword.iskeyword(name) and not name.startswith("_")


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"


@operation("flow.check", needs="run:read")
def check_flow_file(project: Project, path: str) -> list[str]:
    """Return what is worth knowing of a flow's file in sentences: none when it can be run as it stands.

    Raises:
        NotFoundError: there is no such file, or it names a module, a function or a notebook that is not there.
        InvalidInputError: it describes no flow, or a step is given what it does not take.
        UserCodeError: a module that it names cannot be imported.
    """
    from .described_code import check_targets

    if project.root is None:
        raise InvalidInputError("flows are checked where the project's folder is.")
    return check_targets(project, read_described(project.root, path))


def draw_described(project: Project, path: str, *, every_step: bool) -> Picture:
    """Return the picture of a flow as its file describes it."""
    assert project.root is not None
    found = read_described(project.root, path)
    names = {step.name for step in found.steps}
    seen = []
    for step in found.steps:
        stage = step.stage if step.stage is not msgspec.UNSET else ""
        kind = next(key for key in _OWN if getattr(step, key)).replace("run", "step")
        needs = tuple(name for name in dict.fromkeys(needed(step)) if name in names)
        seen.append(Seen(id=step.name, step=step.name, kind=f"{kind}, mapped" if mapped(step) else kind,
                         box=stage or step.name, needs=needs))  # fmt: skip
    return picture_of(path, "file", seen, every_step=every_step)


def schema() -> dict[str, Any]:
    """Return the JSON schema of a flow's file."""
    made: dict[str, Any] = msgspec.json.schema(Document)
    return made
