"""Content-addressed bytes: put, got and verified by digest, on a folder, a bucket or in memory.

Small objects are gathered in packs, large ones cut into chunks that equal files share. What an object means, which
fact names it and when it may go is for the floors above; here bytes are durable before anything names them, and no
byte is handed out unverified.

A name is loaded from its module when it is first used: who only wants a ``Finding`` does not pay for the store.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batch import Batch
    from .findings import Finding
    from .store import ObjectStore, open_store
    from .values import PackRecord

__all__ = ["Batch", "Finding", "ObjectStore", "PackRecord", "open_store"]

_HOMES = {
    "Batch": "batch",
    "Finding": "findings",
    "ObjectStore": "store",
    "PackRecord": "values",
    "open_store": "store",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
