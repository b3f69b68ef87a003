"""Looking for texts in bytes of any kind, decoded: what an erasure and a search of the project go by.

Parquet is read with its statistics, PDF as text, JSON and MessagePack as values, compressed files unpacked. A text
counts where it stands alone: ``c42`` is not found in ``abc423``.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from ..canonical import decode
from ..duck import connect

_UNPACKED_BYTES = 1 << 28
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{24,}={0,2}")
_NESTED = 3


class Needles:
    """Texts to look for, in text and in bytes."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.known: dict[str, bool] = {}  # by digest: whether an object holds one, since objects never change
        self.texts = sorted({text for text in texts if text}, key=lambda text: (-len(text), text))
        said = "|".join(re.escape(text) for text in self.texts) or "(?!)"  # without texts nothing is found
        self.pattern = re.compile(f"(?<![0-9A-Za-z])(?:{said})(?![0-9A-Za-z])")
        spelled = {form for text in self.texts for form in _spellings(text)}
        raw = b"|".join(re.escape(form) for form in sorted(spelled, key=lambda form: (-len(form), form))) or b"(?!)"
        self.raw = re.compile(b"(?<![0-9A-Za-z])(?:" + raw + b")(?![0-9A-Za-z])")

    def in_text(self, text: str) -> bool:
        """Tell whether a text holds one of them, standing alone."""
        return self.pattern.search(text) is not None

    def in_value(self, value: Any) -> bool:
        """Tell whether a plain value holds one of them."""
        return any(self.in_text(text) for text in texts_of(value))

    def without(self, text: str) -> str:
        """Return the text with each of them replaced."""
        return self.pattern.sub("[erased]", text)


def _spellings(text: str) -> Iterator[bytes]:
    yield text.encode()
    yield text.encode("utf-16-le")
    escaped = msgspec.json.encode(text)[1:-1]
    yield escaped
    with contextlib.suppress(UnicodeEncodeError):
        yield text.encode("latin-1")


def holds(data: bytes, needles: Needles, depth: int = 0) -> bool:
    """Tell whether some bytes hold one of the needles: as they are, or decoded by what they look like."""
    if needles.raw.search(data):
        return True
    if depth >= _NESTED:
        return False
    for sign, decoded in _DECODERS:
        if data[: len(sign)] == sign:
            with contextlib.suppress(Exception):  # what is no such file after all was searched as it is
                return decoded(data, needles, depth)
    if data[:1] in b'{["':
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return needles.in_value(msgspec.json.decode(data))
    return False


def _parquet(data: bytes, needles: Needles, depth: int) -> bool:
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file, connect() as connection:
        file.write(data)
        file.flush()
        for source in (f"parquet_metadata('{file.name}')", f"parquet_kv_metadata('{file.name}')",
                       f"read_parquet('{file.name}')"):  # fmt: skip
            cursor = connection.execute(f"SELECT * EXCLUDE (file_name) FROM {source}" if "metadata" in source
                                        else f"SELECT * FROM {source}")  # fmt: skip
            while rows := cursor.fetchmany(5000):
                if any(in_cell(cell, needles, depth) for row in rows for cell in row):
                    return True
    return False


def in_cell(cell: Any, needles: Needles, depth: int) -> bool:
    if isinstance(cell, bytes):
        if needles.raw.search(cell) or _in_base64(cell, needles):
            return True
        with contextlib.suppress(Exception):  # bytes that are no MessagePack hold no more than they show
            return needles.in_value(decode(cell))
        return False
    if isinstance(cell, str):
        return needles.in_text(cell)
    if isinstance(cell, dict | list | tuple):
        return needles.in_value(cell)
    return cell is not None and needles.in_text(str(cell))


def _in_base64(data: bytes, needles: Needles) -> bool:
    """Tell whether bytes hold a needle behind base64: so Arrow keeps a table's schema in Parquet, metadata and all."""
    if not _BASE64.fullmatch(data):
        return False
    try:
        return needles.raw.search(base64.b64decode(data, validate=True)) is not None
    except ValueError:
        return False


def _pdf(data: bytes, needles: Needles, depth: int) -> bool:
    import logging

    import pypdf

    logging.getLogger("pypdf").setLevel(logging.ERROR)
    reader = pypdf.PdfReader(io.BytesIO(data))
    texts = [str(value) for value in (reader.metadata or {}).values()]
    return any(needles.in_text(text) for text in texts) or any(
        needles.in_text(page.extract_text()) for page in reader.pages
    )


def _gzip(data: bytes, needles: Needles, depth: int) -> bool:
    with gzip.open(io.BytesIO(data)) as file:
        return holds(file.read(_UNPACKED_BYTES), needles, depth + 1)


def _zip(data: bytes, needles: Needles, depth: int) -> bool:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            if needles.in_text(name):
                return True
            with archive.open(name) as file:
                if holds(file.read(_UNPACKED_BYTES), needles, depth + 1):
                    return True
    return False


_DECODERS: list[tuple[bytes, Callable[[bytes, Needles, int], bool]]] = [
    (b"PAR1", _parquet),
    (b"%PDF", _pdf),
    (b"\x1f\x8b", _gzip),
    (b"PK\x03\x04", _zip),
]


def texts_of(value: Any) -> Iterator[str]:
    """Yield every text in a plain value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from texts_of(key)
            yield from texts_of(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts_of(inner)
