"""Projects whose headwater.toml a test writes, and operations that its jobs run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from headwater.errors import RefusedError, UnavailableError
from headwater.operation import operation
from headwater.project import LocalProject, Project, create_project
from headwater.project.base import utc_now_us


class MakeProject:
    """Makes a project with the given settings; ``again`` opens it as another process would."""

    def __init__(self, folder: Path, ledger_url: str | None) -> None:
        self._folder = folder
        self._ledger_url = ledger_url
        self._made: list[LocalProject] = []

    def __call__(self, settings: str = "", clock: Callable[[], int] | None = None) -> LocalProject:
        self._folder.mkdir(exist_ok=True)
        stores = f'[stores]\nledger = "{self._ledger_url}"\n' if self._ledger_url else ""
        (self._folder / "headwater.toml").write_text(f'[project]\nname = "test"\n{stores}{settings}', encoding="utf-8")
        project = create_project(self._folder, actor="ann", clock=clock or utc_now_us)
        self._made.append(project)
        return project

    def again(self) -> LocalProject:
        from headwater.project.local import open_folder

        project = open_folder(self._folder, actor="ben")
        self._made.append(project)
        return project

    def close(self) -> None:
        for project in self._made:
            project.close()


class Sum(msgspec.Struct, frozen=True):
    total: int
    by: str


class Behaviour:
    """What the operation ``test.behave`` does next, set by the test; and what it was called with."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.act: Callable[[Project], Any] = lambda project: None


BEHAVIOUR = Behaviour()


@operation("test.sum", needs="data:write")
def add_up(project: Project, numbers: list[int], *, extra: int = 0) -> Sum:
    """Return the sum of the numbers."""
    return Sum(sum(numbers) + extra, project.actor.name)


@operation("test.behave", needs="data:write")
def behave(project: Project, ref: str = "") -> Any:
    """Do what the test has set."""
    BEHAVIOUR.calls.append(ref)
    return BEHAVIOUR.act(project)


@operation("test.admin", needs="data:admin")
def only_admins(project: Project) -> str:
    """Return a word to whoever may ask."""
    return project.actor.name


def fail(error: Exception) -> Callable[[Project], Any]:
    def act(project: Project) -> Any:
        raise error

    return act


def unavailable() -> UnavailableError:
    return UnavailableError("the source does not answer.")


def refused() -> RefusedError:
    return RefusedError("the gate is closed.")


def announce(project: LocalProject, kind: str, ref: str) -> int:
    with project.ledger.write() as tx:
        return tx.announce(kind, ref)


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        threading.Event().wait(0.01)
