"""How an erasure reaches what shadows said: of an erased prediction, the copy that another version computed goes too.

Rows of any stream that hold something of the subject lose it as all events do (``headwater.trace.erasing``). What a
shadow said of a prediction need not name the subject to be about it: it was computed from the same inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headwater.events.erasing import find_in_seals, rewrite_seal
from headwater.lake.erasing import Effect, Erasing, eraser
from headwater.lake.needles import in_cell
from headwater.ledger import WriteTx

from .recording import PREDICTIONS
from .shadowing import SHADOWS

_SAID = ("outputs", "error")


@eraser("shadows")
def erase_shadows(erasing: Erasing, act: bool) -> Iterator[Effect]:
    """Take what shadows said of the subject's predictions out of sealed events; comes before those are erased."""

    def holds(value: Any) -> bool:
        return in_cell(value, erasing.needles, 0)

    theirs = {
        row["prediction"]
        for seal, _, rows in find_in_seals(erasing.project, holds)
        if seal.stream == PREDICTIONS.name
        for row in rows
    }
    if not theirs:
        return
    for seal, cells, _ in find_in_seals(erasing.project, lambda value: value in theirs):
        if seal.stream != SHADOWS.name:
            continue
        places = {place for place, _ in cells}
        yield Effect(store="events", what=f"{len(places)} rows of '{seal.stream}' (copies)", how="rewritten")
        if act:
            gone = {(place, name): b"" for place in places for name in _SAID}
            rewrite_seal(erasing.project, seal, gone, erasing.needles.without, _nothing_more)


def _nothing_more(tx: WriteTx) -> None:
    """The row's prediction says by itself that it was erased."""
