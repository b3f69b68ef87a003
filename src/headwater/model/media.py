"""What kind of file some bytes are, by how they begin; and bytes as the base64 text that rows carry."""

from __future__ import annotations

import binascii

from headwater.errors import InvalidInputError

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"BM", "image/bmp"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"PAR1", "application/vnd.apache.parquet"),
)
UNKNOWN = "application/octet-stream"


def media_type_of(data: bytes) -> str:
    """Return the media type of bytes by their beginning; UTF-8 text is ``text/plain``, all else octets."""
    for beginning, media in _BEGINNINGS:
        if data.startswith(beginning):
            return media
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return UNKNOWN
    return "text/plain"


def to_base64(data: bytes) -> str:
    """Return bytes as base64 text without line ends."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def from_base64(text: str) -> bytes:
    """Return the bytes of base64 text.

    Raises:
        InvalidInputError: it is not base64 (RFC 4648, padded, without line ends).
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:  # ValueError: a character beyond ASCII
        raise InvalidInputError(f"the text is not base64: {error}.") from error
