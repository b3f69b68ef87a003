"""Versions without trained files and evidence as tests want it: releasing looks at nothing else."""

from __future__ import annotations

from typing import Any

from headwater.evaluate import Evidence, record_evidence
from headwater.model import Contract, Field, ModelFile, ModelVersion, register
from headwater.project import Project

CONTRACT = Contract(inputs=(Field(name="x", type="float"),), outputs=(Field(name="probability", type="float"),))


def add_version(project: Project, model: str = "delay", flavour: str = "onnx", **more: Any) -> ModelVersion:
    """Register a version whose file is a few bytes."""
    data = b"weights"
    file = ModelFile(name="model", digest=project.objects.put(data), size=len(data), flavour=flavour)
    return register(project, model, files=[file], contract=CONTRACT, **more)


def passed_parity(project: Project, version: ModelVersion, passed: bool = True, **more: Any) -> Evidence:
    body = {"passed": passed, "why": "as the search found", "exported": version.flavour, "tolerance": 1e-4}
    return record_evidence(project, version.ref, "parity", {**body, **more})


def evaluated(project: Project, version: ModelVersion, auc: float) -> Evidence:
    body = {
        "metrics": {"auc": {"value": auc, "low": auc - 0.01, "high": auc + 0.01}},
        "rows": 1000,
        "window": "flights@v3",
    }
    return record_evidence(project, version.ref, "evaluation", body)


def compared(project: Project, champion: ModelVersion, challenger: ModelVersion, low: float) -> Evidence:
    body = {
        "champion": champion.id,
        "metric": "auc",
        "gain": {"value": low + 0.01, "low": low, "high": low + 0.02},
        "sentence": f"{challenger.label} against {champion.label} on October",
    }
    return record_evidence(project, challenger.ref, "comparison", body)
