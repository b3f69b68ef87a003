"""Three faults as they happen in real deliveries, planted in one month: a unit, a duplicated day, a renamed column."""

from __future__ import annotations

from pathlib import Path

import pandas as pd


def plant(source: Path, target: Path) -> None:
    """Write a copy of a month whose temperature is in °C, whose last day comes twice, and whose hour is renamed."""
    rows = pd.read_parquet(source)
    rows["temp"] = (rows["temp"] - 32) / 1.8
    last_day = rows[rows.scheduled_at.dt.date == rows.scheduled_at.dt.date.max()]
    rows = pd.concat([rows, last_day], ignore_index=True)
    rows.rename(columns={"visib": "visibility"}).to_parquet(target, index=False)
