"""Serving: validated answers by one model version each, kept as events before they are given.

``Engine`` answers over HTTP (``http.py``) or in place; ``predict`` and ``record_outcomes`` are the operations. A new
release is loaded and warmed before it takes over, and requests under way finish with the version they began with.
"""

from .engine import Engine
from .history import count_predictions, get_prediction, list_predictions
from .http import serve_app, serve_routes
from .operations import list_served, predict
from .outcomes import record_outcomes
from .values import Answer, Outcome, OutcomeReport, Prediction, Served, ServingCount

__all__ = [
    "Answer",
    "Engine",
    "Outcome",
    "OutcomeReport",
    "Prediction",
    "Served",
    "ServingCount",
    "count_predictions",
    "get_prediction",
    "list_predictions",
    "list_served",
    "predict",
    "record_outcomes",
    "serve_app",
    "serve_routes",
]
