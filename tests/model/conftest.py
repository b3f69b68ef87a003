"""Tests of MLflow's own writing are collected where it is installed: it cannot stand beside the extra dask."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("mlflow") else ["test_mlflow.py"]
