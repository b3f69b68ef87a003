"""Content-addressed bytes: put, got and verified by digest, on a folder, a bucket or in memory.

Small objects are gathered in packs, large ones cut into chunks that equal files share. What an object means, which
fact names it and when it may go is for the floors above; here bytes are durable before anything names them, and no
byte is handed out unverified.
"""

from __future__ import annotations

from .batch import Batch
from .findings import Finding
from .store import ObjectStore, open_store
from .values import PackRecord

__all__ = ["Batch", "Finding", "ObjectStore", "PackRecord", "open_store"]
