"""The sources that a project declares: ``[[source]]`` tables of headwater.toml, and ``hw.source`` in sources.py."""

from __future__ import annotations

import contextvars
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from ..check.functions import importing_from
from ..errors import InvalidInputError, NotFoundError, UserCodeError
from ..lake.names import check_dataset_name
from ..lake.refs import MAIN
from ..project import Project, Settings
from .kinds import KINDS, make_source
from .source import Source

CODE = "sources.py"
EXTRACTS = ("pdf", "text")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_HOLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_VALUE = re.compile(r"\w(?:[\w.+]|-(?!-))*")
_LONGEST_VALUE = 200


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """One declaration as written; ``settings`` are those of its kind. ``function`` is a Python source's own."""

    name: str
    kind: str
    dataset: str
    branch: str = MAIN
    under: str = ""
    description: str = ""
    extract: str = ""
    parameters: tuple[str, ...] = ()
    settings: dict[str, Any] = {}
    declared_in: str = "headwater.toml"
    function: Callable[..., Any] | None = None


_OWN = {"name", "kind", "dataset", "branch", "under", "description", "extract", "parameters"}
_collecting: contextvars.ContextVar[list[Declared] | None] = contextvars.ContextVar("sources_found", default=None)


def source(name: str, *, dataset: str, kind: str = "", **settings: Any) -> Callable[[Any], Any]:
    """Declare a source in the project's sources.py.

    With ``kind``, it is what a ``[[source]]`` table is. Without, it decorates a function that pulls by itself:
    ``function(since, into, **parameters)`` puts files or tables ``into`` the intake and returns its new state (a
    dict), a ``Pulled``, or None.
    """
    row = {"name": name, "dataset": dataset, **settings}

    def declare(function: Any) -> Any:
        if kind:
            raise InvalidInputError(f"source '{name}' has kind = '{kind}', so it decorates no function. Leave one out.")
        _note(_read({**row, "kind": "python"}, CODE, function))
        return function

    if kind:
        _note(_read({**row, "kind": kind}, CODE, None))
    return declare


def declared_sources(project: Project) -> list[Declared]:
    """Return the declared sources: those of headwater.toml, as it is on the disk now, then those of sources.py.

    Raises:
        InvalidInputError: one is not as it should be, or two have one name; the message names it.
        UserCodeError: sources.py cannot be loaded.
    """
    path = project.settings.path
    settings = Settings.read(path) if path is not None and path.exists() else project.settings
    if "sources" in settings.tables:
        raise InvalidInputError("headwater.toml declares sources as [[sources]]; write [[source]] for each of them.")
    found = [_read(row, "headwater.toml", None) for row in settings.rows("source")]
    found += _in_code(project.root)
    names = [each.name for each in found]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInputError(f"two sources are called '{name}'. Rename one.", source=name)
    return found


def find_declared(project: Project, name: str) -> Declared:
    """Return the declared source of a name.

    Raises:
        NotFoundError: there is none; the message lists those there are.
    """
    found = declared_sources(project)
    for each in found:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in found) or "none"
    raise NotFoundError(
        f"there is no source '{name}'. Declared are: {known}. Declare it with a [[source]] table in headwater.toml.",
        source=name,
    )


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """A declared source with its parameters filled in: what can be pulled."""

    declared: Declared
    parameters: dict[str, str]
    dataset: str
    branch: str
    under: str
    source: Source


def bind(project: Project, declared: Declared, parameters: Mapping[str, str]) -> Bound:
    """Return a declared source with its parameters filled in.

    A value has letters, digits, ``_ . + -`` and begins with a letter, digit or ``_``: it goes into queries, addresses
    and paths as it is.

    Raises:
        InvalidInputError: a parameter is missing or unknown, its value cannot be used, or so for a setting.
    """
    given = {key: str(value) for key, value in parameters.items()}
    _require_parameters(declared, given)
    dataset = filled(declared.dataset, given)
    check_dataset_name(dataset)
    settings = filled(declared.settings, given)
    if declared.function is not None:
        from .python import PythonSource

        made: Source = PythonSource(declared.name, declared.function, given)
    else:
        made = make_source(declared.kind, settings, root=project.root or Path())
    return Bound(
        declared=declared,
        parameters=given,
        dataset=dataset,
        branch=filled(declared.branch, given),
        under=filled(declared.under, given),
        source=made.placed(project, declared.name, given),
    )


