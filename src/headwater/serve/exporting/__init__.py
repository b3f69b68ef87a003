"""Exporting model versions: a wheel, ONNX, an image's context, Kubernetes manifests, an Elastic Beanstalk bundle.

``packaged``, ``door`` and ``entry`` are what an export runs on, without a project: they travel with it (``sources``).
"""

from .exporting import export_model
from .values import FORMS, Cluster, Export, Form

__all__ = ["FORMS", "Cluster", "Export", "Form", "export_model"]
