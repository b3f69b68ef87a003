"""Secrets of sources: taken from the environment when they are needed, and taken out of whatever is written down."""

from __future__ import annotations

import os
import re
import threading
import urllib.parse
from typing import Any

from ..errors import InvalidInputError

PREFIX = "env:"
_WITHIN = re.compile(r"\{env:([A-Za-z_][A-Za-z0-9_]*)\}|(?<!\S)env:([A-Za-z_][A-Za-z0-9_]*)(?!\S)")
_SHORTEST = 4  # a shorter value would be found in half of all texts
_seen: dict[str, str] = {}
_guard = threading.Lock()


def resolve_secret(value: str) -> str:
    """Return a setting's value; ``env:NAME`` gives the environment variable, which ``scrubbed`` then takes out.

    Raises:
        InvalidInputError: the variable is not set, or empty.
    """
    if not value.startswith(PREFIX):
        return value
    name = value[len(PREFIX) :]
    found = os.environ.get(name, "")
    if not found:
        raise InvalidInputError(
            f"a source takes a value from the environment variable {name}, which is not set. Set it where the pull "
            "runs (the server or worker, for a pull by trigger), then pull again.",
            variable=name,
        )
    with _guard:
        for spelled in {found, urllib.parse.quote(found), urllib.parse.quote(found, safe=""), *_password_in(found)}:
            if len(spelled) >= _SHORTEST:
                _seen[spelled] = value
    return found


def resolve_within(text: str) -> str:
    """Return a text in which ``env:NAME``, whole, as a word or written ``{env:NAME}``, is replaced by its value."""
    return _WITHIN.sub(lambda found: resolve_secret(PREFIX + (found[1] or found[2])), text)


def scrubbed(value: Any) -> Any:
    """Return a text, or JSON-able value, with each secret that was resolved as the ``env:NAME`` it came from."""
    if isinstance(value, str):
        with _guard:
            for secret in sorted(_seen, key=len, reverse=True):
                value = value.replace(secret, _seen[secret])
        return value
    if isinstance(value, dict):
        return {scrubbed(key): scrubbed(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [scrubbed(each) for each in value]
    return value


def bare_url(url: str) -> str:
    """Return a URL without its user and password, as it may be shown."""
    if url.startswith(PREFIX):
        return url
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return url
    if not parts.netloc:
        return url
    place = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit(parts._replace(netloc=place))


def _password_in(found: str) -> set[str]:
    """Return the password of a URL, which an error may name without the rest of it."""
    try:
        password = urllib.parse.urlsplit(found).password if "://" in found else None
    except ValueError:
        return set()
    return {password, urllib.parse.unquote(password)} if password else set()
