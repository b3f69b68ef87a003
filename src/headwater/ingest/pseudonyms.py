"""Pseudonyms: the same input gives the same one, of the same form, and nobody without the key finds the way back.

Where a value's form has a known number of members (digits, letters, a card number) its pseudonym is a permutation of
them, so that different values stay different. Mail addresses and names, whose inputs have no such bound, are spelled
from 80 and 48 bits of a keyed hash.
"""

from __future__ import annotations

import base64
import datetime
import string
from bisect import bisect_right
from collections.abc import Callable
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from ..errors import InvalidInputError
from .feistel import SMALL_DOMAIN, permute
from .invented import FAMILY, GIVEN, coined

_CLASSES = ((string.digits, "9"), (string.ascii_lowercase, "a"), (string.ascii_uppercase, "A"))
_CLASS_OF = {letter: (letters, mark) for letters, mark in _CLASSES for letter in letters}
_DOMAINS = ("example.com", "example.net", "example.org")
_DAYS = 365
_MARK = "\x01"
_WIDTHS = (2**31, 2**32, 2**63, 2**64)


class Key:
    """The secret that pseudonyms are made with. It is shown nowhere; ``fingerprint`` tells two keys apart."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise InvalidInputError(
                "the key of masks is shorter than 16 bytes: such a key can be guessed. Take 32 random bytes."
            )
        self._secret = blake2b(secret, digest_size=32, person=b"headwater-mask").digest()

    @property
    def fingerprint(self) -> str:
        """Eight characters that say whether two samples were masked with one key, and nothing of the key."""
        return blake2b(b"fingerprint", key=self._secret, digest_size=4).hexdigest()

    def bits(self, kind: str, text: str, count: int) -> int:
        """Return ``count`` bits that the key, a kind and a text determine."""
        size = (count + 7) // 8
        found = blake2b(f"{kind}{_MARK}{text}".encode(), key=self._secret, digest_size=size).digest()
        return int.from_bytes(found, "big") & ((1 << count) - 1)

    def permute(self, kind: str, value: int, limit: int) -> int:
        """Return what a number below ``limit`` becomes; none is met twice."""
        return permute(self._secret, kind.encode(), value, limit)

    def __repr__(self) -> str:
        return f"Key({self.fingerprint})"


def mask_text(key: Key, text: str, kind: str = "text") -> str:
    """Return a text in which each digit became a digit and each letter a letter of its case; the rest stays.

    Two texts of the same form never become the same. A text with letters beyond a to z becomes a code instead, since
    its letters have no such class: ``x`` and 16 letters and digits.
    """
    marks, number, limit = [], 0, 1
    for letter in text:
        found = _CLASS_OF.get(letter)
        if found is None:
            if letter.isalnum() or not letter.isascii():
                return _code(key, text, kind)
            marks.append(letter)
            continue
        letters, mark = found
        marks.append(mark)
        number = number * len(letters) + letters.index(letter)
        limit *= len(letters)
    return _spelled(text, key.permute(f"{kind}{_MARK}{''.join(marks)}", number, limit))


def _spelled(form: str, number: int) -> str:
    made = []
    for letter in reversed(form):
        found = _CLASS_OF.get(letter)
        if found is None:
            made.append(letter)
        else:
            number, place = divmod(number, len(found[0]))
            made.append(found[0][place])
    return "".join(reversed(made))


def _code(key: Key, text: str, kind: str) -> str:
    return "x" + base64.b32encode(key.bits(kind, text, 80).to_bytes(10, "big")).decode().lower()


def possible(text: str) -> int:
    """Return how many texts have the form of this one."""
    count = 1
    for letter in text:
        count *= len(_CLASS_OF[letter][0]) if letter in _CLASS_OF else 1
    return count


def mask_email(key: Key, text: str) -> str:
    """Return a valid address at a domain that is reserved for examples (RFC 2606), different for different inputs."""
    number = key.bits("email", text, 80)
    code = base64.b32encode(number.to_bytes(10, "big")).decode().lower()
    given = GIVEN[number % len(GIVEN)].lower()
    return f"{given}.{code}@{_DOMAINS[number % len(_DOMAINS)]}"


def mask_name(key: Key, text: str) -> str:
    """Return a full name: two given names and a double surname, whose second half nobody has."""
    number = key.bits("name", text, 64)
    number, coin = divmod(number, 64**4)
    number, first = divmod(number, len(GIVEN))
    number, second = divmod(number, len(GIVEN))
    return f"{GIVEN[first]} {GIVEN[second]} {FAMILY[number % len(FAMILY)]}-{coined(coin)}"


def mask_given_name(key: Key, text: str) -> str:
    """Return a given name from the list; many people share one."""
    return GIVEN[key.bits("given_name", text, 64) % len(GIVEN)]


def mask_family_name(key: Key, text: str) -> str:
    """Return a surname: one from the list joined to one that nobody has."""
    number, coin = divmod(key.bits("family_name", text, 64), 64**4)
    return f"{FAMILY[number % len(FAMILY)]}-{coined(coin)}"


def mask_phone(key: Key, text: str) -> str:
    """Return a number written the same way, with the same country code (or leading 0) and number of digits."""
    kept = 3 if text.lstrip().startswith("+") else 1 if text.lstrip().startswith("0") else 0
    return _mask_digits(key, text, kept, "phone")


def _mask_digits(key: Key, text: str, kept: int, kind: str, last: int = 0) -> str:
    """Return the text with its digits permuted, but the first ``kept`` and the ``last`` last."""
    places = [place for place, letter in enumerate(text) if letter in string.digits]
    inner = places[kept : len(places) - last]
    if not inner:
        return text
    number = int("".join(text[place] for place in inner))
    head = "".join(text[place] for place in places[:kept])
    made = key.permute(f"{kind}{_MARK}{head}{_MARK}{len(inner)}", number, 10 ** len(inner))
    letters = list(text)
    for place, digit in zip(inner, f"{made:0{len(inner)}d}", strict=True):
        letters[place] = digit
    return "".join(letters)


def mask_card(key: Key, text: str) -> str:
    """Return a card number of the same issuer (first six digits) and length, its check digit right (ISO/IEC 7812)."""
    digits = [letter for letter in text if letter in string.digits]
    if not 12 <= len(digits) <= 19:
        return mask_text(key, text, "card")
    made = list(_mask_digits(key, text, 6, "card", 1))
    places = [place for place, letter in enumerate(made) if letter in string.digits]
    body = "".join(made[place] for place in places[:-1])
    made[places[-1]] = str(luhn_digit(body))
    return "".join(made)


def luhn_digit(body: str) -> int:
    """Return the check digit that follows these digits."""
    total = 0
    for place, letter in enumerate(reversed(body)):
        doubled = int(letter) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return -total % 10


def mask_iban(key: Key, text: str) -> str:
    """Return an IBAN of the same country, length and grouping, its check digits right (ISO 13616).

    What a country checks within the account number is not kept.
    """
    plain = text.replace(" ", "").upper()
    if not (15 <= len(plain) <= 34 and plain[:2].isalpha() and plain[2:4].isdigit() and plain.isascii()):
        return mask_text(key, text, "iban")
    account = mask_text(key, plain[4:], f"iban{plain[:2]}")
    made = iter(f"{plain[:2]}{iban_digits(plain[:2], account)}{account}")
    return "".join(letter if letter == " " else next(made) for letter in text)


def iban_digits(country: str, account: str) -> str:
    """Return the two check digits of an IBAN."""
    number = "".join(str(int(letter, 36)) for letter in f"{account}{country}00")
    return f"{98 - int(number) % 97:02d}"


def mask_integer(key: Key, value: int, most: int | None = None) -> int:
    """Return an integer of the same sign and number of digits; 0 to 9 are shuffled among themselves.

    ``most`` is the largest number that the column's type holds. Numbers below 2^31, 2^32, 2^63 and 2^64 stay below,
    whatever the type, so that a key has one pseudonym in columns of different widths.
    """
    size = abs(value)
    whole = 10 ** len(str(size))
    low = 0 if size < 10 else whole // 10
    bounds = [low, *(bound for bound in _WIDTHS if low < bound < whole), whole]
    place = bisect_right(bounds, size)
    low, high = bounds[place - 1], bounds[place]
    if most is not None:
        high = min(high, max(most, size) + 1)
    made: int = low + key.permute(f"number{_MARK}{low}", size - low, high - low)
    return -made if value < 0 else made


def mask_decimal(key: Key, value: Decimal) -> Decimal:
    """Return a decimal number of the same sign, number of digits and places."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return value  # NaN and infinities say nothing of anybody
    whole = mask_integer(key, int("".join(map(str, digits)) or "0"))
    return Decimal((sign, tuple(map(int, str(whole))), exponent))


def mask_float(key: Key, value: float) -> float:
    """Return a float written with as many digits, the point at the same place."""
    if value != value or value in (float("inf"), float("-inf")):
        return value
    return float(mask_decimal(key, Decimal(repr(value))))


def shift_days(key: Key, subject: str) -> int:
    """Return by how many days the dates of a subject are moved: 1 to 365 either way, never 0."""
    number = key.bits("date", subject, 64) % (2 * _DAYS)
    return number - _DAYS if number < _DAYS else number - _DAYS + 1


def mask_date(key: Key, value: Any, subject: str) -> Any:
    """Return a date or time moved by its subject's number of days: the time between two of them stays."""
    try:
        return value + datetime.timedelta(days=shift_days(key, subject))
    except OverflowError:
        return value - datetime.timedelta(days=shift_days(key, subject))


TEXT_KINDS: dict[str, Callable[[Key, str], str]] = {
    "email": mask_email,
    "name": mask_name,
    "given_name": mask_given_name,
    "family_name": mask_family_name,
    "phone": mask_phone,
    "card": mask_card,
    "iban": mask_iban,
    "text": mask_text,
}
"""Kinds that take a text. Beside them: ``number``, ``date`` and ``drop``."""
GUESSABLE = SMALL_DOMAIN
