"""What a gate may look at, and what a gate is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from headwater.errors import NotFoundError
from headwater.evaluate import Evidence
from headwater.evaluate.evidence import read_evidence
from headwater.lake.refs import find_version
from headwater.model import ModelVersion
from headwater.serve.rehearsal import Consumer, read_consumers

from ..reviews import Review, read_reviews
from ..values import GateResult

if TYPE_CHECKING:
    from headwater.lake import Version
    from headwater.ledger import Tx

BROUGHT = "evidence.record"
"""The operation of evidence whose figures the caller brought."""

Judgement = tuple[bool, str]
"""Whether a gate is open, and what it found."""


class GateReader:
    """What a gate may look at: a version, the channel, what the channel points to now, and recorded evidence.

    With ``measured`` only evidence that an operation measured counts, none whose figures somebody brought.
    """

    def __init__(
        self,
        tx: Tx,
        version: ModelVersion,
        channel: str,
        champion: ModelVersion | None,
        now: int,
        *,
        measured: bool = False,
    ) -> None:
        self._tx = tx
        self._measured = measured
        self.version = version
        self.channel = channel
        self.champion = champion
        self.now = now

    def evidence(self, kind: str, limit: int = 100) -> list[Evidence]:
        """Return the version's evidence of a kind, newest first."""
        return self._counted(self.version.ref, kind, limit)

    def newest(self, kind: str) -> Evidence | None:
        """Return the version's newest evidence of a kind, or None."""
        found = self.evidence(kind)
        return found[0] if found else None

    def trained_on(self) -> list[Version]:
        """Return the dataset versions that it was trained on; those whose facts are gone are left out."""
        found = []
        for identifier in self.version.trained_on:
            try:
                found.append(find_version(self._tx, identifier))
            except NotFoundError:
                continue
        return found

    def consumers(self) -> list[Consumer]:
        """Return the registered consumers of the model's channel, by name."""
        return read_consumers(self._tx, self.version.model, self.channel)

    def reviews(self) -> list[Review]:
        """Return what people said of the version, oldest first."""
        return read_reviews(self._tx, self.version.ref)

    def _counted(self, subject: str, kind: str, limit: int) -> list[Evidence]:
        found = read_evidence(self._tx, subject, kind, limit=limit)
        return [each for each in found if not self._measured or each.operation != BROUGHT]


Gate = Callable[[GateReader], GateResult]


def gate(function: Callable[[GateReader], Any]) -> Callable[[GateReader], Any]:
    """Mark a function as a gate; its first docstring line says what it wants.

    It takes a ``GateReader`` and returns a ``GateResult``, or True or False, or such with a text of what it found.
    Name it in headwater.toml as ``python:FILE.py:FUNCTION``.
    """
    function.headwater_gate = True  # type: ignore[attr-defined]  # how loading tells a gate from a helper
    return function


def judged(
    name: str,
    evidence: Evidence | None,
    judge: Callable[[dict[str, Any]], Judgement],
    *,
    wants: str,
    missing: str,
    do: str,
) -> GateResult:
    """Return what a gate says of a piece of evidence: closed where there is none, naming what makes it.

    A body that lacks what the gate reads is closed too, with what it lacks.
    """
    if evidence is None:
        return GateResult(name=name, open=False, found=missing, wants=wants, do=do)
    try:
        is_open, found = judge(evidence.body)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        found = f"the evidence cannot be read ({type(error).__name__}: {error}); it was made by {evidence.maker}"
        return GateResult(name=name, open=False, found=found, wants=wants, looked_at=(evidence.ref,), do=do)
    return GateResult(name=name, open=is_open, found=found, wants=wants, looked_at=(evidence.ref,))
