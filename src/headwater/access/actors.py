"""From what a request carries to the actor it acts as."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING

from headwater.errors import UnauthenticatedError
from headwater.project import Actor, LocalProject

from .tokens import token_digest

if TYPE_CHECKING:
    from headwater.ledger import Ledger


LOOK_AGAIN_S = 0.25
"""How long the answer 'nobody has an account' is good for: an account made by another process counts so much later."""


class _Known:
    """What this process knows of the accounts in one ledger: people are closed and never removed, so yes stays yes."""

    __slots__ = ("commits", "exist", "looked_at")

    def __init__(self) -> None:
        self.exist = False
        self.commits = 0
        self.looked_at = -LOOK_AGAIN_S

    def committed(self) -> None:
        self.commits += 1
        self.looked_at = -LOOK_AGAIN_S

    def saw_nobody(self, at: float, commits: int) -> None:
        self.looked_at = at
        if self.commits != commits:  # somebody committed while the ledger was asked
            self.looked_at = -LOOK_AGAIN_S


_known: weakref.WeakKeyDictionary[Ledger, _Known] = weakref.WeakKeyDictionary()


def accounts_exist(project: LocalProject) -> bool:
    """Tell whether anybody has an account, which ends claimed names on servers.

    An account made in this process counts at once, one made elsewhere within ``LOOK_AGAIN_S``.
    """
    ledger = project.ledger
    known = _known.get(ledger)
    if known is None:
        known = _known.setdefault(ledger, _Known())
        ledger.after_commit.append(known.committed)
    now, commits = time.monotonic(), known.commits
    if not known.exist and now - known.looked_at >= LOOK_AGAIN_S:
        with ledger.read() as tx:
            known.exist = tx.one("SELECT 1 AS one FROM people LIMIT 1") is not None
        if not known.exist:
            known.saw_nobody(now, commits)
    return known.exist


def actor_of_token(project: LocalProject, text: str) -> Actor:
    """Return the person of a token, with the token's roles that the person still has.

    Raises:
        UnauthenticatedError: the token is unknown, expired or revoked, or the account is closed.
    """
    with project.ledger.read() as tx:
        row = tx.one(
            "SELECT t.person, t.roles AS granted, p.roles AS held, t.expires_at, t.revoked_at, p.disabled_at "
            "FROM tokens t JOIN people p ON p.name = t.person WHERE t.digest = ?",
            (token_digest(text),),
        )
    if row is None or row.revoked_at is not None or row.disabled_at is not None:
        raise UnauthenticatedError("this token is not valid. Ask an admin for one: 'hw token create PERSON'.")
    if row.expires_at is not None and row.expires_at <= project.clock():
        raise UnauthenticatedError("this token has expired. Ask an admin for one: 'hw token create PERSON'.")
    held = set(row.held.split(","))
    roles = tuple(role for role in row.granted.split(",") if role in held)
    return Actor(name=row.person, claimed=False, roles=roles)


def actor_of_person(project: LocalProject, name: str) -> Actor:
    """Return a signed-in person as an actor, with today's roles.

    Raises:
        UnauthenticatedError: the account was closed since.
    """
    with project.ledger.read() as tx:
        row = tx.one("SELECT roles, disabled_at FROM people WHERE name = ?", (name,))
    if row is None or row.disabled_at is not None:
        raise UnauthenticatedError("this session is over: the account is closed. Sign in again.")
    return Actor(name=name, claimed=False, roles=tuple(row.roles.split(",")))


def actor_of_claim(project: LocalProject, name: str) -> Actor:
    """Return a claimed name as an actor, where the project has no accounts.

    Raises:
        UnauthenticatedError: the project has accounts, so a name alone is not enough.
    """
    if accounts_exist(project):
        raise UnauthenticatedError(
            "this server has accounts: sign in, or send a token ($HEADWATER_TOKEN). "
            "An admin makes one with 'hw token create PERSON'."
        )
    return Actor(name=name, claimed=True)
