"""Evidence: a recorded measurement of something, which gates read and cards show."""

from __future__ import annotations

from typing import Any

import msgspec

RESAMPLES = 500
"""How many bootstrap samples an interval is made of."""
LEVEL = 0.95
"""The share of bootstrap samples that an interval covers."""
TOLERANCE = 1e-4
"""How far an exported model may be from its original: |a - b| / max(1, |a|)."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement: ``subject`` is the ref of what was measured, ``kind`` names the shape of ``body``.

    ``headwater.evaluate.kinds`` describes the kinds made here; a team's own are as good.
    ``data`` holds refs of what it was measured on, ``run`` the run that made it. ``operation`` is the operation that
    measured it (``evaluate.model``), ``evidence.record`` where the caller brought the figures; ``job`` the ref of the
    job in which it was made.
    """

    id: str
    subject: str
    kind: str
    body: dict[str, Any]
    created_at: int
    maker: str
    claimed: bool
    data: tuple[str, ...] = ()
    run: str | None = None
    operation: str = ""
    job: str | None = None

    @property
    def ref(self) -> str:
        """The text that names this evidence in the lineage."""
        return f"evidence:{self.id}"
