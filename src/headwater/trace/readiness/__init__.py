"""How ready a model version is, computed from the ledger: the ML Test Score, technology readiness levels, CRISP-ML(Q).

Each of the 28 tests is one function in ``data_tests``, ``model_tests``, ``infrastructure_tests`` or
``monitoring_tests`` that reads ``Facts``; what each wants and how long it holds stands in ``catalogue``. ``drills``
make what no other room measures.
"""

from .catalogue import TESTS, ReadinessRules, readiness_rules
from .drills import drill_data_checks, drill_example, drill_spec
from .scoring import model_readiness, readiness_sentence, record_readiness
from .values import Level, Phase, PhaseCheck, Readiness, Score, Section

__all__ = [
    "TESTS",
    "Level",
    "Phase",
    "PhaseCheck",
    "Readiness",
    "ReadinessRules",
    "Score",
    "Section",
    "drill_data_checks",
    "drill_example",
    "drill_spec",
    "model_readiness",
    "readiness_rules",
    "readiness_sentence",
    "record_readiness",
]
