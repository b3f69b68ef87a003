"""What a contract's outputs are measured as, and by which metric they are compared."""

from __future__ import annotations

from typing import Any

from headwater.errors import InvalidInputError
from headwater.model import Contract

TASKS: dict[str, str] = {
    "binary": "probability",
    "classes": "label",
    "regression": "value",
    "text": "text",
    "detection": "boxes",
    "ranking": "score",
}
"""Each task and the output that is held against the truth."""

MAIN_METRIC: dict[str, str] = {
    "binary": "auc",
    "classes": "accuracy",
    "regression": "rmse",
    "text": "cer",
    "detection": "map",
    "ranking": "ndcg_10",
}
"""The metric two versions are compared by where none is named."""


def task_of(contract: Contract) -> str:
    """Return what a contract's outputs are measured as: one of ``TASKS``, by the first output that is there.

    Raises:
        InvalidInputError: none of them is.
    """
    names = {field.name for field in contract.outputs}
    for task, name in TASKS.items():
        if name in names:
            return task
    raise InvalidInputError(
        f"the outputs {', '.join(sorted(names))} have none of {', '.join(TASKS.values())}, so it is not known what "
        "to measure. Record your own measurement with record_evidence."
    )


def positive_class(contract: Contract) -> Any:
    """Return the class that ``probability`` is of: the last that the label allows, True without a list."""
    for field in contract.outputs:
        if field.name == "label" and field.allowed:
            return field.allowed[-1]
    return True
