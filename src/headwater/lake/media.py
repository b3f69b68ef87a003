"""Media types by the ends of names, and which of them are tables that DuckDB reads."""

from __future__ import annotations

import functools

from .values import Entry

PARQUET = "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.file"

_MEDIA = {
    "arrow": ARROW,
    "avif": "image/avif",
    "csv": "text/csv",
    "csv.gz": "text/csv+gzip",
    "feather": ARROW,
    "gif": "image/gif",
    "html": "text/html",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "md": "text/markdown",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "ndjson": "application/x-ndjson",
    "npy": "application/x-npy",
    "npz": "application/x-npz",
    "onnx": "application/vnd.onnx",
    "parquet": PARQUET,
    "pdf": "application/pdf",
    "png": "image/png",
    "safetensors": "application/x-safetensors",
    "svg": "image/svg+xml",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "toml": "application/toml",
    "tsv": "text/tab-separated-values",
    "txt": "text/plain",
    "wav": "audio/wav",
    "webp": "image/webp",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "zip": "application/zip",
}

# FILES is replaced by the list of local files. The cache's names have no ending, so nothing is left to guess.
_READERS = {
    PARQUET: "read_parquet(FILES, union_by_name = true)",
    ARROW: "read_parquet(FILES, union_by_name = true)",  # as Parquet by then, see arrow_files.py
    "text/csv": "read_csv(FILES, union_by_name = true, compression = 'none')",
    "text/csv+gzip": "read_csv(FILES, union_by_name = true, compression = 'gzip')",
    "text/tab-separated-values": "read_csv(FILES, union_by_name = true, delim = '\\t', compression = 'none')",
    "application/x-ndjson": (
        "read_json(FILES, format = 'newline_delimited', union_by_name = true, compression = 'none')"
    ),
}


def media_of(path: str) -> str:
    """Return the media type that the end of a name means, "" where it means none that we know."""
    name = path[path.rfind("/") + 1 :]
    dot = name.find(".")
    return _media_of_end(name[dot:]) if dot >= 0 else ""


@functools.lru_cache(maxsize=4096)
def _media_of_end(end: str) -> str:
    parts = end.lower().split(".")
    for count in (2, 1):
        if len(parts) > count and (found := _MEDIA.get(".".join(parts[-count:]))):
            return found
    return ""


def table_format(entry: Entry) -> str:
    """Return how DuckDB reads a file (a table function of FILES), "" where the file is no table."""
    return _READERS.get(entry.media or media_of(entry.path), "")
