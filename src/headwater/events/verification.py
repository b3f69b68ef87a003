"""Whether the sealed rows that the ledger lists can all be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headwater.duck import connect
from headwater.errors import HeadwaterError

from .parquet import read_parquet_sql
from .tail import Seal, Span, list_seals

if TYPE_CHECKING:
    import duckdb

    from headwater.ledger import Ledger
    from headwater.objects import ObjectStore
    from headwater.objects.findings import Finding


def verify_seals(ledger: Ledger, objects: ObjectStore) -> Iterator[Finding]:
    """Yield a finding for each seal whose object is missing, unreadable, or has other rows than listed."""
    from headwater.objects.findings import Finding

    with ledger.read() as tx:
        seals = list_seals(tx, None, Span())
    with connect() as connection:
        for seal in seals:
            wrong = _problem(connection, objects, seal)
            if wrong:
                yield Finding(
                    kind="events.seal_unreadable",
                    what=f"{seal.stream}/{seal.id}",
                    message=f"sealed rows of stream '{seal.stream}' (object {seal.digest[:12]}…): {wrong}. "
                    "Restore the object from a backup.",
                    severity="error",
                )


def _problem(connection: duckdb.DuckDBPyConnection, objects: ObjectStore, seal: Seal) -> str:
    import duckdb

    try:
        source = read_parquet_sql([objects.cached_path(seal.digest)])
        # Hashing every value decodes every page; counting alone would read the footer.
        found = connection.execute(
            f"SELECT count(*), min(occurred_at), max(occurred_at), bit_xor(hash(r)) FROM {source} AS r"
        ).fetchone()
    except (duckdb.Error, HeadwaterError, OSError) as error:
        return str(error)
    expected = (seal.rows, seal.first_at, seal.last_at)
    if found is None or found[:3] != expected:
        return f"it holds {found[:3] if found else None} (rows, first, last) where the ledger lists {expected}"
    return ""
