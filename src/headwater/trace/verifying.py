"""Verifying."""

from __future__ import annotations

from headwater.objects.findings import Finding
from headwater.operation import operation
from headwater.project import Project


@operation("trace.verify", needs="trace:read")
def verify(project: Project, head: str | None = None) -> list[Finding]:
    """Return what is wrong with the project: bytes, events, the chain, manifests, references."""
    raise NotImplementedError
