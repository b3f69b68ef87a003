"""The notifiers that headwater.toml declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import InvalidInputError, NotFoundError
from headwater.project.settings import resolve

from .values import Notifier

if TYPE_CHECKING:
    from headwater.project import Settings


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """Where a webhook is sent. ``secret`` signs it; a private address is refused unless ``allow_private``."""

    url: str
    secret: str
    allow_private: bool


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """Where an e-mail is sent, and through which server."""

    to: tuple[str, ...]
    sender: str
    server: str
    port: int
    encryption: str
    user: str
    password: str


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A notifier with what it needs to send; secrets are resolved, so this never leaves the process."""

    notifier: Notifier
    way: Webhook | Mail


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    """One ``[[notify]]`` as written."""

    name: str
    on: list[str]
    match: dict[str, str | int] = {}
    webhook: str = ""
    secret: str = ""
    allow_private: bool = False
    email: list[str] = []
    sender: str = ""
    server: str = ""
    encryption: str = "starttls"
    user: str = ""
    password: str = ""


_ENCRYPTIONS = {"none": 25, "starttls": 587, "tls": 465}


def declared_notifiers(settings: Settings) -> list[Declared]:
    """Return the notifiers of headwater.toml in their order, ``env:NAME`` values resolved.

    Raises:
        InvalidInputError: one is not as it should be; the message names it and says how to write it.
    """
    found = [_read(row) for row in settings.rows("notify")]
    names = [each.notifier.name for each in found]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInputError(f"headwater.toml declares two notifiers called '{name}'. Rename one.", name=name)
    return found


def find_declared(settings: Settings, name: str) -> Declared:
    """Return the notifier of that name.

    Raises:
        NotFoundError: headwater.toml has none.
    """
    found = declared_notifiers(settings)
    for each in found:
        if each.notifier.name == name:
            return each
    known = ", ".join(each.notifier.name for each in found) or "none"
    raise NotFoundError(f"there is no notifier '{name}'; headwater.toml declares: {known}.", notifier=name)


def _read(row: dict[str, Any]) -> Declared:
    shown = row.get("name", "(without a name)")
    try:
        given = msgspec.convert(row, _Written)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"[[notify]] '{shown}' in headwater.toml cannot be read: {error}.") from error
    problem = _problem(given)
    if problem:
        raise InvalidInputError(f"[[notify]] '{shown}' in headwater.toml: {problem}", notifier=given.name)
    url = resolve(given.webhook) if given.webhook else ""
    notifier = Notifier(
        name=given.name,
        kind="webhook" if given.webhook else "email",
        on=tuple(given.on),
        match={key: str(value) for key, value in given.match.items()},
        target=given.webhook or ", ".join(given.email),
    )
    if given.webhook:
        secret = resolve(given.secret) if given.secret else ""
        return Declared(notifier=notifier, way=Webhook(url=url, secret=secret, allow_private=given.allow_private))
    return Declared(notifier=notifier, way=_mail(given))


def _mail(given: _Written) -> Mail:
    server, _, port = resolve(given.server).partition(":")
    return Mail(
        to=tuple(given.email),
        sender=given.sender,
        server=server,
        port=int(port) if port else _ENCRYPTIONS[given.encryption],
        encryption=given.encryption,
        user=resolve(given.user) if given.user else "",
        password=resolve(given.password) if given.password else "",
    )


def _problem(given: _Written) -> str:
    if not given.on:
        return '\'on\' lists at least one kind of fact, such as ["alarm", "release"].'
    if bool(given.webhook) == bool(given.email):
        return "it needs either 'webhook' (a URL) or 'email' (addresses), and not both."
    if given.email and not (given.sender and given.server):
        return "an e-mail needs 'sender' and 'server' (host:port)."
    if given.encryption not in _ENCRYPTIONS:
        return f"'encryption' is one of {', '.join(_ENCRYPTIONS)}."
    return ""
