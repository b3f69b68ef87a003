"""The contract of a model: named, typed, bounded inputs and outputs that consumers may rely on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from headwater.errors import InvalidInputError

FieldType = Literal["float", "int", "bool", "str", "image", "file", "list", "object", "json"]
NESTED: frozenset[str] = frozenset({"list", "object", "json"})
"""Types whose values hold other values."""

BYTES: frozenset[str] = frozenset({"image", "file"})
"""Types whose values are bytes: base64 in rows and JSON, ``bytes`` in columns."""

LARGEST_FLOAT = 3.4028234663852886e38
"""The largest 32-bit float; a larger number would reach the model as infinity."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One input or output.

    ``minimum`` and ``maximum`` bound numbers (both included), ``allowed`` lists the only values. A ``nullable``
    input may be absent or null. ``source`` tells, for an output, which raw output of the model it is
    (``probabilities[1]``: the second column); empty means the one of the same name.

    ``least`` and ``most`` bound a length: the characters of a ``str``, the bytes of an ``image`` or ``file``, the items
    of a ``list``, each of which keeps ``item``. An ``object`` has ``fields``; ``json`` is any JSON value. An ``image``
    or ``file`` is base64 text in a row; ``media_types`` lists what it may be (``image/png``), nothing: anything.
    A ``personal`` field says something of a person: what is kept of predictions masks it.
    """

    name: str
    type: FieldType
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[bool | int | float | str, ...] | None = None
    unit: str = ""
    description: str = ""
    nullable: bool = False
    source: str = ""
    least: int | None = None
    most: int | None = None
    media_types: tuple[str, ...] = ()
    item: Field | None = None
    fields: tuple[Field, ...] = ()
    personal: bool = False

    @property
    def width(self) -> int | None:
        """How many numbers a list of a fixed length of numbers or booleans has; None for everything else."""
        numbers = self.item is not None and self.item.type in ("float", "int", "bool") and not self.item.nullable
        return self.most if self.type == "list" and numbers and self.least == self.most else None


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with one row: where, what was given, what the contract expects.

    ``field`` names what is inside another with a path: ``order.items[2].price``.
    """

    row: int
    field: str
    what: str
    expected: str


class ContractError(InvalidInputError):
    """Rows do not keep the contract; ``values["problems"]`` lists every problem of every row."""

    kind = "contract"
    http_status = 422


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What goes in and what comes out, each in a stated order."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]

    def validate(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the rows with exactly the contract's inputs, in its order, floats as floats, absent as None.

        Raises:
            ContractError: names every problem: row, field, what was given, what is expected.
        """
        from .validation import validate

        return validate(self, rows)

    def problems(self, rows: Sequence[dict[str, Any]]) -> list[Problem]:
        """Return every problem of every row, in the order of rows and fields; empty when all is well."""
        from .validation import find_problems

        return find_problems(self, rows)

    def input(self, name: str) -> Field:
        """Return the input of that name."""
        return _field(self.inputs, name, "input")

    def output(self, name: str) -> Field:
        """Return the output of that name."""
        return _field(self.outputs, name, "output")


def _field(fields: Sequence[Field], name: str, side: str) -> Field:
    for field in fields:
        if field.name == name:
            return field
    names = ", ".join(field.name for field in fields)
    raise InvalidInputError(f"the contract has no {side} '{name}'; it has {names}.", name=name)
