"""What a contract's outputs are measured as."""

from __future__ import annotations

from typing import Any

from headwater.errors import InvalidInputError
from headwater.model import Contract


def task_of(contract: Contract) -> str:
    """Return what a contract's outputs are measured as: ``binary``, ``classes`` or ``regression``.

    Raises:
        InvalidInputError: it has neither probability, label nor value.
    """
    names = {field.name for field in contract.outputs}
    for name, task in (("probability", "binary"), ("label", "classes"), ("value", "regression")):
        if name in names:
            return task
    raise InvalidInputError(
        f"the outputs {', '.join(sorted(names))} have none of probability, label and value, so it is not known what "
        "to measure. Record your own measurement with record_evidence."
    )


def positive_class(contract: Contract) -> Any:
    """Return the class that ``probability`` is of: the last that the label allows, True without a list."""
    for field in contract.outputs:
        if field.name == "label" and field.allowed:
            return field.allowed[-1]
    return True
