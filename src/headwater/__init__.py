"""Headwater: the data-science infrastructure of a small team, on one ledger.

``import headwater as hw`` brings in nothing heavy: every name below is loaded when it is first used.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module 'headwater' has no attribute '{name}'")
    import headwater.sdk as sdk  # not "from headwater import sdk", which would ask this function for it

    if name not in sdk.NAMES:
        raise AttributeError(f"module 'headwater' has no attribute '{name}'")
    value = getattr(sdk, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    import headwater.sdk as sdk

    return sorted({*globals(), *sdk.NAMES})