def filled(value: Any, parameters: Mapping[str, str]) -> Any:
    """Return a setting with each ``{parameter}`` replaced; other braces stay as they are."""
    if isinstance(value, dict):
        return {key: filled(each, parameters) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, parameters) for each in value]
    if isinstance(value, str):
        return _HOLE.sub(lambda hole: parameters.get(hole[1], hole[0]), value)
    return value


def _require_parameters(declared: Declared, given: Mapping[str, str]) -> None:
    missing = [name for name in declared.parameters if name not in given]
    unknown = sorted(set(given) - set(declared.parameters))
    if missing or unknown:
        says = [f"'{name}' is missing" for name in missing] + [f"there is no parameter '{name}'" for name in unknown]
        asked = " ".join(f"{name}=..." for name in declared.parameters) or "no parameters"
        raise InvalidInputError(
            f"source '{declared.name}' cannot be pulled like this: {', '.join(says)}. It takes {asked}.",
            source=declared.name,
        )
    for name, value in given.items():
        if not _VALUE.fullmatch(value) or ".." in value or len(value) > _LONGEST_VALUE:
            raise InvalidInputError(
                f"parameter {name}={value!r} of source '{declared.name}' cannot be used: it goes into addresses, "
                "queries and paths, so it has letters, digits and _ . + - only (no '..', no '--').",
                source=declared.name,
                parameter=name,
            )


def _read(row: Mapping[str, Any], where: str, function: Callable[..., Any] | None) -> Declared:
    shown = row.get("name", "(without a name)")
    own = {key: value for key, value in row.items() if key in _OWN}
    settings = {key: value for key, value in row.items() if key not in _OWN}
    try:
        found: Declared = msgspec.convert({**own, "settings": settings, "declared_in": where}, Declared)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"source '{shown}' in {where} cannot be read: {error}.") from error
    problem = _problem(found, function)
    if problem:
        raise InvalidInputError(f"source '{shown}' in {where}: {problem}", source=found.name)
    return msgspec.structs.replace(found, function=function)


def _problem(found: Declared, function: Callable[..., Any] | None) -> str:
    if not _NAME.fullmatch(found.name):
        return "a name has letters, digits, '_', '.' and '-', and begins with a letter or digit."
    if function is None and found.kind not in KINDS:
        return f"there is no kind '{found.kind}'. There are: {', '.join(KINDS)}."
    if function is not None and found.settings:
        return f"a function takes no settings ({', '.join(found.settings)})."
    if found.extract and found.extract not in EXTRACTS:
        return f"extract = '{found.extract}' is not known. There are: {', '.join(EXTRACTS)}."
    texts = str([found.dataset, found.branch, found.under, found.settings])
    unused = [name for name in found.parameters if f"{{{name}}}" not in texts]
    if unused and function is None and found.kind != "webhook":
        return f"parameter '{unused[0]}' is declared, and '{{{unused[0]}}}' stands in no setting."
    return ""


def _note(found: Declared) -> None:
    collecting = _collecting.get()
    if collecting is not None:
        collecting.append(found)


def _in_code(root: Path | None) -> list[Declared]:
    """Run the project's sources.py and return what it declares."""
    path = root / CODE if root is not None else None
    if path is None or not path.is_file():
        return []
    module = ModuleType("headwater_project_sources")
    module.__file__ = str(path)
    found: list[Declared] = []
    token = _collecting.set(found)
    try:
        with importing_from(path.parent):
            code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
            exec(code, module.__dict__)  # the project's own file, run for whoever may write it
    except (InvalidInputError, KeyboardInterrupt):
        raise
    except (Exception, SystemExit) as error:
        text = "".join(traceback.format_exception(*sys.exc_info()))
        raise UserCodeError(f"{CODE} cannot be loaded: {type(error).__name__}: {error}", text) from error
    finally:
        _collecting.reset(token)
    return found
