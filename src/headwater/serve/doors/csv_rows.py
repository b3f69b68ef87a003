"""CSV text as rows, and the text of a cell as a field's type."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import InvalidInputError

from ..answering import MOST_ROWS

if TYPE_CHECKING:
    from headwater.model import Contract


def rows_of_csv(contract: Contract, body: bytes) -> list[dict[str, Any]]:
    """Return the rows of CSV text with a line of names; texts become what the contract's fields are.

    Raises:
        InvalidInputError: it is not UTF-8 or no CSV, has too many lines, a name twice, or a line with more or fewer
            cells than there are names.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"the CSV is not UTF-8: {error}.") from error
    types = {field.name: field.type for field in contract.inputs}
    rows: list[dict[str, Any]] = []
    lines = csv.reader(io.StringIO(text))
    try:
        names = distinct(next(lines, []))
        for number, cells in enumerate(lines, 2):
            if number > MOST_ROWS + 1:  # before more are read; empty lines are counted too
                raise InvalidInputError(f"the CSV has more than {MOST_ROWS:,} rows: send it in several requests.")
            if not cells:
                continue
            if len(cells) != len(names):
                raise InvalidInputError(
                    f"line {number} of the CSV has {len(cells):,} cells where its first line has {len(names):,} names."
                )
            rows.append({name: typed(types.get(name, "str"), cell) for name, cell in zip(names, cells, strict=True)})
    except csv.Error as error:
        raise InvalidInputError(f"the CSV cannot be read: {error}. Quote cells that hold commas or lines.") from error
    return rows


def typed(kind: str, cell: str | None) -> Any:
    """Return the text of a cell as a field's type, or as it is where it does not read as one: the contract refuses it.

    An empty cell is nothing.
    """
    if cell is None or cell == "":
        return None
    try:
        if kind == "float":
            return float(cell)
        if kind == "int":
            return int(cell)
        if kind == "bool":
            return {"true": True, "false": False, "1": True, "0": False}.get(cell.strip().lower(), cell)
        if kind in ("list", "object", "json"):
            return msgspec.json.decode(cell)
    except (ValueError, msgspec.DecodeError):
        return cell
    return cell


def distinct(names: list[str]) -> list[str]:
    """Return names of columns, if each is there once.

    Raises:
        InvalidInputError: one is there twice.
    """
    name, count = next(iter(Counter(names).most_common(1)), ("", 1))
    if count > 1:
        raise InvalidInputError(f"the column '{name[:100]}' is there {count:,} times: give each column once.")
    return names
