"""Rows out of JSON, held against the contract while they are read."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.model.validation import row_type
from headwater.model.value_checks import needs_a_look, problems_of

if TYPE_CHECKING:
    from headwater.model import Contract

Read = Callable[[bytes], "list[dict[str, Any]] | None"]


@lru_cache(maxsize=256)
def json_reader(contract: Contract) -> Read | None:
    """Return what reads the JSON of a list of good rows in C, and gives None where any is not good.

    None where C cannot hold rows against this contract. JSON has no NaN, so a number read is a number.
    """
    row = row_type(contract)
    if row is None:
        return None
    decode = msgspec.json.Decoder(list[row]).decode  # type: ignore[valid-type]  # a type made at run time
    looked_at = [field for field in contract.inputs if needs_a_look(field)]

    def read(data: bytes) -> list[dict[str, Any]] | None:
        try:
            rows: list[dict[str, Any]] = msgspec.to_builtins(decode(data))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None
        for each in rows:
            for field in looked_at:
                if next(problems_of(field, each[field.name], ""), None) is not None:
                    return None
        return rows

    return read
