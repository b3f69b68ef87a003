"""Rows as they come back: tuples whose columns are also attributes."""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter
from typing import Any


class Row(tuple[Any, ...]):
    """One row of an answer: ``row[0]``, ``row.name``, ``a, b = row``.

    A column that shares its name with a method of tuple (``count``, ``index``) hides the method.
    """

    __slots__ = ()
    columns: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"this row has no column '{name}': it has {', '.join(self.columns)}")

    def as_dict(self) -> dict[str, Any]:
        """Return the row as column name to value."""
        return dict(zip(self.columns, self, strict=True))


@lru_cache(maxsize=1024)
def row_class(columns: tuple[str, ...]) -> type[Row]:
    """Return the class of rows with these columns; the first of two equal names is the attribute."""
    members: dict[str, Any] = {"__slots__": (), "columns": columns}
    for position, name in enumerate(columns):
        members.setdefault(name, property(itemgetter(position)))
    return type("Row", (Row,), members)
