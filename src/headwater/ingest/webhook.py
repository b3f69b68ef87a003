"""Webhooks: what others sent to this project's server, gone into a version by the batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import msgspec

from ..errors import InvalidInputError
from ..lake import Entry
from .secrets import PREFIX
from .source import Pulled, Source, read_settings
from .values import Planned

if TYPE_CHECKING:
    from ..ledger import Row
    from ..project import Project
    from .intake import Intake

_ROWS = 50_000
_BYTES = 64 << 20


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Who may send: whoever signs with ``secret`` (``env:NAME``), else who has a token with the permission data:write.

    ``signature_header`` holds the HMAC-SHA256 of the body in hex, ``sha256=`` before it or not. The delivery's id is
    the body's ``id_field`` (JSON), else the ``id_header``, else the digest of the body: the same id counts once.
    ``keep_as``: ``table`` (one Parquet file a batch, bodies as text) or ``files`` (each body its own).
    """

    secret: str = ""
    signature_header: str = "X-Hub-Signature-256"
    id_header: str = ""
    id_field: str = ""
    largest_kib: int = 1024
    keep_as: Literal["table", "files"] = "table"


class WebhookSource(Source):
    """Reads the deliveries that came since the last pull, in the order in which they were recorded."""

    kind: ClassVar[str] = "webhook"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *, root: Path) -> Self:
        found = read_settings(cls.kind, settings, Settings)
        if found.secret and not found.secret.startswith(PREFIX):
            raise InvalidInputError('the secret of a webhook comes from the environment: secret = "env:NAME".')
        if not 1 <= found.largest_kib <= 1 << 20:
            raise InvalidInputError(f"largest_kib is 1 to {1 << 20}, not {found.largest_kib}.")
        return cls(found)

    @property
    def text(self) -> str:
        """The kind of proof that a sender gives."""
        return "signed deliveries" if self.settings.secret else "deliveries by token"

    def pull(self, since: dict[str, Any] | None, into: Intake) -> Pulled:
        seq = int((since or {}).get("seq", 0))
        count = 0
        for batch in _batches(into.project, into.source, into.parameters, seq):
            seq = batch[-1].seq
            count += len(batch)
            if self.settings.keep_as == "files":
                for row in batch:
                    self._put_file(row, into)
            else:
                _put_table(batch, into)
        return Pulled(state={"seq": seq}, note=f"{count:,} deliveries" if count else "")

    def plan(self, since: dict[str, Any] | None, current: Mapping[str, Entry]) -> list[Planned]:
        return [Planned(act="fetch", what="the deliveries received since the last pull")]

    def behind(self, since: dict[str, Any] | None) -> int:
        """Return how many deliveries came since the last pull."""
        from .history import spelled

        here = self.here
        sql = "SELECT count(*) FROM webhook_deliveries WHERE source = ? AND parameters = ? AND seq > ?"
        with here.project.ledger.read() as tx:
            return int(tx.value(sql, (here.name, spelled(here.parameters), int((since or {}).get("seq", 0)))))

    def test(self) -> str:
        from .secrets import resolve_secret

        if self.settings.secret:
            resolve_secret(self.settings.secret)
        return f"the server takes {self.text} of at most {self.settings.largest_kib:,} KiB"

    def _put_file(self, row: Row, into: Intake) -> None:
        path = f"deliveries/{row.seq:012d}{_ending(row.media)}"
        data = into.project.objects.get(row.object)
        into.put_file(path, data, media=row.media, proof=_proof(row))


def _put_table(batch: list[Row], into: Intake) -> None:
    bodies = dict(into.project.objects.get_many([row.object for row in batch]))
    import numpy

    columns: dict[str, Any] = {
        "delivery": [row.delivery for row in batch],
        "received_at": numpy.array([row.received_at for row in batch], dtype="datetime64[us]"),
        "media": [row.media for row in batch],
        "sender": [row.sender for row in batch],
        "body": [bodies[row.object].decode() for row in batch],
    }
    path = f"deliveries/{batch[0].seq:012d}-{batch[-1].seq:012d}"
    into.put_table(path, columns, proof={"deliveries": [_proof(row) for row in batch]})


def _batches(project: Project, source: str, parameters: Mapping[str, str], after: int) -> Iterator[list[Row]]:
    """Yield the deliveries after a number in batches that fit into memory, up to the newest at this moment."""
    from .history import spelled

    with project.ledger.read() as tx:
        last = tx.value("SELECT max(seq) FROM webhook_deliveries")
    while last and after < last:
        with project.ledger.read() as tx:
            rows = tx.all(
                "SELECT seq, delivery, object, size, media, sender, received_at FROM webhook_deliveries "
                "WHERE source = ? AND parameters = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
                (source, spelled(parameters), after, last, _ROWS),
            )
        if not rows:
            return
        batch: list[Row] = []
        size = 0
        for row in rows:
            if batch and size + row.size > _BYTES:
                yield batch
                batch, size = [], 0
            batch.append(row)
            size += row.size
        yield batch
        after = rows[-1].seq


def _proof(row: Row) -> dict[str, Any]:
    return {
        "delivery": row.delivery,
        "received_at": row.received_at,
        "sender": row.sender,
        "body": row.object,
        "bytes": row.size,
    }


def _ending(media: str) -> str:
    return {"application/json": ".json", "text/csv": ".csv", "text/plain": ".txt", "application/pdf": ".pdf"}.get(
        media, ""
    )
