"""The ledger: the facts of a project, relational, in SQLite or Postgres.

Facts are recorded and not edited; what moves is a pointer with its history kept; what came from what is an edge; what
others may react to is announced; what governs is linked into a chain that shows tampering. What differs between the
two databases lies in ``dialect.py``. Each room above keeps its own tables in ``schema/`` and its own SQL; bytes and
streams are left to ``objects`` and ``events``. What is seldom done (upgrading, copying all facts) is imported from its
module, so that opening a ledger does not pay for it.
"""

from __future__ import annotations

from .chain import Head, body_of, erase_body, head_of, verify_chain
from .leases import Lease, release_lease, renew_lease, take_lease
from .ledger import SCHEMA, Ledger, create_ledger, open_ledger
from .rows import Row
from .transaction import Tx, WriteTx
from .values import after_prefix, escape_text, float_columns, float_value, unescape_text

__all__ = [
    "SCHEMA",
    "Head",
    "Lease",
    "Ledger",
    "Row",
    "Tx",
    "WriteTx",
    "after_prefix",
    "body_of",
    "create_ledger",
    "erase_body",
    "escape_text",
    "float_columns",
    "float_value",
    "head_of",
    "open_ledger",
    "release_lease",
    "renew_lease",
    "take_lease",
    "unescape_text",
    "verify_chain",
]
