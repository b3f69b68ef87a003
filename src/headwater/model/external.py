"""Models that are somebody's HTTP API: nobody asks them what is only measured or drilled, since each call is sent away.

A call costs, and made-up rows are no business of a vendor. What was answered before is evidence as good as there is.
"""

from __future__ import annotations

from headwater.errors import RefusedError

from .values import ModelVersion


def is_external(version: ModelVersion) -> bool:
    """Tell whether what answers for a version is a server of somebody else's."""
    return version.flavour == "api"


def require_own(version: ModelVersion, unmeasured: str, instead: str) -> None:
    """Return where a version answers by itself.

    Raises:
        RefusedError: it is an external API; says what is ``unmeasured`` therefore, and what serves ``instead``.
    """
    if is_external(version):
        raise RefusedError(
            f"{version.label} is an external API, which is sent no rows to measure it: each call leaves this project "
            f"and may cost. Not measured therefore: {unmeasured}. Instead, {instead}",
            version=version.id,
        )
