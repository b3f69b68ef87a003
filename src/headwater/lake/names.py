"""Which texts may name a dataset, a branch, a tag or a file, and why the others may not."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..errors import InvalidInputError
from ..ids import is_id

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NUMBER = re.compile(r"v([0-9]{1,15})", re.IGNORECASE)
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?")
PATH_BYTES = 1024

_RULE = "Use letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 100"


def check_dataset_name(name: str) -> str:
    """Return the name of a dataset, or raise InvalidInputError that says what it may look like."""
    if not NAME.fullmatch(name) or is_id(name):
        raise InvalidInputError(f"'{_short(name)}' cannot name a dataset. {_RULE}.", name=name)
    return name


def check_pointer_name(name: str, what: str) -> str:
    """Return the name of a branch or tag (``what``), or raise InvalidInputError.

    Refused are names that a ref would read as something else: ``v12``, a date, an id.
    """
    if not NAME.fullmatch(name):
        raise InvalidInputError(f"'{_short(name)}' cannot name a {what}. {_RULE}.", name=name)
    for pattern, meaning in ((NUMBER, "a version's number"), (DATE, "a date")):
        if pattern.fullmatch(name):
            raise InvalidInputError(f"'{name}' cannot name a {what}: it reads as {meaning}. Choose another.", name=name)
    if is_id(name):
        raise InvalidInputError(f"'{name}' cannot name a {what}: it reads as an id. Choose another.", name=name)
    return name


def path_bytes(path: str) -> bytes:
    """Return the bytes of a file's path, which order and identify it.

    Raises:
        InvalidInputError: the path is absolute, climbs (``..``), has empty parts, NUL or a line break, is not
            UTF-8, or is longer than 1,024 bytes.
    """
    try:
        raw = path.encode("utf-8")
    except UnicodeEncodeError:
        shown = path.encode("utf-8", "backslashreplace").decode()
        raise InvalidInputError(
            f"the file name '{shown}' is not UTF-8, so it cannot be shown on every machine. Rename it and add it again."
        ) from None
    # The one test that passes for nearly every path, without splitting it.
    if raw and len(raw) <= PATH_BYTES and b"." not in raw[:1] and not _ODD.search(raw):
        return raw
    parts = raw.split(b"/")
    if (
        not raw
        or len(raw) > PATH_BYTES
        or any(part in (b"", b".", b"..") for part in parts)
        or any(byte in raw for byte in (b"\0", b"\n", b"\r"))
    ):
        raise InvalidInputError(
            f"'{_short(path)}' cannot be a path in a dataset: paths are relative, joined by '/', without '.', '..', "
            f"empty parts or line breaks, and at most {PATH_BYTES} bytes long.",
            path=path,
        )
    return raw


def _short(text: str) -> str:
    """Return a text as a message quotes it: of a very long one, its two ends."""
    return text if len(text) <= 200 else f"{text[:100]} … {text[-80:]}"


_ODD = re.compile(rb"[\0\n\r]|//|/\.|^/|/$")


def first_few(names: Iterable[str], count: int, limit: int = 5) -> str:
    """Return up to ``limit`` names quoted and joined, and how many more there are."""
    shown = [f"'{name}'" for _, name in zip(range(limit), names, strict=False)]
    rest = f" and {count - len(shown):,} more" if count > len(shown) else ""
    return ", ".join(shown) + rest
