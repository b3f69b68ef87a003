"""Delivery pipelines: one list of stages that runs here with ``hw ci run`` and in a team's CI system.

``pipeline`` is what a team declares, ``stages`` what each stage does, ``rendering`` the files that CI systems read,
``report`` what a pull request is told of a candidate.
"""

from .pipeline import ROLLBACK, STAGES, Pipeline, as_toml, read_pipeline
from .record import Delivery, read_delivery, write_delivery
from .rendering import SYSTEMS, PipelineFile, pipeline_files
from .report import release_report
from .stages import run_stage
from .walking import Command, Done, Walk
from .writing import Written, declare, find_repository, installing, write_files

__all__ = [
    "ROLLBACK",
    "STAGES",
    "SYSTEMS",
    "Command",
    "Delivery",
    "Done",
    "Pipeline",
    "PipelineFile",
    "Walk",
    "Written",
    "as_toml",
    "declare",
    "find_repository",
    "installing",
    "pipeline_files",
    "read_delivery",
    "read_pipeline",
    "release_report",
    "run_stage",
    "write_delivery",
    "write_files",
]
