"""Which column is masked how, with which key, and which columns look as if they should be."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ..durable import write_new
from ..errors import InvalidInputError
from ..project import Project
from .pseudonyms import TEXT_KINDS, Key, iban_digits, luhn_digit

VARIABLE = "HEADWATER_MASK_KEY"
FILE = "mask.key"
KINDS = (*TEXT_KINDS, "number", "date", "drop")

_NAMED = (
    ("email", r"e[-_ ]?mail|^mail$"),
    ("iban", r"iban"),
    ("card", r"credit.?card|card.?(no|num)|^pan$|^card$"),
    ("phone", r"phone|mobile|^tel|[-_]tel|^fax|[-_]fax|handy"),
    ("given_name", r"first.?name|given.?name|^fname$|vorname|prenom"),
    ("family_name", r"last.?name|family.?name|surname|^lname$|nachname"),
    ("name", r"^name$|full.?name|(customer|user|client|patient|person|contact|owner|holder).?name"),
    ("date", r"birth|^dob$|date.?of.?birth"),
)
_PERSONAL = re.compile(
    r"address|street|zip|postal|postcode|ssn|social.?security|passport|tax.?id|licen[cs]e|^ip$|ip.?addr"
)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")
_PHONE = re.compile(r"(\+|00?)[1-9][0-9 ()/.-]{6,18}")
_WHOLE = re.compile(r"(?:U?(?:TINY|SMALL|BIG|HUGE)?INT(?:EGER)?)")


def mask_key(project: Project) -> Key:
    """Return the key of this project's masks: $HEADWATER_MASK_KEY, else .headwater/mask.key, made when first needed.

    It never leaves the project, so the same input has the same pseudonym in each of its samples and nowhere else.

    Raises:
        InvalidInputError: the variable is too short, or this project has no folder to keep a key in.
    """
    given = os.environ.get(VARIABLE)
    if given:
        return Key(given.encode())
    state: Path | None = getattr(project, "state", None)
    if state is None:
        raise InvalidInputError(f"there is no key to mask with: set {VARIABLE} to 32 random characters or more.")
    path = state / FILE
    if not path.exists() and write_new(path, os.urandom(32).hex().encode(), "ingest.mask_key"):
        os.chmod(path, 0o600)
    return Key(path.read_bytes())


def kind_by_name(column: str) -> str | None:
    """Return the kind of mask that a column's name suggests, None where it suggests none."""
    return next((kind for kind, pattern in _NAMED if re.search(pattern, column, re.IGNORECASE)), None)


def kind_of(column: str, asked: str, kind: str) -> str:
    """Return the kind of mask for a column of DuckDB's type ``kind``: as asked, or as its name and type suggest.

    Raises:
        InvalidInputError: there is no such mask, or it does not fit the type.
    """
    chosen = asked or _suggested(column, kind)
    if chosen not in KINDS:
        raise InvalidInputError(f"column '{column}': there is no mask '{chosen}'. There are {', '.join(KINDS)}.")
    fits = {"number": is_number(kind), "date": is_time(kind), "drop": True}.get(chosen, kind == "VARCHAR")
    if not fits:
        raise InvalidInputError(
            f"column '{column}' is {kind}, which the mask '{chosen}' does not take. Leave the mask out ('{column}') "
            "and the type chooses, or drop the column ('drop').",
            column=column,
        )
    return chosen


def _suggested(column: str, kind: str) -> str:
    if is_number(kind):
        return "number"
    if is_time(kind):
        return "date"
    if kind != "VARCHAR":
        raise InvalidInputError(
            f"column '{column}' is {kind}: there is no mask for that type. Drop it: --mask {column}=drop.",
            column=column,
        )
    found = kind_by_name(column)
    return "text" if found in (None, "date") else str(found)


def is_number(kind: str) -> bool:
    """Tell whether DuckDB's type is one of numbers."""
    return bool(_WHOLE.fullmatch(kind)) or kind in ("FLOAT", "DOUBLE") or kind.startswith("DECIMAL")


def is_time(kind: str) -> bool:
    """Tell whether DuckDB's type is a date or a time with a date."""
    return kind == "DATE" or kind.startswith("TIMESTAMP")


def largest_of(kind: str) -> int:
    """Return the largest whole number of DuckDB's integer types."""
    bits = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64, "HUGEINT": 128}
    if kind.startswith("U"):
        return int(2 ** bits.get(kind[1:], 64) - 1)
    return int(2 ** (bits.get(kind, 64) - 1) - 1)


def parse_masks(texts: Iterable[str]) -> dict[str, str]:
    """Return column to kind of ``email,name`` or ``email=email,born=date,items.note=text``; kind "" is to be chosen."""
    found: dict[str, str] = {}
    for text in texts:
        for part in filter(None, (each.strip() for each in text.split(","))):
            column, _, kind = part.partition("=")
            found[column.strip()] = kind.strip()
    return found


def looks_personal(column: str, values: Iterable[str]) -> str:
    """Return what an unmasked column looks like ("mail addresses", ...), "" where it looks like nothing personal."""
    some = list(values)
    for kind, test in _LOOKS.items():
        if some and sum(map(test, some)) * 2 >= len(some):
            return kind
    named = kind_by_name(column)
    if named:
        return {"email": "mail addresses", "iban": "account numbers", "card": "card numbers", "phone": "phone numbers",
                "date": "dates of birth"}.get(named, "names")  # fmt: skip
    return "personal data" if _PERSONAL.search(column.lower()) else ""


def _is_iban(text: str) -> bool:
    plain = text.replace(" ", "").upper()
    return (
        15 <= len(plain) <= 34
        and plain.isascii()
        and plain.isalnum()
        and plain[:2].isalpha()
        and plain[2:4] == iban_digits(plain[:2], plain[4:])
    )


def _is_card(text: str) -> bool:
    digits = re.sub(r"[ -]", "", text)
    return (
        digits.isdigit() and digits.isascii() and 13 <= len(digits) <= 19 and luhn_digit(digits[:-1]) == int(digits[-1])
    )


_LOOKS: Mapping[str, Callable[[str], bool]] = {
    "mail addresses": lambda text: bool(_EMAIL.fullmatch(text)),
    "account numbers": _is_iban,
    "card numbers": _is_card,
    "phone numbers": lambda text: bool(_PHONE.fullmatch(text)),
}
