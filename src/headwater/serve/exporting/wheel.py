"""A model version as a wheel: installed with pip it answers without Headwater, by the same lines of code.

The same version gives the same bytes: entries are sorted and carry no time of their own.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import TYPE_CHECKING

from .sources import HOUSE, carried_sources

if TYPE_CHECKING:
    from headwater.model import ModelVersion

_NEEDED = ("msgspec", "numpy", "onnxruntime")
_SERVER = "granian"
_CARRIED = "_carried"
_EPOCH = (1980, 1, 1, 0, 0, 0)

_INIT = '''"""{label}: {description}

``predict(rows)`` returns one dict of outputs per row; ``answer(rows)`` the same with ids. Rows are held against the
contract first. ``check()`` computes the examples of the export again. Safe to use from several threads.
"""

from pathlib import Path

from .{carried}.model.contract import ContractError
from .{carried}.serve.exporting.packaged import Package

__version__ = "{number}"
__all__ = ["ContractError", "answer", "check", "package", "predict"]

package = Package(Path(__file__).parent / "files")
predict = package.predict
answer = package.answer
check = package.check
'''
_APP = '''"""The ASGI application: ``granian --interface asgi {name}.app:app``."""

from . import package
from .{carried}.serve.exporting.door import Door

app = Door(package)
'''
_MAIN = '''"""``python -m {name} predict|check|contract|serve|health``."""

import sys

from . import package
from .{carried}.serve.exporting.entry import main

if __name__ == "__main__":
    sys.exit(main(package, "{name}.app:app", sys.argv[1:]))
'''


def import_name(model: str) -> str:
    """Return what the package of a model is imported as: ``delay_model`` for ``delay``."""
    return re.sub(r"[^a-z0-9]+", "_", model.lower()).strip("_") + "_model"


def wheel_name(version: ModelVersion) -> str:
    """Return the file name of a version's wheel."""
    name = import_name(version.model)
    return f"{'m_' if name[0].isdigit() else ''}{name}-{version.number}-py3-none-any.whl"


def make_wheel(version: ModelVersion, files: Mapping[str, bytes], readme: str) -> bytes:
    """Return the wheel of a version; ``files`` are those of its folder (see ``packaged``) by name."""
    name = wheel_name(version).partition("-")[0]
    words = {
        "name": name,
        "carried": _CARRIED,
        "label": version.label,
        "number": version.number,
        "description": re.sub(r'["\\]', "'", version.description) or "a model version",
    }
    entries: dict[str, bytes] = {
        f"{name}/__init__.py": _INIT.format(**words).encode(),
        f"{name}/app.py": _APP.format(**words).encode(),
        f"{name}/__main__.py": _MAIN.format(**words).encode(),
        f"{name}/py.typed": b"",
    }
    carried = carried_sources(f"{name}.{_CARRIED}", version.flavour)
    entries |= {f"{name}/{_CARRIED}/{path}": source.encode() for path, source in carried.items()}
    entries |= {f"{name}/files/{path}": data for path, data in files.items()}
    info = f"{name}-{version.number}.dist-info"
    entries[f"{info}/METADATA"] = _metadata(name, version, readme).encode()
    entries[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: headwater\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    entries[f"{info}/RECORD"] = _record(entries, f"{info}/RECORD").encode()
    return zipped(entries)


def zipped(entries: Mapping[str, bytes]) -> bytes:
    """Return a zip file of these entries, the same bytes for the same entries."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(entries):
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, entries[path])
    return target.getvalue()


def _metadata(name: str, version: ModelVersion, readme: str) -> str:
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name.replace('_', '-')}",
        f"Version: {version.number}",
        f"Summary: {' '.join(f'{version.label}: {version.description}'.split())[:500]}",
        f"Requires-Python: {_own('Requires-Python')}",
        *(f"Requires-Dist: {each}" for each in _requirements(_NEEDED)),
        "Provides-Extra: server",
        *(f'Requires-Dist: {each} ; extra == "server"' for each in _requirements([_SERVER])),
        "Description-Content-Type: text/markdown",
        "",
        readme,
    ]
    return "\n".join(lines)


def _own(field: str) -> str:
    return str(metadata.metadata(HOUSE)[field] or ">=3.11")


def _requirements(names: Iterable[str]) -> list[str]:
    """Return what this program itself requires of some distributions."""
    stated = metadata.requires(HOUSE) or []
    own = {re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0].lower(): each for each in stated}
    return [own[name].partition(";")[0].strip() for name in names]


def _record(entries: Mapping[str, bytes], record: str) -> str:
    lines = []
    for path in sorted(entries):
        digest = base64.urlsafe_b64encode(hashlib.sha256(entries[path]).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(entries[path])}")
    return "\n".join([*lines, f"{record},,"]) + "\n"
