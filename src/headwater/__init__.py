"""Headwater: the data-science infrastructure of a small team, on one ledger.

``import headwater as hw`` brings in nothing heavy: every name below is loaded when it is first used.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"


class _Room(ModuleType):
    """A package of ours whose name is also one that is offered: called, it is what is offered."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        import headwater.sdk as sdk

        return getattr(sdk, self.__name__.rpartition(".")[2])(*args, **options)


class _Face(ModuleType):
    """This package, under whose names importing puts its parts: ``hw.model`` is a room, and a function of the sdk."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "model" and type(value) is ModuleType:
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module 'headwater' has no attribute '{name}'")
    import headwater.sdk as sdk  # not "from headwater import sdk", which would ask this function for it

    if name not in sdk.NAMES:
        raise AttributeError(f"module 'headwater' has no attribute '{name}'")
    value = getattr(sdk, name)
    # A room of that name stays what the name means, for those who import it; called, it does the same.
    room: Any = sys.modules.get(f"{__name__}.{name}")
    globals()[name] = room if callable(room) else value
    return globals()[name]


def __dir__() -> list[str]:
    import headwater.sdk as sdk

    return sorted({*globals(), *sdk.NAMES})
