"""A PyTorch module as a team would write one; imported only where torch is installed."""

from __future__ import annotations

from typing import Any

import torch


class Net(torch.nn.Module):  # type: ignore[misc,unused-ignore]  # torch is not installed where types are checked
    """One layer and a logistic end."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.arguments = {"inputs": inputs}
        self.layer = torch.nn.Linear(inputs, 1)

    def forward(self, rows: Any) -> Any:
        """Return the probability of each row, shape (rows, 1)."""
        return torch.sigmoid(self.layer(rows))
