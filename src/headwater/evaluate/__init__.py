"""Evaluation: measurements of model versions, recorded as evidence that gates read and cards show.

Splits and their leakage, metrics with bootstrap intervals, slices declared and found, comparison on the same rows,
fairness, explanations, calibration, baselines, staleness, and parity of an export with its original. ``kinds`` says
what each piece of evidence holds. What is measured here decides nothing: ``headwater.release`` reads it.
"""

from .baselines import compare_baselines
from .calibration import measure_calibration
from .card import model_card
from .comparison import compare_models
from .evaluation import evaluate_model
from .evidence import find_evidence, get_evidence, list_evidence, record_evidence
from .explaining import explain_model
from .fairness import measure_fairness
from .finding import find_bad_slices
from .kinds import KINDS, EvidenceKind, command_for
from .parity import parity
from .registering import register_model
from .splits import Split, check_leakage, make_split
from .staleness import measure_staleness
from .tasks import positive_class, task_of
from .values import Evidence

__all__ = [
    "KINDS",
    "Evidence",
    "EvidenceKind",
    "Split",
    "check_leakage",
    "command_for",
    "compare_baselines",
    "compare_models",
    "evaluate_model",
    "explain_model",
    "find_bad_slices",
    "find_evidence",
    "get_evidence",
    "list_evidence",
    "make_split",
    "measure_calibration",
    "measure_fairness",
    "measure_staleness",
    "model_card",
    "parity",
    "positive_class",
    "record_evidence",
    "register_model",
    "task_of",
]
