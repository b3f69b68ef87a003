"""What is declared to hold for a dataset, read and never run: which branches are protected, and by which checks.

``headwater.check`` runs the declarations; the lake only needs to know whether there are any, and their digest, so
that a verdict over yesterday's checks does not open a branch that today's protect.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..canonical import digest_of
from ..errors import InvalidInputError, NotPublishableError
from ..project import Project, Settings
from .refs import MAIN
from .values import Version

if TYPE_CHECKING:
    from ..ledger import Tx

CODE = "checks.py"


def rows_for(project: Project, dataset: str) -> list[dict[str, Any]]:
    """Return the ``[[checks.<dataset>]]`` tables of headwater.toml as it is now on the disk.

    Raises:
        InvalidInputError: the table is not written as an array of tables.
    """
    path = project.settings.path
    settings = Settings.read(path) if path is not None and path.exists() else project.settings
    found = settings.table("checks").get(dataset, [])
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise InvalidInputError(f"the checks of '{dataset}' in headwater.toml must be written as [[checks.{dataset}]].")
    return found


def code_for(project: Project, dataset: str) -> Path | None:
    """Return the project's checks.py where it declares a check for the dataset, else None.

    A file that cannot be parsed counts for every dataset: what cannot be read must not open a branch.
    """
    path = project.root / CODE if project.root is not None else None
    if path is None or not path.is_file():
        return None
    named = _named_in(path.read_bytes())
    return path if named is None or dataset in named else None


@lru_cache(maxsize=8)
def _named_in(source: bytes) -> frozenset[str] | None:
    """Return the datasets that decorators ``@hw.check("name")`` in the source name; None when it does not parse."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and _is_check(call.func):
                    given = [*call.args[:1], *(k.value for k in call.keywords if k.arg == "dataset")]
                    named |= {str(a.value) for a in given if isinstance(a, ast.Constant)}
    return frozenset(named)


def _is_check(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name == "check"


class Declared(NamedTuple):
    """All that is declared for a dataset: tables of headwater.toml, the source of checks.py, the digest of both."""

    rows: list[dict[str, Any]]
    code: bytes | None
    digest: str


def find_declared(project: Project, dataset: str) -> Declared | None:
    """Return what is declared for the dataset now, None where nothing is."""
    rows, path = rows_for(project, dataset), code_for(project, dataset)
    if not rows and path is None:
        return None
    code = path.read_bytes() if path else None
    return Declared(rows, code, digest_of({"rows": _plain(rows), "code": code or b""}))


def _plain(value: Any) -> Any:
    """Return a value of TOML with its dates and times as text, which canonical bytes can spell."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool) else str(value)


def is_protected(tx: Tx, project: Project, dataset: str, branch: str) -> bool:
    """Tell whether moving the branch takes a passing verdict: as was set, else ``main`` where checks are declared."""
    row = tx.one("SELECT protected FROM branch_settings WHERE dataset = ? AND name = ?", (dataset, branch))
    if row is not None:
        return bool(row.protected)
    return branch == MAIN and find_declared(project, dataset) is not None


def require_publishable(tx: Tx, project: Project, branch: str, version: Version) -> None:
    """Raise NotPublishableError unless the version may be what a protected branch points to.

    It may with a passed or warned verdict, its newest, over the declarations as they are now, or by a recorded
    decision to release it from quarantine to this branch. A protected branch of a dataset without checks takes any
    verdict that did not fail: ``hw check`` records one.
    """
    row = tx.one(
        "SELECT id, outcome, declared FROM verdicts WHERE version = ? ORDER BY turn DESC LIMIT 1", (version.id,)
    )
    released = tx.one(
        "SELECT id, verdict FROM quarantine_releases WHERE version = ? AND branch = ? "
        "ORDER BY created_at DESC, id DESC LIMIT 1",
        (version.id, branch),
    )
    if released is not None and row is not None and released.verdict == row.id:
        return
    declared = find_declared(project, version.dataset)
    wanted = declared.digest if declared else ""
    target = f"branch '{branch}' of '{version.dataset}' is protected"
    if row is None:
        raise NotPublishableError(
            f"{target} and {version.ref} has no verdict. Run 'hw check {version.ref}', then publish it.",
            version=version.id,
        )
    if row.outcome == "failed":
        raise NotPublishableError(
            f"{target} and {version.ref} failed its checks (verdict {row.id}). Correct the data and publish again, or "
            f"decide with a reason: hw check release {version.ref} --reason ...",
            version=version.id,
            verdict=row.id,
        )
    if row.declared != wanted:
        raise NotPublishableError(
            f"{target} and the verdict of {version.ref} is over other checks than are declared now. "
            f"Run 'hw check {version.ref}' again, then publish it.",
            version=version.id,
            verdict=row.id,
        )
