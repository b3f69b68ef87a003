"""The gate that wants people to have looked at the version before anybody asks to release it."""

from __future__ import annotations

from collections.abc import Iterable

from headwater.access.approvals import same_person

from ..reviews import Review
from ..values import GateResult
from .reader import Gate, GateReader


def reviewer_gate(*, role: str = "", people: int = 1, authenticated: bool = False) -> Gate:
    """Open where enough people other than the author approved of the version, and nobody objects.

    ``role`` counts only those who held it when they said so (an admin holds all); ``authenticated`` only those who
    were signed in. Each person's last word counts, but a claimed yes takes back no objection of somebody signed in.
    """
    name = f"reviewer:{role}" if role else "reviewer"
    as_role = f" as {role}" if role else ""
    wants = f"{people} {'person' if people == 1 else 'people'} other than the author to approve of it{as_role}"

    def look(reader: GateReader) -> GateResult:
        last = list(_last_words(reader.reviews(), authenticated))
        against = [each for each in last if each.decision == "reject"]
        agreed = [each for each in last if each.decision == "approve" and counts(each, reader)]
        said = [f"{each.by} approved: {each.reason}" for each in agreed]
        said += [f"{each.by} objects: {each.reason}" for each in against]
        is_open = len(agreed) >= people and not against
        return GateResult(
            name=name,
            open=is_open,
            found="; ".join(said) or "nobody who counts has reviewed it",
            wants=wants,
            looked_at=tuple(each.ref for each in (*agreed, *against)),
            do="" if is_open else f"hw release review {reader.version.label} approve --reason WHY",
        )

    def counts(review: Review, reader: GateReader) -> bool:
        if same_person(review.by, reader.version.author) or (authenticated and review.claimed):
            return False
        return not role or bool({"admin", role} & set(review.roles))

    return look


def _last_words(reviews: Iterable[Review], authenticated: bool) -> Iterable[Review]:
    """Return each person's last word, of reviews from the oldest on.

    A name costs nothing, so whoever claims one takes back no objection of the person who was signed in under it; with
    ``authenticated`` a claimed yes changes nothing at all.
    """
    last: dict[str, Review] = {}
    for each in reviews:
        person = " ".join(each.by.split()).casefold()
        before = last.get(person)
        objected = before is not None and before.decision == "reject" and not before.claimed
        if each.claimed and each.decision == "approve" and (authenticated or objected):
            continue
        last[person] = each
    return last.values()
