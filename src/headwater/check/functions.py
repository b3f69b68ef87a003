"""Checks as plain Python functions: ``@hw.check("flights")`` in the project's checks.py."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any, TypeVar

import msgspec

from ..errors import HeadwaterError, InvalidInputError
from ..lake.declared import CODE
from .values import Severity

F = TypeVar("F", bound=Callable[..., Any])
MARK = "__headwater_check__"


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """What the decorator was told."""

    dataset: str
    name: str
    why: str
    owner: str
    do: str
    severity: Severity


def check(
    dataset: str, *, name: str = "", why: str = "", owner: str = "", do: str = "", severity: Severity = "fail"
) -> Callable[[F], F]:
    """Declare that a function must hold of each version of ``dataset`` (written out, not computed).

    The function takes a Table and returns True or False, a list of messages (empty: it holds), a Table of the rows
    that break it (none: it holds; the verdict shows the first ten, pictures as pictures), or nothing after
    assertions. ``why`` is its docstring unless given. It stays callable as it is.
    """
    if severity not in ("fail", "warn"):
        raise InvalidInputError(f"a check has severity 'fail' or 'warn', not {severity!r}.")

    def declare(function: F) -> F:
        reason = why or " ".join((function.__doc__ or "").split())
        declared = Declaration(
            dataset=dataset, name=name or function.__name__, why=reason, owner=owner, do=do, severity=severity
        )
        setattr(function, MARK, (*getattr(function, MARK, ()), declared))
        return function

    return declare


def load_checks(source: bytes, folder: Path, dataset: str) -> list[tuple[Declaration, Callable[[Any], Any]]]:
    """Run the source of checks.py and return its checks of a dataset, in the order they are written.

    Raises whatever the source raises. Modules beside it can be imported while it runs.
    """
    module = ModuleType("headwater_project_checks")
    path = folder / CODE
    module.__file__ = str(path)
    code: CodeType = compile(source, str(path), "exec", dont_inherit=True)
    with importing_from(folder):
        exec(code, module.__dict__)  # the project's own file, run for whoever may write it
    return [
        (declared, function)
        for function in list(vars(module).values())
        for declared in getattr(function, MARK, ())
        if declared.dataset == dataset
    ]


@contextmanager
def importing_from(folder: Path) -> Iterator[None]:
    """Let modules of the project's folder be imported within the block."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def traceback_text(error: BaseException, folder: Path | None) -> str:
    """Return the traceback of an error, beginning with the user's own file where it passes through one."""
    frame: TracebackType | None = error.__traceback__
    if folder is not None:
        walk = frame
        while walk is not None and not walk.tb_frame.f_code.co_filename.startswith(str(folder)):
            walk = walk.tb_next
        frame = walk or frame
    # What lies behind an error of ours is ours; what the user's code raised from is the user's.
    chain = not isinstance(error, HeadwaterError)
    return "".join(traceback.format_exception(type(error), error, frame, chain=chain))
