"""A small dataset of flights, a table a month, and its checks, for tests to break one thing at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

DAYS = 28
PER_DAY = 20


def month(number: int) -> dict[str, list[Any]]:
    """Return a month of 2013: 28 days of 20 flights, delays from -10 to 27 minutes, nothing wrong."""
    columns: dict[str, list[Any]] = {"flight": [], "at": [], "carrier": [], "delay": []}
    for day in range(DAYS):
        for flight in range(PER_DAY):
            columns["flight"].append(flight)
            columns["at"].append(datetime(2013, number, 1) + timedelta(days=day, minutes=30 * flight))  # noqa: DTZ001
            columns["carrier"].append("UA" if flight % 3 else "AA")
            columns["delay"].append(float((flight * 7 + day * 3) % 38 - 10))
    return columns


def declare(folder: Path, *tables: str) -> None:
    """Write headwater.toml with these check tables of the dataset flights."""
    written = "\n".join(f"[[checks.flights]]\n{table}" for table in tables)
    (folder / "headwater.toml").write_text(f'[project]\nname = "test"\n{written}\n')


def changed(columns: dict[str, list[Any]], **new: list[Any]) -> dict[str, list[Any]]:
    """Return the columns with some replaced."""
    return {**columns, **new}
