"""Trace: what a thing came from and what came from it, the same bytes again, and whether everything is what it says.

``trace`` walks the lineage, ``replay`` computes predictions again, ``export_bundle`` and ``replay_bundle`` let
somebody else do so without the project, ``verify`` checks digests, the chain and every reference.
"""

from .bundle import replay_bundle
from .exporting import export_bundle
from .heads import export_head
from .replaying import replay, sample_predictions
from .values import Bundle, Difference, Graph, Link, Node, NotKept, ReplayReport
from .verifying import verify
from .walking import trace

__all__ = [
    "Bundle",
    "Difference",
    "Graph",
    "Link",
    "Node",
    "NotKept",
    "ReplayReport",
    "export_bundle",
    "export_head",
    "replay",
    "replay_bundle",
    "sample_predictions",
    "trace",
    "verify",
]
