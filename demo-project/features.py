"""From flights to what the model sees. Change a line here and only the steps that use it run again."""

from __future__ import annotations

import pandas as pd

NUMBERS = ["hour", "temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
CATEGORIES = ["origin"]
FEATURES = [*NUMBERS, *CATEGORIES]
TARGET = "late"
LATE_MINUTES = 15


def is_late(delay_minutes: pd.Series) -> pd.Series:
    """Return 1 where a flight left more than 15 minutes late, else 0."""
    return (delay_minutes > LATE_MINUTES).astype("int64")


def add_features(flights: pd.DataFrame) -> pd.DataFrame:
    """Return the model's inputs as 32-bit floats, which is what the served model computes with, and the target."""
    frame = flights[["flight_id", "month", "scheduled_at", *CATEGORIES]].copy()
    for name in NUMBERS:
        frame[name] = flights[name].astype("float32")
    frame[TARGET] = is_late(flights["dep_delay"])
    return frame
