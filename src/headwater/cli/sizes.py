"""Numbers of bytes as people write them on a command line: ``10GiB``, ``500 MB``, ``1048576``."""

from __future__ import annotations

import re
from typing import Any

import click

_UNITS = {"": 1, "B": 1} | {
    f"{letter}{end}": base**power
    for power, letter in enumerate("KMGTP", 1)
    for end, base in (("iB", 1024), ("B", 1000), ("", 1024))
}
_WRITTEN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


class ByteSize(click.ParamType[int]):
    """An option that takes a number of bytes; ``10G`` is ``10GiB``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes, or fail and say how sizes are written."""
        if isinstance(value, int):
            return value
        written = _WRITTEN.fullmatch(str(value))
        units = {unit.lower(): factor for unit, factor in _UNITS.items()}
        if written is None or written[2].lower() not in units:
            self.fail(f"'{value}' is no size: write 10GiB, 500MB or a number of bytes.", param, ctx)
        return int(float(written[1]) * units[written[2].lower()])
