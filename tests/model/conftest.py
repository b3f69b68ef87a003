"""Tests of MLflow's own writing are collected where it is installed: it cannot stand beside the extra dask."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [f"test_{name}.py" for name in ("mlflow", "transformers") if not find_spec(name)]
