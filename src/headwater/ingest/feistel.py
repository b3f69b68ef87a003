"""A keyed permutation of the numbers below any limit: what keeps pseudonyms unique and of the same form.

A balanced Feistel network over the smallest even number of bits that holds the limit, ten rounds of keyed BLAKE2b, and
"cycle walking": a result beyond the limit is put in again until one falls below it. It is a bijection by construction.
Source: Black and Rogaway, "Ciphers with Arbitrary Finite Domains" (CT-RSA 2002); the number of rounds is FF1's, NIST
SP 800-38G. As there, a domain of less than a million values can be searched by whoever may ask for many pseudonyms.
"""

from __future__ import annotations

from hashlib import blake2b

ROUNDS = 10
SMALL_DOMAIN = 1_000_000
"""Below this many possible values a pseudonym can be guessed by trying."""


def permute(key: bytes, tweak: bytes, value: int, limit: int) -> int:
    """Return the number below ``limit`` that ``value`` (0 <= value < limit) is turned into; none is met twice.

    ``key`` is 16 to 64 bytes; another ``tweak`` is another permutation.
    """
    if not 0 <= value < limit:
        raise ValueError(f"{value} is not below {limit}")
    if limit == 1:
        return 0
    half = max(1, ((limit - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    bound = blake2b(tweak + limit.to_bytes((limit.bit_length() + 7) // 8, "big"), key=key, digest_size=32).digest()
    size = (half + 7) // 8
    while True:
        left, right = value >> half, value & mask
        for number in range(ROUNDS):
            left, right = right, left ^ (_round(bound, number, right, size, half) & mask)
        value = left << half | right
        if value < limit:
            return value


def _round(bound: bytes, number: int, half_value: int, size: int, bits: int) -> int:
    block = blake2b(bytes([number]) + half_value.to_bytes(size, "big"), key=bound, digest_size=min(64, size)).digest()
    while len(block) * 8 < bits:
        block += blake2b(block[-64:], key=bound, digest_size=64).digest()
    return int.from_bytes(block, "big")
