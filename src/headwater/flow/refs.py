"""Data named in a flow and read in a step: the ref is resolved once, when the step's key is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from headwater.lake import Table


class DataRef(msgspec.Struct, frozen=True):
    """A ref to a version of a dataset. Passed to a step it counts as the version that it names at that moment."""

    ref: str

    def read(self, **options: Any) -> Table:
        """Return the rows; ``options`` are those of ``headwater.lake.scan``."""
        from headwater.lake import scan

        from .current import project_here

        return scan(project_here(), self.ref, **options)
