"""Made-up departures with every type of column, and estimators fitted on them: what model tests share."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas

ROWS = 3000
INPUTS = ["temp", "hour", "carrier", "wet"]


@cache
def flights(seed: int = 0, rows: int = ROWS) -> Any:
    """Return a frame of flights: temp (some missing), hour, carrier, wet, and the truth ``late``."""
    random = np.random.default_rng(seed)
    frame = pandas.DataFrame(
        {
            "temp": np.round(random.normal(50, 20, rows), 2),
            "hour": random.integers(0, 24, rows),
            "carrier": random.choice(["AA", "UA", "YX"], rows).astype(object),
            "wet": random.random(rows) < 0.2,
        }
    )
    frame.loc[::50, "temp"] = np.nan
    pull = frame.hour / 8 - 2 + 1.5 * frame.wet + (frame.carrier == "YX")
    frame["late"] = random.random(rows) < 1 / (1 + np.exp(-pull.to_numpy(float)))
    return frame


def inputs(seed: int = 0, rows: int = ROWS) -> Any:
    """Return the inputs alone."""
    return flights(seed, rows)[INPUTS]


@cache
def forest(iterations: int = 10, scaled: bool = False) -> Any:
    """Return a fitted pipeline: one-hot carriers and boosted trees; ``scaled`` puts a scaler before the trees."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler() if scaled else "passthrough", ["temp", "hour", "wet"]),
            ("carrier", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["carrier"]),
        ]
    )
    trees = HistGradientBoostingClassifier(max_iter=iterations, random_state=0)
    return Pipeline([("columns", columns), ("trees", trees)]).fit(inputs(), flights().late)


@cache
def linear() -> Any:
    """Return a fitted regression of the hour's square, on a plain matrix."""
    from sklearn.linear_model import LinearRegression

    frame = flights()
    return LinearRegression().fit(frame[["hour", "wet"]].to_numpy(float), frame.hour.to_numpy(float) * 2 + 1)


def rows_of(frame: Any) -> list[dict[str, Any]]:
    """Return a frame as rows of plain Python values, None where there is nothing."""
    return [
        {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]
