"""Finding the records that a flow cannot take: by halves, until each stands alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.errors import UserCodeError

from .stream_batches import Reject, count_of, records_of, rows_between, rows_without

if TYPE_CHECKING:
    from .running import Outcome

MOST = 100
"""So many records of a batch may be put apart; with more, the flow is broken, and not the records."""
_SUSPICIOUS = 10


def without_poison(
    batch: Path, folder: Path, run: Callable[[Path], Outcome], name: str, error: str
) -> tuple[Path, list[Reject]]:
    """Return a batch without the records on which the flow fails, and those with the reason.

    ``error`` is what the whole batch failed with. The flow is run over halves of the batch, and of halves that fail;
    its memory gives what those had in common.

    Raises:
        UserCodeError: no record can be told to be at fault: every one fails, or too many, or there is only one.
    """
    search = _Search(batch, folder, run)
    rows = count_of(batch)
    broken = f"stream '{name}': the flow fails, and not on some records only: {error}. Nothing was taken in."
    if rows == 1 or not search.find(0, rows, error) or len(search.found) == rows:
        raise UserCodeError(broken, "")
    rejects = [
        Reject(record=records_of(rows_between(batch, number, number + 1, folder))[0], reason=reason)
        for number, reason in search.found.items()
    ]
    return rows_without(batch, list(search.found), folder), rejects


class _Search:
    def __init__(self, batch: Path, folder: Path, run: Callable[[Path], Outcome]) -> None:
        self._batch = batch
        self._folder = folder
        self._run = run
        self._good = 0
        self.found: dict[int, str] = {}

    def find(self, first: int, end: int, error: str) -> bool:
        """Find what fails among rows that fail together; False when it is given up: too much fails."""
        if end - first == 1:
            self.found[first] = error
            alone = not self._good and len(self.found) >= _SUSPICIOUS
            return len(self.found) <= MOST and not alone
        middle = (first + end) // 2
        failed_before = len(self.found)
        for low, high in ((first, middle), (middle, end)):
            outcome = self._run(rows_between(self._batch, low, high, self._folder))
            if outcome.status == "done":
                self._good += high - low
            elif outcome.status != "failed" or not self.find(low, high, outcome.run.error):
                return False
        # Each half alone may do where both together did not: then no record is at fault.
        return len(self.found) > failed_before
