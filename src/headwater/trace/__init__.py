"""Trace: what a thing came from and what came from it, the same bytes again, and whether everything is what it says.

``trace`` walks the lineage, ``replay`` computes predictions again, ``export_bundle`` and ``replay_bundle`` let
somebody else do so without the project, ``verify`` checks digests, the chain and every reference; ``repair`` and
``recover`` bring back what was damaged or lost. ``collect`` frees what nothing needs, ``erase`` a subject: both reach
into every room, each of which registers what it holds.
"""

from .bundle import replay_bundle
from .collected import Collection
from .collecting import collect
from .deleting import Deleted, KeptRun, delete_runs
from .erasing import Erasure, erase
from .exporting import export_bundle
from .finding import Place, find_text
from .heads import Checkpoint, export_head, write_checkpoint
from .losing import LostPack, accept_loss, list_losses
from .recovering import Recovered, recover
from .repairing import Repair, repair
from .replaying import replay, sample_predictions
from .values import Bundle, Difference, Graph, Link, Node, NotKept, ReplayReport
from .verifying import verify
from .walking import trace

__all__ = [
    "Bundle",
    "Checkpoint",
    "Collection",
    "Deleted",
    "Difference",
    "Erasure",
    "Graph",
    "KeptRun",
    "Link",
    "LostPack",
    "Node",
    "NotKept",
    "Place",
    "Recovered",
    "Repair",
    "ReplayReport",
    "accept_loss",
    "collect",
    "delete_runs",
    "erase",
    "export_bundle",
    "export_head",
    "find_text",
    "list_losses",
    "recover",
    "repair",
    "replay",
    "replay_bundle",
    "sample_predictions",
    "trace",
    "verify",
    "write_checkpoint",
]
