"""Going back: one command, no gate, recorded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from headwater.errors import ConflictError, InvalidInputError, NotFoundError, RefusedError
from headwater.model import ModelVersion
from headwater.model.registry import read_version
from headwater.operation import operation
from headwater.project import Project

from .approvers import require_may_move
from .controller import Channel, go_back
from .controller_rows import Because, read_channel, record
from .rows import RELEASE, releases_of
from .rules import channel_rules
from .values import Release

if TYPE_CHECKING:
    from headwater.ledger import WriteTx

_NUMBER = re.compile(r"v?[1-9][0-9]*")


@operation("release.rollback", needs="release:write")
def rollback(project: Project, model: str, channel: str, *, to: str | None = None, reason: str) -> Release:
    """Point a channel back to a version it pointed to before, and return the release that records it.

    Without ``to``: a canary under way is taken back and the present version answers everything again; where there is
    none, the channel points to what the present version replaced, and going back again goes further back. ``to``
    names any version that was in this channel before (``v3``, ``delay@v3`` or an id). Where the channel demands nothing
    it also goes forward again; where it has approvals or gates, going forward takes a request.

    Raises:
        DeniedError: the channel demands people who are signed in, and this one only claims a name.
        NotFoundError: nothing was released to the channel, or nothing before the present version.
        RefusedError: ``to`` was never in this channel, or lies ahead of what it points to: it takes a request.
        ConflictError: the channel points to ``to`` already.
    """
    if not reason.strip():
        raise InvalidInputError("going back needs a reason: whoever reads the log later will ask for it.")
    rules = channel_rules(project.settings, model, channel)
    require_may_move(project.actor, rules, channel)
    with project.ledger.write() as tx:
        before = read_channel(tx, model, channel)
        wanted = _named(tx, model, to) if to else None
        after = _back(before, model, channel, wanted, forward=not rules.people and not rules.gates)
        because = Because(actor=project.actor, reason=reason, kind="rollback")
        identifier = record(tx, model, channel, before, after, because)
        row = tx.one(f"SELECT {RELEASE} FROM releases WHERE id = ?", (identifier,))
        assert row is not None
        return releases_of(tx, [row])[0]


def _back(before: Channel, model: str, channel: str, wanted: ModelVersion | None, *, forward: bool) -> Channel:
    """Ask the state machine, and say its no with the names of this channel."""
    where = f"{channel} of model '{model}'"
    try:
        return go_back(before, wanted.id if wanted else None, forward=forward)
    except NotFoundError as error:
        raise NotFoundError(f"{where}: {error.message}") from error
    except RefusedError as error:
        assert wanted is not None
        if wanted.id in before.been:
            raise RefusedError(
                f"{wanted.label} is not behind what {channel} points to: going forward to it takes a request, since "
                f"{channel} has gates or approvals. Run 'hw release request {wanted.label} {channel}'.",
                version=wanted.id,
            ) from error
        raise RefusedError(
            f"{wanted.label} was never in {channel}, so this would be a release without gates or approval. "
            f"Run 'hw release request {wanted.label} {channel}'.",
            version=wanted.id,
        ) from error
    except ConflictError as error:
        raise ConflictError(f"{channel} points to {wanted.label if wanted else 'this version'} already.") from error


def _named(tx: WriteTx, model: str, to: str) -> ModelVersion:
    return read_version(tx, f"{model}@v{to.removeprefix('v')}" if _NUMBER.fullmatch(to) else to)
