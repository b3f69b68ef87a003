"""A stream worked on in forks that may be killed: the driver of tests/ingest/kafka_puller.py with another act."""

from __future__ import annotations

from typing import Any

from headwater.flow import advance_stream
from headwater.project import Project
from tests.ingest import kafka_puller


def advance(project: Project, name: str) -> Any:
    """Take in one batch of what came."""
    return advance_stream(project, "clicks", batches=1)


if __name__ == "__main__":
    setattr(kafka_puller, "pull", advance)  # noqa: B010  # an assignment would say that it exports it
    kafka_puller.main()
