"""The process of a trial."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from ..current import environment_now
from .trying import Asked, Tried

if TYPE_CHECKING:
    from headwater.project import Project

_GRACE_S = 5.0


class TrialProcess:
    """A trial that runs. Its output goes into a file, so that a full pipe never stops it."""

    def __init__(
        self, project: Project, flow: str, arguments: dict[str, Any], search: str, tags: dict[str, str]
    ) -> None:
        asked = Asked(
            place=str(project.root), actor=project.actor.name, flow=flow, arguments=arguments, parent=search, tags=tags,
            workers=1,
        )  # fmt: skip
        self.given_up = False
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # closed when the trial is heard
        self._process = subprocess.Popen(
            [sys.executable, "-m", "headwater.flow.tuning.trying"],
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            cwd=project.root,
            env={key: value for key, value in environment_now().items() if key != "HEADWATER_RUN"},
            start_new_session=True,
        )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died at once: its output says why
            self._process.stdin.write(msgspec.json.encode(asked))
            self._process.stdin.close()

    def ended(self) -> bool:
        """Tell whether it has ended."""
        return self._process.poll() is not None

    def tried(self) -> Tried:
        """Return what an ended trial says; of one that says nothing, the last lines of its output."""
        with self._output as file:
            file.seek(0)
            lines = file.read().decode("utf-8", "replace").rstrip().split("\n")
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(lines[-1].encode(), type=Tried)
        return Tried(run="", status="killed", error="\n".join(lines[-20:]))

    def give_up(self) -> None:
        """Ask it to end; its run is recorded as killed."""
        self.given_up = True
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)

    def stop(self) -> None:
        """End it, by force if it does not end by itself."""
        self.give_up()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._output.close()
