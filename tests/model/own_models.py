"""Models of classes of their own, with code in two modules: what a team would write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from tests.model.own_rules import is_late


class LateByRule:
    """Says that a flight is late from an hour on."""

    def __init__(self, hour: int) -> None:
        self.hour = hour

    def predict(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Return the label of each row, and how sure it is."""
        late = is_late(columns["hour"], self.hour)
        return {"label": late, "probability": np.where(late, 0.75, 0.25)}

    def to_files(self) -> dict[str, bytes]:
        """Return what was learnt."""
        return {"hour.txt": str(self.hour).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """Return the model of what was learnt."""
        return cls(int(files["hour.txt"]))
