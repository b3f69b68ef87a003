"""Answers of HTTP APIs that were paid for, kept in the ledger as they arrive: what breaks off is not paid for twice.

They stand beside those that a version's own file holds, by the digest of how the API is asked, so that versions which
differ in their rate or in what they may spend share them. A measurement that the project itself makes takes none that
a caller brought.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headwater.operation import operation
from headwater.project import Project, running_operations

from .execution import execution_of
from .flavours import api, files_of
from .loaded import Loaded
from .loading import load_version
from .values import ModelVersion

_AT_ONCE = 10_000


class PaidAnswers:
    """The answers that a project keeps of one API."""

    def __init__(self, project: Project, asked: str) -> None:
        self._project = project
        self._asked = asked

    def find(self, rows: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the answers to those of some rows, given by digest, that have one."""
        found: dict[str, dict[str, Any]] = {}
        for first in range(0, len(rows), _AT_ONCE):
            found |= find_paid_answers(self._project, self._asked, rows[first : first + _AT_ONCE])
        return found

    def add(self, answers: Mapping[str, dict[str, Any]]) -> None:
        """Keep answers by the digests of their rows; durable on return."""
        keep_paid_answers(self._project, self._asked, dict(answers))


def load_to_measure(project: Project, version: ModelVersion) -> Loaded:
    """Return a version ready to be asked about a dataset, see ``load_version``; what an API answers is kept.

    So a measurement that breaks off asks, and pays, only for the other rows when it is made again.
    """
    if version.flavour != "api":
        return load_version(project, version)
    files = files_of(version, project.objects.get, "api")
    kept = PaidAnswers(project, api.asked_name(files))
    return Loaded(version, api.load(files, version.contract, version.trusted, keep=kept), execution_of("api"))


@operation("model.answers.find", needs="model:read")
def find_paid_answers(project: Project, asked: str, rows: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the kept answers of an API to some rows; both are given by digest, as ``model.flavours.api`` makes it."""
    with project.ledger.read() as tx:
        found = tx.all_in(
            "SELECT inputs, brought, answer FROM api_answers WHERE asked = ? AND brought <= ? AND inputs IN (??)",
            rows,
            (asked, _brought()),
        )
    ours_last = sorted(found, key=lambda row: -row.brought)
    return {row.inputs: msgspec.json.decode(row.answer) for row in ours_last}


@operation("model.answers.keep", needs="model:write", audited=False)
def keep_paid_answers(project: Project, asked: str, answers: dict[str, dict[str, Any]]) -> None:
    """Keep what an API answered, by the digests of the rows; the first answer to a row stays.

    Raises:
        StorageError: the disk or the database failed.
    """
    brought = _brought()
    with project.ledger.write() as tx:
        tx.executemany(
            "INSERT INTO api_answers (asked, inputs, brought, answer, recorded_at) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (asked, inputs, brought) DO NOTHING",
            [(asked, row, brought, msgspec.json.encode(answers[row]).decode(), tx.now) for row in sorted(answers)],
        )


def _brought() -> int:
    """Return 1 where a caller tells or asks, 0 within an operation of the project's own."""
    return int(len(running_operations()) <= 1)
