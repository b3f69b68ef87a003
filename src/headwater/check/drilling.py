"""Whether checks notice anything: faults planted in a sample of a version, column by column, and who said so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..errors import InvalidInputError
from ..lake.declared import find_declared
from ..lake.refs import find_version, get_version
from ..lake.table import Table
from ..operation import operation
from ..project import Project
from .functions import importing_from, load_checks
from .running import _call, _ruled, rule_of
from .scene import Scene
from .sqltext import quote
from .values import CheckResult

ROWS = 5_000
_NUMBERS = ("INT", "DOUBLE", "FLOAT", "DECIMAL", "REAL")
_TEXTS = ("VARCHAR", "ENUM")


class CheckDrill(msgspec.Struct, frozen=True, kw_only=True):
    """What checks noticed of planted faults.

    ``noticed`` maps each column to its faults, and each fault to the checks that failed or warned because of it.
    ``declared`` is the digest of the declarations, ``rows`` how many rows the faults were planted in.
    """

    version: str
    dataset: str
    declared: str
    rows: int
    noticed: dict[str, dict[str, tuple[str, ...]]]

    @property
    def unguarded(self) -> tuple[str, ...]:
        """The columns of which no check noticed any fault."""
        return tuple(name for name, faults in self.noticed.items() if not any(faults.values()))


@operation("check.drill", needs="data:read")
def drill_checks(project: Project, ref: str, columns: Sequence[str] = ()) -> CheckDrill:
    """Plant faults in a sample of a version, one column at a time, and return which checks noticed; nothing is kept.

    Faults: half of the values missing, the first value everywhere, numbers a thousand times as large, a text that was
    never seen, the column gone. A check counts where it passes on the sample as it is. ``columns`` are all unless some
    are named; those that the version does not have are guarded by nothing.

    Raises:
        NotFoundError: the ref names nothing.
        InvalidInputError: nothing is declared for the dataset, or it holds no table.
    """
    with project.ledger.read() as tx:
        version = find_version(tx, ref)
        baseline = get_version(tx, version.parents[0]) if version.parents else None
    declared = find_declared(project, version.dataset)
    if declared is None:
        raise InvalidInputError(
            f"nothing is declared for '{version.dataset}', so no fault can be noticed. Write "
            f"[[checks.{version.dataset}]] in headwater.toml.",
            dataset=version.dataset,
        )
    scene = Scene(project, version, baseline)
    if not scene.tables:
        raise InvalidInputError(f"{version.dataset}@v{version.number} holds no table to plant faults in.")
    types = scene.types("data")
    scene.connection.execute(f"CREATE TABLE drilled AS SELECT * FROM data LIMIT {ROWS}")
    judge = _Judge(project, scene, declared.rows, declared.code)
    healthy = judge.passing("SELECT * FROM drilled")
    noticed: dict[str, dict[str, tuple[str, ...]]] = {}
    for name in columns or types:
        kinds = _faults(name, types[name]) if name in types else {}
        noticed[name] = {
            fault: tuple(sorted(healthy - judge.passing(f"SELECT {select} FROM drilled")))
            for fault, select in kinds.items()
        }
    rows = int(Table(scene.connection, "SELECT count(*) FROM drilled").fetchall()[0][0])
    return CheckDrill(version=version.id, dataset=version.dataset, declared=declared.digest, rows=rows, noticed=noticed)


def _faults(name: str, kind: str) -> dict[str, str]:
    """Return for each fault what to select instead of the column."""
    column = quote(name)
    found = {
        "missing": f"CASE WHEN rowid % 2 = 0 THEN {column} END",
        "the same everywhere": f"(SELECT any_value({column}) FROM drilled)",
    }
    if kind.startswith(_NUMBERS) or "INT" in kind:
        found["far too large"] = f"1000.0 * (abs({column}) + 1)"
    if kind.startswith(_TEXTS):
        found["never seen"] = f"'\u2603 never seen' || CASE WHEN {column} IS NULL THEN '' ELSE '' END"
    planted = {fault: f"* REPLACE ({select} AS {column})" for fault, select in found.items()}
    return {**planted, "gone": f"* EXCLUDE ({column})"}


class _Planted(Scene):
    """A version as it would be with other rows in place of its own, over the same connection."""

    def __init__(self, scene: Scene, query: str) -> None:
        super().__init__(scene.project, scene.version, scene.baseline)
        self._rows = Table(scene.connection, query)
        self.__dict__["connection"] = scene.connection
        scene.connection.execute(f"CREATE OR REPLACE VIEW data AS {query}")
        if scene.fresh:
            scene.connection.execute(f"CREATE OR REPLACE VIEW fresh AS {query}")

    def layouts(self, entries: Any) -> Any:
        """Return one layout: that of the rows."""
        return [(self._rows.types, list(entries))]


class _Judge:
    """Runs everything declared on rows that take the place of a version's."""

    def __init__(self, project: Project, scene: Scene, rows: Sequence[Mapping[str, Any]], code: bytes | None) -> None:
        self._folder = project.root or Path()
        self._scene = scene
        self._declared = [dict(row) for row in rows if row.get("kind") != "python"]
        self._own = load_checks(code, self._folder, scene.version.dataset) if code is not None else []

    def passing(self, query: str) -> set[str]:
        """Return the names of the checks that pass on the rows of a query."""
        return {each.name for each in self._results(query) if each.outcome == "passed"}

    def _results(self, query: str) -> Iterator[CheckResult]:
        planted = _Planted(self._scene, query)
        rules = [rule_of(self._scene.version.dataset, row) for row in self._declared]
        if rules:
            yield from _ruled(rules, planted)
        with importing_from(self._folder):
            for declared, function in self._own:
                yield _call(declared, function, Table(self._scene.connection, query), self._folder)
