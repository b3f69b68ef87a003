"""Estimators as skops files, rewritten so that the same estimator gives the same bytes.

skops names nodes by memory address and stamps its archive with the time. Both are replaced: addresses by the order
in which they appear, times by the archive format's first day.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

_ID = re.compile(rb'"__id__": (\d+)')
_FILE = re.compile(rb'"(\d+)(\.[a-z]+)"')
_DAY = (1980, 1, 1, 0, 0, 0)


def save(value: Any) -> bytes | None:
    """Return an estimator as a skops file, None when skops is not there or does not take it."""
    try:
        import skops.io
    except ImportError:
        return None
    try:
        return _steady(skops.io.dumps(value))
    except Exception:  # noqa: BLE001  # skops raises what it likes for what it cannot hold; pickle is asked next
        return None


def load(data: bytes) -> Any:
    """Return the estimator of a skops file, its types taken as trusted."""
    import skops.io

    return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))


def _steady(data: bytes) -> bytes:
    source = zipfile.ZipFile(io.BytesIO(data))
    schema = source.read("schema.json")
    numbers: dict[bytes, bytes] = {}
    for found in re.finditer(rb'"__id__": (\d+)|"(\d+)\.[a-z]+"', schema):
        numbers.setdefault(found[1] or found[2], b"%d" % (len(numbers) + 1))
    schema = _ID.sub(lambda found: b'"__id__": ' + numbers[found[1]], schema)
    schema = _FILE.sub(lambda found: b'"' + numbers[found[1]] + found[2] + b'"', schema)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        files = []
        for name in source.namelist():
            if name != "schema.json":
                number, dot, kind = name.partition(".")
                known = numbers.get(number.encode())
                files.append((f"{known.decode()}{dot}{kind}" if known else name, source.read(name)))
        for name, content in (*sorted(files), ("schema.json", schema)):
            target.writestr(zipfile.ZipInfo(name, _DAY), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()
