"""Tests of the library shap are collected where it is installed: the lock leaves it out."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("shap") else ["test_shap.py"]
