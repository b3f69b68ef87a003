"""Ingest: sources of data, declared once and pulled again and again, each pull an immutable version with its proof.

A kind of source is one class in one file (``source.Source``), named in ``kinds.KINDS``. Everything else, leases,
state, proof, checks, history, is here and the same for all. When to pull is decided by triggers (``headwater.jobs``).
"""

from __future__ import annotations

from .declared import source
from .drawing import Drawn, Related, draw
from .pulling import pull
from .sampling import Sampled, keep_sample, sample
from .simulating import simulate
from .source import Pulled, Source
from .sources import Proof, history, list_sources, plan, reach_source, read_proof, show_source
from .theory import Theory, read_theory, theory
from .values import Plan, Planned, Pull, Reached, SourceInfo
from .watching import watching

__all__ = [
    "Drawn",
    "Plan",
    "Planned",
    "Proof",
    "Pull",
    "Pulled",
    "Reached",
    "Related",
    "Sampled",
    "Source",
    "SourceInfo",
    "Theory",
    "draw",
    "history",
    "keep_sample",
    "list_sources",
    "plan",
    "pull",
    "reach_source",
    "read_proof",
    "read_theory",
    "sample",
    "show_source",
    "simulate",
    "source",
    "theory",
    "watching",
]
