"""Gates over age: of evidence, and of the data a version was trained on."""

from __future__ import annotations

from ..values import GateResult
from .commands import maker_of
from .reader import Gate, GateReader

_DAY_US = 86_400_000_000


def fresh_gate(evidence: str, *, days: float) -> Gate:
    """Open where the newest evidence of a kind is at most so many days old; ``data`` is the training data."""
    if evidence == "data":
        return _fresh_data(float(days))
    name = f"fresh:{evidence}"

    def look(reader: GateReader) -> GateResult:
        wants = f"{evidence} evidence at most {days:g} days old"
        found = reader.newest(evidence)
        do = maker_of(evidence, reader.version, reader.channel)
        if found is None:
            return GateResult(name=name, open=False, found=f"no {evidence} is recorded", wants=wants, do=do)
        age = (reader.now - found.created_at) / _DAY_US
        fresh = age <= float(days)
        said = f"the newest is {age:.1f} days old"
        return GateResult(
            name=name, open=fresh, found=said, wants=wants, looked_at=(found.ref,), do="" if fresh else do
        )

    return look


def _fresh_data(days: float) -> Gate:
    """Open where the newest dataset version that a version was trained on is at most so many days old."""
    name, wants = "fresh:data", f"training data at most {days:g} days old"

    def look(reader: GateReader) -> GateResult:
        do = f"retrain {reader.version.model} on newer data"
        found = reader.trained_on()
        if not found:
            said = "no dataset version that it was trained on is known"
            return GateResult(name=name, open=False, found=said, wants=wants, do=do)
        newest = max(found, key=lambda each: each.created_at)
        age = (reader.now - newest.created_at) / _DAY_US
        said = f"{newest.ref} was made {age:.1f} days ago"
        ref = f"version:{newest.id}"
        fresh = age <= days
        return GateResult(name=name, open=fresh, found=said, wants=wants, looked_at=(ref,), do="" if fresh else do)

    return look
