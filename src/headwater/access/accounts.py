"""People and their roles; passwords are kept as argon2 hashes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

import msgspec

from headwater.errors import ConflictError, InvalidInputError, NotFoundError, UnauthenticatedError
from headwater.operation import operation
from headwater.project import LocalProject, Project, Settings
from headwater.project.permissions import GRANTS

SHORTEST_PASSWORD = 10
_ROLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody with an account."""

    name: str
    roles: tuple[str, ...]
    created_at: int
    has_password: bool
    disabled_at: int | None = None


@operation("access.people.add", needs="access:admin", audited=True)
def add_person(project: Project, name: str, roles: Sequence[str], *, password: str | None = None) -> Person:
    """Give somebody an account; the first one switches accounts on for servers of this project.

    Raises:
        ConflictError: there is an account of that name.
        InvalidInputError: a role is unknown, or the password is shorter than 10 characters.
    """
    checked = check_roles(project.settings, roles)
    hashed = hash_password(password) if password is not None else None
    with project.ledger.write() as tx:
        if tx.one("SELECT name FROM people WHERE name = ?", (name,)):
            raise ConflictError(f"'{name}' has an account already. 'hw people roles' changes roles.", name=name)
        tx.insert("people", name=name, roles=",".join(checked), password=hashed, created_at=tx.now, disabled_at=None)
        tx.govern("person", f"person:{name}", {"roles": list(checked), "by": project.actor.name})
        return Person(name=name, roles=checked, created_at=tx.now, has_password=hashed is not None)


@operation("access.people.roles", needs="access:admin")
def set_roles(project: Project, name: str, roles: Sequence[str]) -> Person:
    """Replace somebody's roles."""
    checked = check_roles(project.settings, roles)
    with project.ledger.write() as tx:
        if not tx.execute("UPDATE people SET roles = ? WHERE name = ?", (",".join(checked), name)):
            raise no_person(name)
        tx.govern("roles", f"person:{name}", {"roles": list(checked), "by": project.actor.name})
    return get_person(project, name)


@operation("access.people.disable", needs="access:admin")
def disable_person(project: Project, name: str) -> Person:
    """Close an account: its sessions and tokens stop working at once; what the person did stays recorded."""
    with project.ledger.write() as tx:
        if not tx.execute("UPDATE people SET disabled_at = ? WHERE name = ?", (tx.now, name)):
            raise no_person(name)
        tx.execute("UPDATE tokens SET revoked_at = ? WHERE person = ? AND revoked_at IS NULL", (tx.now, name))
        tx.govern("person-disabled", f"person:{name}", {"by": project.actor.name})
    return get_person(project, name)


@operation("access.people.list", needs="access:read")
def list_people(project: Project) -> list[Person]:
    """Return everybody with an account, by name."""
    with project.ledger.read() as tx:
        rows = tx.all("SELECT name, roles, password, created_at, disabled_at FROM people ORDER BY name")
    return [_person(row) for row in rows]


def get_person(project: Project, name: str) -> Person:
    """Return one account.

    Raises:
        NotFoundError: nobody of that name has one.
    """
    with project.ledger.read() as tx:
        row = tx.one("SELECT name, roles, password, created_at, disabled_at FROM people WHERE name = ?", (name,))
    if row is None:
        raise no_person(name)
    return _person(row)


def sign_in(project: LocalProject, name: str, password: str) -> Person:
    """Return the person when the password is right.

    The answer to an unknown name takes as long as to a wrong password, so that names cannot be guessed by the clock.

    Raises:
        UnauthenticatedError: the name or the password is wrong, or the account is closed.
    """
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerifyMismatchError

    with project.ledger.read() as tx:
        row = tx.one("SELECT name, roles, password, created_at, disabled_at FROM people WHERE name = ?", (name,))
    usable = row is not None and row.password and row.disabled_at is None
    try:
        PasswordHasher().verify(cast(str, row.password) if row is not None and usable else _decoy(), password)
    except (VerifyMismatchError, InvalidHashError) as error:
        raise UnauthenticatedError("the name or the password is wrong.") from error
    if row is None or not usable:
        raise UnauthenticatedError("the name or the password is wrong.")
    return _person(row)


def hash_password(password: str) -> str:
    """Return the argon2 hash of a password.

    Raises:
        InvalidInputError: it is shorter than 10 characters.
    """
    if len(password) < SHORTEST_PASSWORD:
        raise InvalidInputError(f"a password has at least {SHORTEST_PASSWORD} characters; choose a longer one.")
    from argon2 import PasswordHasher

    return PasswordHasher().hash(password)


def check_roles(settings: Settings, roles: Sequence[str]) -> tuple[str, ...]:
    """Return the roles when each is known: one that grants something, or that a channel demands of approvers.

    Raises:
        InvalidInputError: one is not; the message lists those there are.
    """
    known = [*GRANTS, *demanded_roles(settings)]
    unknown = [role for role in roles if role not in known]
    if unknown or not roles:
        raise InvalidInputError(
            f"unknown role {unknown or '(none given)'}; there are: {', '.join(known)}. A role of your own is one that "
            "a channel in headwater.toml demands of who approves."
        )
    return tuple(dict.fromkeys(roles))


def demanded_roles(settings: Settings) -> list[str]:
    """Return the roles that channels demand of approvers beside those that grant something; they grant nothing."""
    models = [model for model in settings.table("models").values() if isinstance(model, dict)]
    tables = [settings.table("channels"), *(model.get("channels", {}) for model in models)]
    channels = [each for table in tables for each in table.values() if isinstance(each, dict)]
    named = [each.get(key) for each in channels for key in ("roles", "approvals")]
    found = {name for names in named if isinstance(names, list | dict) for name in names if isinstance(name, str)}
    return sorted(name for name in found - GRANTS.keys() if _ROLE.fullmatch(name))


def no_person(name: str) -> NotFoundError:
    """Return the error for a name without an account."""
    return NotFoundError(f"nobody called '{name}' has an account. 'hw people list' shows who has.", name=name)


def _decoy() -> str:
    """Return a hash that no password matches, made with the current cost."""
    return hash_password("no password at all")


def _person(fields: Any) -> Person:
    return Person(
        name=fields.name,
        roles=tuple(fields.roles.split(",")),
        created_at=fields.created_at,
        has_password=bool(fields.password),
        disabled_at=fields.disabled_at,
    )
