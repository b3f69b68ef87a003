"""Ids: UUIDv7 shown as 26 characters of Crockford base32, so that they sort by the time they were made."""

from __future__ import annotations

import os

from .errors import InvalidInputError

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUE = {letter: number for number, letter in enumerate(ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
LENGTH = 26


def new_id(now_us: int, entropy: bytes | None = None) -> str:
    """Return a fresh id for the time ``now_us`` (UTC microseconds since 1970).

    ``entropy`` is 10 bytes, random unless given. Ids of different milliseconds sort by time;
    within one millisecond the next 12 bits hold the microseconds, as RFC 9562 (6.2, method 3) allows.
    """
    noise = int.from_bytes(os.urandom(10) if entropy is None else entropy, "big")
    millis, micros = divmod(now_us, 1000)
    fraction = micros * 4096 // 1000
    number = (millis & (2**48 - 1)) << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | (noise & (2**62 - 1))
    return encode(number)


def encode(number: int) -> str:
    """Return 128 bits as 26 characters of Crockford base32."""
    pairs = _PAIRS
    high, low = number >> 70, number & (1 << 70) - 1
    return (
        f"{pairs[high >> 50]}{pairs[high >> 40 & 1023]}{pairs[high >> 30 & 1023]}{pairs[high >> 20 & 1023]}"
        f"{pairs[high >> 10 & 1023]}{pairs[high & 1023]}{pairs[low >> 60]}{pairs[low >> 50 & 1023]}"
        f"{pairs[low >> 40 & 1023]}{pairs[low >> 30 & 1023]}{pairs[low >> 20 & 1023]}{pairs[low >> 10 & 1023]}"
        f"{pairs[low & 1023]}"
    )


def parse(text: str) -> str:
    """Return the id in its one written form (upper case, no look-alikes).

    Raises:
        InvalidInputError: the text is not 26 characters of Crockford base32.
    """
    upper = text.upper()
    if len(upper) != LENGTH or any(letter not in _VALUE for letter in upper):
        raise InvalidInputError(f"'{text}' is not an id: an id has {LENGTH} characters of 0-9 and A-Z.", text=text)
    number = 0
    for letter in upper:
        number = number << 5 | _VALUE[letter]
    return encode(number)


def is_id(text: str) -> bool:
    """Tell whether the text could be an id."""
    return len(text) == LENGTH and all(letter in _VALUE for letter in text.upper())


def made_at_us(identifier: str) -> int:
    """Return the millisecond an id was made in, as UTC microseconds."""
    number = 0
    for letter in parse(identifier):
        number = number << 5 | _VALUE[letter]
    return (number >> 80) * 1000
