"""What every kind of declared check is: it names what to measure in the one scan, then judges the measures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from ..errors import InvalidInputError
from .values import Severity

if TYPE_CHECKING:
    from .scene import Scene

Scope = Literal["all", "new"]
COMMON = frozenset({"kind", "name", "severity", "why", "owner", "do", "scope"})


class Judgement(NamedTuple):
    """What a check found. ``sample_sql`` is a query for offending rows, ``sample`` rows already at hand."""

    ok: bool
    found: str
    value: float | int | str | None = None
    expected: str = ""
    sample_sql: str = ""
    sample: tuple[dict[str, Any], ...] = ()


class Rule(ABC):
    """A declared check. ``scope`` "new" looks only at the files that the baseline does not have.

    Measuring goes in three rounds, each one scan for all rules together: ``asks_of_baseline`` (bounds of bins),
    ``counts_of_baseline`` (what falls into them), ``measures`` (the version). A round's answers stand in
    ``bounds``, ``reference`` and the argument of ``judge``.
    """

    kind: ClassVar[str]
    options: ClassVar[frozenset[str]]
    compares: ClassVar[bool] = False

    def __init__(self, dataset: str, row: dict[str, Any]) -> None:
        self.row = row
        self.severity: Severity = row.get("severity", "fail")
        self.why, self.owner, self.do = (str(row.get(key, "")) for key in ("why", "owner", "do"))
        self.scope: Scope = row.get("scope", "all")
        self.where = f"[[checks.{dataset}]] kind = '{row.get('kind')}'"
        self.bounds: Sequence[Any] = ()
        self.reference: Sequence[Any] = ()
        unknown = set(row) - COMMON - self.options
        if unknown:
            raise self.wrong(f"does not know {', '.join(sorted(map(repr, unknown)))}; it takes {self._takes()}")
        if self.severity not in ("fail", "warn"):
            raise self.wrong(f"has severity {self.severity!r}; give 'fail' or 'warn'")
        if self.scope not in ("all", "new"):
            raise self.wrong(f"has scope {self.scope!r}; give 'all' or 'new'")
        self.columns: list[str] = self._columns()
        self.read()
        self.name = str(row.get("name") or self.default_name())

    @abstractmethod
    def read(self) -> None:
        """Read the options of this kind; raises what ``wrong`` returns."""

    def default_name(self) -> str:
        """Return the name where none was declared."""
        return f"{self.kind}({', '.join(self.columns)})" if self.columns else self.kind

    def asks_of_baseline(self, types: dict[str, str]) -> list[str]:
        """Return the aggregates that bound the bins."""
        return []

    def counts_of_baseline(self, types: dict[str, str]) -> list[str]:
        """Return the aggregates over the baseline to compare with."""
        return []

    def measures(self, types: dict[str, str]) -> list[str]:
        """Return the aggregates over the version."""
        return []

    @abstractmethod
    def judge(self, measured: Sequence[Any], scene: Scene) -> Judgement:
        """Return what the measures mean."""

    def wrong(self, problem: str) -> InvalidInputError:
        """Return the error of a declaration that cannot be used."""
        return InvalidInputError(f"{self.where} in headwater.toml {problem}. Correct it, then run the checks again.")

    def number(self, key: str, default: float | None = None, *, least: float | None = 0.0) -> float | None:
        """Return a number of the declaration, at least ``least``."""
        value = self.row.get(key, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or (least is not None and value < least):
            bound = "" if least is None else f" of at least {least:g}"
            raise self.wrong(f"has {key} = {value!r}; give a number{bound}")
        return value

    def _columns(self) -> list[str]:
        given = self.row.get("columns", self.row.get("column", []))
        if isinstance(given, dict):
            return [str(name) for name in given]
        names = [given] if isinstance(given, str) else given
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise self.wrong("needs columns as a list of names")
        return names

    def _takes(self) -> str:
        return ", ".join(sorted(COMMON | self.options))
