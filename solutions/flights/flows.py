"""The flows: train a model on a span of months, and retrain it when an alarm says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from features import CATEGORIES, FEATURES, NUMBERS, TARGET, add_features

import headwater as hw

PARAMETERS = [
    {"max_iter": 60, "learning_rate": 0.08, "max_leaf_nodes": 15},
    {"max_iter": 100, "learning_rate": 0.1, "max_leaf_nodes": 31},
    {"max_iter": 40, "learning_rate": 0.05, "max_leaf_nodes": 7},
]


@hw.step
def clean(data: str, first: int, last: int) -> pd.DataFrame:
    """Return the flights of some months that can be learnt from: known weather, each flight once."""
    rows = hw.data(data, where=f"month BETWEEN {first} AND {last}").to_pandas()
    rows = rows.dropna(subset=["temp", "humid", "visib"]).drop_duplicates("flight_id")
    return rows.sort_values(["scheduled_at", "flight_id"], ignore_index=True)


@hw.step
def features(flights: pd.DataFrame) -> pd.DataFrame:
    """Return the model's inputs and target."""
    return add_features(flights)


@hw.step
def split(frame: pd.DataFrame, part: str) -> pd.DataFrame:
    """Return the earlier four fifths (``train``) or the later fifth (``validate``): time never runs backwards."""
    cut = int(len(frame) * 0.8)
    return frame.iloc[:cut] if part == "train" else frame.iloc[cut:]


@hw.step(seed=0)
def fit(params: dict[str, Any], frame: pd.DataFrame) -> Any:
    """Return a fitted pipeline for one set of parameters."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORIES), ("passthrough", NUMBERS)
    )
    model = make_pipeline(columns, HistGradientBoostingClassifier(random_state=0, **params))
    return model.fit(frame[FEATURES], frame[TARGET])


@hw.step
def score(model: Any, frame: pd.DataFrame) -> float:
    """Return the area under the ROC curve on rows the model has not seen."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(frame[TARGET], model.predict_proba(frame[FEATURES])[:, 1]))


@hw.step
def best(scores: list[float]) -> int:
    """Return which parameter set did best."""
    return int(np.argmax(scores))


@hw.step
def register(models: list[Any], scores: list[float], chosen: int, frame: pd.DataFrame, data: str, span: str) -> str:
    """Register the chosen model with its contract, card and parity, and return the id of the version."""
    from headwater.model import CardText

    version = hw.register_model(
        "delay",
        models[chosen],
        frame[FEATURES],
        params={**PARAMETERS[chosen], "months": span},
        metrics={"validation_auc": scores[chosen]},
        trained_on=[data],
        card=CardText(
            intended_use="Show passengers how likely a departure from New York leaves more than 15 minutes late.",
            limits="Weather is the weather observed at departure, not a forecast: in real life that is a leak.",
            owner="flights team",
        ),
    )
    return version.id


@hw.flow
def train(data: str = "flights@main", first: int = 1, last: int = 2) -> str:
    """Train on the months ``first`` to ``last`` of 2013 and return the id of the registered version."""
    frame = features(clean(data, first, last))
    training, validation = split(frame, "train"), split(frame, "validate")
    models = fit.map(PARAMETERS, frame=training)
    scores = score.map(models, frame=validation)
    chosen = best(scores)
    return register(models, scores, chosen, training, data, f"{first}-{last}")


@hw.step
def meet(challenger: str, champion: str, window: pd.DataFrame, span: str) -> str:
    """Evaluate the challenger on a window that neither was trained on, compare the two there, and say how it went."""
    from headwater.evaluate import compare_models, evaluate_model

    evaluate_model(hw.current(), challenger, window, TARGET, window=span, slices=["origin"])
    return str(compare_models(hw.current(), champion, challenger, window, TARGET, window=span).body["sentence"])


@hw.flow
def retrain(alarm: str) -> dict[str, Any]:
    """Train on the two months before the alarm's window, and ask for a release where that is better.

    Challenger and champion meet on the window itself, which neither was trained on. The gate decides; a refusal is
    kept with the window named.
    """
    from headwater.model import get_model_version
    from headwater.monitor import get_alarm
    from headwater.release import request_release

    project = hw.current()
    month = month_of(get_alarm(project, alarm).start_at)
    frame = features(clean("flights@main", month - 2, month - 1))
    window = features(clean("flights@main", month, month))
    training, validation = split(frame, "train"), split(frame, "validate")
    models = fit.map(PARAMETERS, frame=training)
    scores = score.map(models, frame=validation)
    chosen = best(scores)
    challenger = register(models, scores, chosen, training, "flights@main", f"{month - 2}-{month - 1}").result()
    champion = get_model_version(project, "delay@production")
    if challenger == champion.id:
        return {"status": "nothing newer to learn from"}
    span = f"2013-{month:02d}"
    sentence = meet(challenger, champion.id, window, span).result()
    request = request_release(project, challenger, "production", f"{alarm}: retrained on {span} less two months")
    return {"request": request.id, "status": request.status, "why": request.why, "sentence": sentence}


def month_of(at_us: int) -> int:
    """Return the month of a time in UTC microseconds."""
    return int(pd.Timestamp(at_us, unit="us", tz="UTC").month)
