"""Consumers of a model: who is registered to rely on its answers, and who is seen to ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from headwater.errors import InvalidInputError, NotFoundError
from headwater.model import documents, get_model
from headwater.model.refs import check_channel, check_name
from headwater.operation import operation
from headwater.project import Project

from ..recording import PREDICTIONS

if TYPE_CHECKING:
    from headwater.ledger import Row, Tx

_COLUMNS = "model, channel, name, callers, reads, contact, person, claimed, registered_at"


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who relies on a model's channel.

    ``callers`` are the names under which it asks (its accounts), ``reads`` the outputs it relies on (all, when empty).
    """

    model: str
    channel: str
    name: str
    callers: tuple[str, ...]
    reads: tuple[str, ...]
    contact: str
    by: str
    claimed: bool
    registered_at: int


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """A name that asked a channel, as recorded; ``consumer`` is who registered it, None where nobody did."""

    caller: str
    consumer: str | None
    rows: int
    last_at: int


@operation("serve.consumers.register", needs="serve:write")
def register_consumer(
    project: Project,
    model: str,
    name: str,
    *,
    channel: str = "production",
    callers: Sequence[str] = (),
    reads: Sequence[str] = (),
    contact: str = "",
) -> Consumer:
    """Register somebody who relies on a model's channel, or replace what was registered; return it.

    ``callers`` are the names under which it asks; without any, its own name. ``reads`` are the outputs that it relies
    on; without any, all of them. ``contact`` is whom to ask.

    Raises:
        NotFoundError: there is no such model.
        InvalidInputError: the name cannot be one.
    """
    check_name(name, "consumer")
    check_channel(channel)
    get_model(project, model)
    names = tuple(dict.fromkeys(each.strip() for each in callers if each.strip())) or (name,)
    with project.ledger.write() as tx:
        tx.execute(
            f"INSERT INTO model_consumers ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (model, channel, name) DO UPDATE SET callers = excluded.callers, reads = excluded.reads, "
            "contact = excluded.contact, person = excluded.person, claimed = excluded.claimed, "
            "registered_at = excluded.registered_at",
            (
                model,
                channel,
                name,
                documents.dump(names),
                documents.dump(tuple(dict.fromkeys(reads))),
                contact,
                project.actor.name,
                int(project.actor.claimed),
                tx.now,
            ),
        )
        return next(each for each in read_consumers(tx, model, channel) if each.name == name)


@operation("serve.consumers.remove", needs="serve:write")
def remove_consumer(project: Project, model: str, name: str, *, channel: str = "production") -> None:
    """Forget a registered consumer.

    Raises:
        NotFoundError: none of that name is registered.
    """
    with project.ledger.write() as tx:
        gone = tx.execute(
            "DELETE FROM model_consumers WHERE model = ? AND channel = ? AND name = ?", (model, channel, name)
        )
        if gone == 0:
            known = ", ".join(each.name for each in read_consumers(tx, model, channel)) or "none"
            raise NotFoundError(f"'{name}' is no registered consumer of {model}@{channel}; registered: {known}.")


@operation("serve.consumers.list", needs="serve:read")
def list_consumers(project: Project, model: str, *, channel: str = "production") -> list[Consumer]:
    """Return the registered consumers of a model's channel, by name."""
    with project.ledger.read() as tx:
        return read_consumers(tx, model, channel)


@operation("serve.callers", needs="serve:read")
def list_callers(
    project: Project,
    model: str,
    *,
    channel: str = "production",
    start: int | None = None,
    end: int | None = None,
    limit: int = 200,
) -> list[Caller]:
    """Return who asked a model's channel, registered or not, those with the most rows first.

    ``start`` and ``end`` (excluded) limit ``occurred_at``. An empty name: the request did not say who asked.
    """
    if limit < 1:
        raise InvalidInputError(f"at least one caller must be asked for, not {limit}.")
    known = {caller: each.name for each in list_consumers(project, model, channel=channel) for caller in each.callers}
    rows = project.events.query(
        "SELECT coalesce(caller, '') AS caller, count(*) AS rows, max(occurred_at) AS last_at FROM predictions "
        f"WHERE model = ? AND channel = ? GROUP BY 1 ORDER BY rows DESC, 1 LIMIT {int(limit)}",
        [model, channel],
        streams=[PREDICTIONS.name],
        start=start,
        end=end,
    ).dicts()
    return [
        Caller(caller=row["caller"], consumer=known.get(row["caller"]), rows=row["rows"], last_at=row["last_at"])
        for row in rows
    ]


def read_consumers(tx: Tx, model: str, channel: str) -> list[Consumer]:
    """Return the registered consumers of a model's channel, by name, within a transaction."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM model_consumers WHERE model = ? AND channel = ? ORDER BY name", (model, channel)
    )
    return [_consumer(row) for row in rows]


def _consumer(row: Row) -> Consumer:
    return Consumer(
        model=row.model,
        channel=row.channel,
        name=row.name,
        callers=tuple(documents.parse(row.callers)),
        reads=tuple(documents.parse(row.reads)),
        contact=row.contact,
        by=row.person,
        claimed=bool(row.claimed),
        registered_at=row.registered_at,
    )
