"""Evaluation: measurements of model versions, recorded as evidence that gates read and cards show.

Metrics with bootstrap intervals, slices, comparison of two versions on the same rows, and parity of an export with
its original. What is measured here decides nothing: ``headwater.release`` reads it.
"""

from .card import model_card
from .comparison import compare_models
from .evaluation import evaluate_model
from .evidence import find_evidence, get_evidence, list_evidence, record_evidence
from .parity import parity
from .registering import register_model
from .tasks import positive_class, task_of
from .values import Evidence

__all__ = [
    "Evidence",
    "compare_models",
    "evaluate_model",
    "find_evidence",
    "get_evidence",
    "list_evidence",
    "model_card",
    "parity",
    "positive_class",
    "record_evidence",
    "register_model",
    "task_of",
]
