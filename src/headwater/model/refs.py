"""The text that names a model version: ``model:delay@production``, ``delay@v3``, ``delay@latest``, or an id."""

from __future__ import annotations

import re

import msgspec

from headwater.errors import InvalidInputError
from headwater.ids import is_id

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NUMBER = re.compile(r"v([1-9][0-9]{0,17})")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class ModelRef(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed ref: the ``id``, or the ``model`` with a ``selector``, which is a number, ``latest`` or a channel."""

    id: str = ""
    model: str = ""
    selector: str = ""
    number: int | None = None


def parse_ref(ref: str) -> ModelRef:
    """Return the parts of a ref; an id may stand alone or behind ``modelversion:``."""
    text = ref.removeprefix("modelversion:").removeprefix("model:")
    if is_id(text):
        return ModelRef(id=text.upper())
    model, _, selector = text.partition("@")
    if is_id(selector):
        return ModelRef(id=selector.upper())
    numbered = _NUMBER.fullmatch(selector)
    return ModelRef(model=model, selector=selector, number=int(numbered.group(1)) if numbered else None)


def check_name(name: str, what: str) -> None:
    """Return when a name can name a model or a channel.

    Raises:
        InvalidInputError: it is empty, too long, or has characters that a ref could not carry.
    """
    if not _NAME.fullmatch(name) or is_id(name):
        raise InvalidInputError(
            f"'{name}' cannot name a {what}: use 1 to 100 letters, digits, '.', '_' and '-', starting with a letter "
            "or digit (and not the form of an id).",
            name=name,
        )


def check_channel(name: str) -> None:
    """Return when a name can name a channel: as a model's, but nothing that reads as a number or a date.

    Raises:
        InvalidInputError: it looks like ``vN``, a date or ``latest``, which refs use for other things.
    """
    check_name(name, "channel")
    if _NUMBER.fullmatch(name) or _DATE.fullmatch(name) or name == "latest":
        raise InvalidInputError(f"'{name}' cannot name a channel: in a ref it would mean a version.", name=name)
