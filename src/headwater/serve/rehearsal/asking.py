"""Asking a loaded version recorded rows again: what it answers, what it refuses, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headwater.model import ContractError

if TYPE_CHECKING:
    from headwater.model import Loaded

_CHUNK = 1000


class Wrong(NamedTuple):
    """Why a row got no answer: which field (empty where the model itself failed), what was wrong, what was expected."""

    place: int
    field: str
    what: str
    expected: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The answers to rows by their position, None where a row was refused, and the problems of the refused ones."""

    answers: list[dict[str, Any] | None]
    problems: list[Wrong]

    @property
    def refused(self) -> int:
        """How many rows got no answer."""
        return sum(each is None for each in self.answers)

    def most_frequent(self, limit: int = 5) -> list[dict[str, Any]]:
        """Return the problems by field and what was expected, those of most rows first, each with its first row's."""
        groups: dict[tuple[str, str], list[Wrong]] = {}
        for each in self.problems:
            groups.setdefault((each.field, each.expected), []).append(each)
        found = [
            {
                "field": first.field,
                "what": f"{first.what}, expected {expected}" if expected else first.what,
                "rows": len({each.place for each in group}),
            }
            for (_, expected), group in groups.items()
            for first in group[:1]
        ]
        return sorted(found, key=lambda each: -int(str(each["rows"])))[:limit]


def ask(loaded: Loaded, rows: Sequence[dict[str, Any]]) -> Asked:
    """Ask a version some rows: in batches while it answers, row by row where it fails."""
    answers: list[dict[str, Any] | None] = []
    problems: list[Wrong] = []
    for begin in range(0, len(rows), _CHUNK):
        chunk = rows[begin : begin + _CHUNK]
        try:
            answers += loaded.predict(chunk)
        except Exception:  # noqa: BLE001  # one row's failure, in the contract or the model's own code, is that row's
            for place, row in enumerate(chunk, begin):
                answer, why = _one(loaded, place, row)
                answers.append(answer)
                problems += why
    return Asked(answers=answers, problems=problems)


def _one(loaded: Loaded, place: int, row: dict[str, Any]) -> tuple[dict[str, Any] | None, list[Wrong]]:
    try:
        return loaded.predict([row])[0], []
    except ContractError as error:
        problems = error.values["problems"]
        return None, [Wrong(place, each["field"], each["what"], each["expected"]) for each in problems]
    except Exception as error:  # noqa: BLE001  # the user's own model may raise anything
        return None, [Wrong(place, "", f"the model raised {type(error).__name__}: {str(error)[:200]}", "")]
