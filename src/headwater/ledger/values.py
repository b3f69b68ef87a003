"""Values that two databases would each bend their own way: floats, odd text, prefixes of names."""

from __future__ import annotations

import re

from ..canonical import float_bits, float_from_bits, orderable
from ..errors import InvalidInputError

# Compiled when first used: most commands meet no such text.
_ODD = "[\\\\\x00\ud800-\udfff]"
_ESCAPED = r"\\(\\|x[0-9a-f]{2}|u[0-9a-f]{4})"
_LAST = 0x10FFFF


def float_columns(value: float | None) -> tuple[float | None, int | None]:
    """Return the two columns ``(x, x_bits)`` of a float: one to order by (None for NaN), one that is exact."""
    return (None, None) if value is None else (orderable(value), float_bits(value))


def float_value(bits: int | None) -> float | None:
    """Return the float of an ``x_bits`` column, NaN payload and the sign of zero included."""
    return None if bits is None else float_from_bits(bits)


def escape_text(text: str) -> str:
    """Return any Python text as text that both databases can hold; ``unescape_text`` gives it back.

    A path from the disk may carry bytes that are not UTF-8 (as lone surrogates) and text may carry NUL, which
    Postgres refuses. Those become ``\\xNN`` or ``\\uNNNN``, and a backslash becomes two.
    """

    def spelled(found: re.Match[str]) -> str:
        letter = found[0]
        code = ord(letter)
        if letter == "\\":
            return "\\\\"
        return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"

    return re.sub(_ODD, spelled, text)


def unescape_text(text: str) -> str:
    """Return the text that ``escape_text`` was given."""

    def meant(found: re.Match[str]) -> str:
        code = found[1]
        if code == "\\":
            return code
        return chr(0xDC00 + int(code[1:], 16)) if code[0] == "x" else chr(int(code[1:], 16))

    return re.sub(_ESCAPED, meant, text)


def refused_text(reason: str) -> InvalidInputError:
    """Return the error for text that a database cannot hold."""
    return InvalidInputError(
        f"the ledger cannot hold this text: {reason}. "
        "Escape it with headwater.ledger.escape_text, or keep it as bytes in a BLOB column."
    )


def after_prefix(prefix: str) -> str | None:
    """Return the least text above all that begin with ``prefix``, bytewise; None when there is none.

    ``name >= prefix AND name < after_prefix(prefix)`` walks an index, which LIKE does not on every database.
    """
    for position in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[position]) + 1
        if code <= _LAST:
            # The surrogates are no characters: U+D7FF is followed by U+E000.
            return prefix[:position] + chr(0xE000 if 0xD800 <= code <= 0xDFFF else code)
    return None
