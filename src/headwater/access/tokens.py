"""Tokens: shown once, kept as digests, limited to some of their person's roles and to a time."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgspec

from headwater import canonical
from headwater.errors import InvalidInputError, NotFoundError
from headwater.operation import operation
from headwater.project import Project

from .accounts import check_roles, get_person

PREFIX = "hw_"


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token's record; its text is nowhere kept."""

    id: str
    person: str
    label: str
    roles: tuple[str, ...]
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """A fresh token with its text, which is shown this once."""

    token: Token
    text: str


@operation("access.tokens.create", needs="access:admin")
def create_token(
    project: Project, person: str, *, label: str = "", roles: Sequence[str] | None = None, days: int | None = None
) -> NewToken:
    """Make a token for a person, with all of their roles or some, for a number of days or until revoked.

    Raises:
        NotFoundError: nobody of that name has an account.
        InvalidInputError: a role is not among the person's.
    """
    owner = get_person(project, person)
    chosen = check_roles(project.settings, roles) if roles is not None else owner.roles
    beyond = [role for role in chosen if role not in owner.roles]
    if beyond:
        raise InvalidInputError(f"{person} does not have the role {', '.join(beyond)}; a token cannot add it.")
    text = PREFIX + secrets.token_urlsafe(32)
    with project.ledger.write() as tx:
        token = Token(
            id=tx.new_id(),
            person=person,
            label=label,
            roles=chosen,
            created_at=tx.now,
            expires_at=None if days is None else tx.now + days * 86_400_000_000,
        )
        tx.insert(
            "tokens",
            id=token.id,
            person=person,
            label=label,
            digest=token_digest(text),
            roles=",".join(chosen),
            created_at=token.created_at,
            expires_at=token.expires_at,
            revoked_at=None,
        )
    return NewToken(token=token, text=text)


@operation("access.tokens.revoke", needs="access:admin")
def revoke_token(project: Project, token: str) -> None:
    """Make a token useless, by its id.

    Raises:
        NotFoundError: there is no such token that still works.
    """
    with project.ledger.write() as tx:
        if not tx.execute("UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (tx.now, token)):
            raise NotFoundError(f"no working token has the id '{token}'. 'hw token list' shows them.", token=token)


@operation("access.tokens.list", needs="access:admin", audited=False)
def list_tokens(project: Project, person: str | None = None) -> list[Token]:
    """Return the tokens of a person or of everybody, newest first."""
    where, values = ("WHERE person = ?", (person,)) if person else ("", ())
    with project.ledger.read() as tx:
        rows = tx.all(
            f"SELECT id, person, label, roles, created_at, expires_at, revoked_at FROM tokens {where} ORDER BY id DESC",
            values,
        )
    return [
        Token(
            id=row.id,
            person=row.person,
            label=row.label,
            roles=tuple(row.roles.split(",")),
            created_at=row.created_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
        )
        for row in rows
    ]


def token_digest(text: str) -> str:
    """Return what is kept of a token; it holds 256 random bits, so a plain digest cannot be reversed."""
    return canonical.digest(text.encode())
