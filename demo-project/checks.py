"""Checks that say more than a bound: plain functions over the version's rows."""

from __future__ import annotations

from typing import Any

import headwater as hw


@hw.check(
    "flights",
    name="dew point below temperature",
    owner="weather desk",
    do="One of the two columns changed its unit (°F and °C?). Convert it back and add the month again.",
)
def dew_point(flights: Any) -> list[str]:
    """Air cannot be colder than its dew point, so this fails as soon as one of the two changes its unit."""
    found = flights.sql(
        "SELECT month, count(*) AS rows, count(*) FILTER (dewp > temp + 1) AS wrong FROM data "
        "WHERE temp IS NOT NULL GROUP BY month HAVING wrong > rows / 100 ORDER BY month"
    ).fetchall()
    return [
        f"month {month}: {wrong} of {rows} rows have a dew point above the temperature" for month, rows, wrong in found
    ]
