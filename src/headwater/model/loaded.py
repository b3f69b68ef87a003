"""A model version that was opened and answers; needs neither a project nor its stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .contract import Contract
from .execution import Execution
from .flavours import Predictor
from .values import ModelVersion

if TYPE_CHECKING:
    import numpy as np

    from .flavours.api import Usage


class Loaded:
    """A model version ready to answer. Safe to call from several threads."""

    def __init__(self, version: ModelVersion, predictor: Predictor, execution: Execution) -> None:
        self.version = version
        self.contract: Contract = version.contract
        self.execution = execution
        """Engine versions, threads, provider and CPU features: what replay compares."""
        self._predictor = predictor

    def predict(self, rows: Sequence[dict[str, Any]], *, validated: bool = False) -> list[dict[str, Any]]:
        """Return one dict of outputs per row, in the order of the rows; floats are exactly what the engine computed.

        Rows are checked against the contract unless they are said to be ``validated``. The answer may differ in its
        last bits with the number of rows and their order: replay repeats the batch.

        Raises:
            ContractError: rows do not keep the contract.
        """
        from .columns import columns_from_rows, rows_from_columns

        if not rows:
            return []
        good = rows if validated else self.contract.validate(rows)
        by_row = getattr(self._predictor, "predict_rows", None)
        outputs = by_row(good) if by_row else self._predictor.predict(columns_from_rows(self.contract.inputs, good))
        return rows_from_columns(self.contract.outputs, outputs)

    def usage(self) -> Usage | None:
        """Return what an API was asked since it was opened and what that cost; None for every other model."""
        told = getattr(self._predictor, "usage", None)
        return None if told is None or self.version.flavour != "api" else told()

    def predict_columns(self, columns: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Return the outputs as arrays by name, shape (rows,), for input columns of a frame or dict.

        Columns the contract does not name are ignored. Types are converted; bounds are not checked.

        Raises:
            InvalidInputError: a column of the contract is missing, or cannot be of its type.
        """
        from .columns import input_columns

        return self._predictor.predict(input_columns(self.contract.inputs, columns))
