"""Exporting bundles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headwater.project import Project

from .values import Bundle


def export_bundle(
    project: Project, out: str | Path, *, predictions: Sequence[str] | None = None, n: int = 1000, seed: int = 0
) -> Bundle:
    """Write a folder with which anybody can replay predictions without the project."""
    raise NotImplementedError
