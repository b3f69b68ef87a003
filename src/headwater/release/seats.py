"""Approvals as seats: a channel that demands people by role has a seat for each, and a person sits on one alone.

Somebody who holds several roles moves to another seat where that lets one more person sit, so that a request waits only
where no way of seating everybody fills all seats (augmenting paths: Berge, 1957).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .rules import ChannelRules
from .values import Approval

_ANY_ROLE = "admin"
"""Who holds it may sit anywhere."""


class Seating(NamedTuple):
    """Whose yes fills a seat, and for each empty seat who could fill it: roles joined by ``or``, '' for anybody."""

    yes: frozenset[str]
    lacks: tuple[str, ...]


def seated(approvals: Iterable[Approval], rules: ChannelRules, needs: int) -> Seating:
    """Return who of those that said yes sits, where so many people are needed; names as one person's are spelt alike.

    More people than the rules have seats for (a request that was made under other rules) may be of any of their roles.
    """
    held: dict[str, set[str]] = {}
    for each in approvals:
        if each.decision == "approve":
            held.setdefault(" ".join(each.by.split()).casefold(), set()).update(each.roles)
    hall = _Hall([role for role, count in rules.places.items() for _ in range(count)], held)
    standing = [person for person in held if not hall.seat(person, set())]
    more = max(0, needs - len(hall.roles))
    yes = frozenset([*hall.sitting.values(), *standing[:more]])
    empty = [place for place in range(len(hall.roles)) if place not in hall.sitting]
    lacks = [" or ".join(hall.could_fill(place)) for place in empty]
    return Seating(yes, (*lacks, *[" or ".join(rules.who)] * (more - len(standing[:more]))))


class _Hall:
    """Seats by role, and who sits where."""

    def __init__(self, roles: list[str], held: dict[str, set[str]]) -> None:
        self.roles = roles
        self.sitting: dict[int, str] = {}
        self._held = held

    def seat(self, person: str, tried: set[int]) -> bool:
        """Find a person a seat, moving others where they may sit elsewhere; tell whether there was one."""
        for place in range(len(self.roles)):
            if place in tried or not self._may(person, place):
                continue
            tried.add(place)
            if place not in self.sitting or self.seat(self.sitting[place], tried):
                self.sitting[place] = person
                return True
        return False

    def could_fill(self, empty: int) -> list[str]:
        """Return the roles of which one more person would fill an empty seat, perhaps by others moving up."""
        reached, roles = [empty], [self.roles[empty]]
        for place in reached:
            for other, person in self.sitting.items():
                if other not in reached and self._may(person, place):
                    reached.append(other)
                    roles.append(self.roles[other])
        return sorted(set(roles), key=self.roles.index)

    def _may(self, person: str, place: int) -> bool:
        return bool({_ANY_ROLE, self.roles[place]} & self._held[person])
