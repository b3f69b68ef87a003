"""Going back: one command, no gate, recorded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from headwater.errors import ConflictError, InvalidInputError, NotFoundError, RefusedError
from headwater.model import ModelVersion
from headwater.model.registry import channel_head, read_version
from headwater.operation import operation
from headwater.project import Project

from .moving import move_channel
from .rows import RELEASE, releases_of
from .values import Release

if TYPE_CHECKING:
    from headwater.ledger import Tx, WriteTx

_NUMBER = re.compile(r"v?[1-9][0-9]*")


@operation("release.rollback", needs="release:write")
def rollback(project: Project, model: str, channel: str, *, to: str | None = None, reason: str) -> Release:
    """Point a channel back to a version it pointed to before, and return the release that records it.

    Without ``to`` that is the version which the present one replaced; going back again goes further back. ``to``
    names any version that was in this channel before (``v3``, ``delay@v3`` or an id), so it also goes forward again.

    Raises:
        NotFoundError: nothing was released to the channel, or nothing before the present version.
        RefusedError: ``to`` was never in this channel: it takes a request.
        ConflictError: the channel points to ``to`` already.
    """
    if not reason.strip():
        raise InvalidInputError("going back needs a reason: whoever reads the log later will ask for it.")
    with project.ledger.write() as tx:
        head = channel_head(tx, model, channel)
        if head is None:
            raise NotFoundError(f"nothing was released to {channel} of model '{model}', so there is no way back.")
        present = read_version(tx, head)
        target = _named(tx, model, channel, to) if to else _before(tx, present, channel)
        if target.id == present.id:
            raise ConflictError(f"{channel} points to {present.label} already.")
        identifier = move_channel(tx, target, channel, present, kind="rollback", actor=project.actor, reason=reason)
        row = tx.one(f"SELECT {RELEASE} FROM releases WHERE id = ?", (identifier,))
        assert row is not None
        return releases_of(tx, [row])[0]


def _named(tx: WriteTx, model: str, channel: str, to: str) -> ModelVersion:
    ref = f"{model}@v{to.removeprefix('v')}" if _NUMBER.fullmatch(to) else to
    version = read_version(tx, ref)
    been = tx.value(
        "SELECT id FROM releases WHERE model = ? AND channel = ? AND version = ? LIMIT 1", (model, channel, version.id)
    )
    if been is None:
        raise RefusedError(
            f"{version.label} was never in {channel}, so this would be a release without gates or approval. "
            f"Run 'hw release request {version.label} {channel}'.",
            version=version.id,
        )
    return version


def _before(tx: Tx, present: ModelVersion, channel: str) -> ModelVersion:
    """Return what the present version replaced: releases are stacked, going back takes from the stack."""
    stack: list[str] = []
    for row in tx.stream(
        "SELECT version, kind FROM releases WHERE model = ? AND channel = ? ORDER BY seq", (present.model, channel)
    ):
        if row.kind == "rollback" and row.version in stack:
            while stack[-1] != row.version:
                stack.pop()
        else:
            stack.append(row.version)
    if len(stack) < 2:
        raise NotFoundError(
            f"{present.label} is the first that {channel} pointed to: there is nothing before it to go back to."
        )
    return read_version(tx, stack[-2])
