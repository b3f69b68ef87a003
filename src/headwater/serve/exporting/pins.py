"""What an exported server installs: the distributions it needs and all that they need, as they are installed here."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from headwater.errors import InvalidInputError, MissingExtraError
from headwater.flow.distributions import Installed

NEEDED = ("msgspec", "numpy", "onnxruntime", "granian")


def pinned() -> list[str]:
    """Return lines of a requirements file, each ``name==version``: what answers there is what was measured here.

    Raises:
        MissingExtraError: the engine is not installed here.
        InvalidInputError: one of them was installed from a folder or an address, which nobody else can install.
    """
    with tempfile.TemporaryDirectory(prefix="headwater-") as folder:
        installed = Installed(Path(folder))
        for name in NEEDED:
            if not installed.versions([name]):
                raise MissingExtraError(name, "onnx", "exporting a server")
        found = installed.versions(NEEDED)
    for name, version in found.items():
        if " " in version:
            raise InvalidInputError(
                f"'{name}' {version} was installed here from a folder or an address, so that it cannot be installed "
                "elsewhere by its version. Install it from an index, then export again.",
                name=name,
            )
    return [f"{name}=={version}" for name, version in found.items()]


def python_version() -> str:
    """Return the Python that the pins are for: ``3.11``."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"
