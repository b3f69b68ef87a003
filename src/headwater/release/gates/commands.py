"""The command that makes a kind of evidence about a version: what a closed gate tells to run."""

from __future__ import annotations

from headwater.evaluate.kinds import command_for
from headwater.model import ModelVersion
from headwater.serve.rehearsal import REHEARSALS


def maker_of(kind: str, version: ModelVersion, channel: str = "CHANNEL") -> str:
    """Return the command that makes evidence of a kind; for a team's own kind, how it is recorded."""
    rehearsal = REHEARSALS.get(kind)
    if rehearsal is not None:
        return rehearsal.command.format(version.label).replace("CHANNEL", channel)
    return command_for(kind, version.label)
