"""Running a flow for a test: in this process, on the data given, in a project that is gone afterwards."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.errors import InvalidInputError
from headwater.flow.current import RUN, finish
from headwater.flow.running import check_arguments
from headwater.flow.steps import Flow, taking
from headwater.project import LocalProject, create_project
from headwater.project.current import using
from headwater.track import end_run, get_run, start_run

from .calls import Recording, StepCall, StepCalls, resolved
from .data import put_data

if TYPE_CHECKING:
    from headwater.project import Project


class Result:
    """How a test run went: what the flow returned, and the calls of its steps."""

    def __init__(self, value: Any, calls: list[StepCall], metrics: Mapping[str, float]) -> None:
        self.value = value
        self.calls = calls
        self.metrics = dict(metrics)

    def step(self, name: str) -> StepCalls:
        """Return the calls of the step with a function of that name; none where it did not run."""
        names = list(dict.fromkeys(each.step for each in self.calls))
        return StepCalls(name, [each for each in self.calls if each.step == name], names)

    def __repr__(self) -> str:
        return f"<{len(self.calls)} calls of steps, returned {str(self.value)[:80]}>"


def run(
    flow: Flow[Any, Any],
    arguments: Mapping[str, Any] | None = None,
    *,
    data: Mapping[str, Any] | None = None,
    rows: int | None = None,
    project: Project | None = None,
    contracts: bool = True,
) -> Result:
    """Run a flow here and now, each step once for each call, and return what the steps gave.

    ``data`` makes datasets for it: ``{"flights@main": frame}``, see ``put_data``; ``rows`` is the most that is taken
    of each table. Without ``project`` it runs in one of its own that is gone afterwards. Nothing is remembered, and
    what a step raises is raised. ``contracts`` False leaves the annotations of steps unchecked.

    Raises:
        InvalidInputError: the arguments do not fit the flow, or a step got or gave what its annotations exclude.
    """
    if not isinstance(flow, Flow):
        raise InvalidInputError(f"{flow!r} is no flow: mark it with @flow, or call it as it is.")
    given = dict(arguments or {})
    check_arguments(flow, given)
    if project is None:
        with temporary_project() as made:
            return _run(made, flow, given, data or {}, rows, contracts)
    return _run(project, flow, given, data or {}, rows, contracts)


@contextmanager
def temporary_project() -> Iterator[LocalProject]:
    """Give a project in a temporary folder, on SQLite, that is current in the block and gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="headwater-test-", ignore_cleanup_errors=True) as folder,
        create_project(Path(folder), name="test", actor="test") as project,
        using(project),
    ):
        yield project


def _run(
    project: Project, flow: Flow[Any, Any], given: dict[str, Any], data: Mapping[str, Any], rows: int | None,
    contracts: bool,
) -> Result:  # fmt: skip
    for ref, each in data.items():
        put_data(project, ref, each, rows)
    recording = Recording(project, contracts=contracts)
    identifier = start_run(project, flow.name, kind="test").id
    with using(project), _in_run(identifier):
        token = taking.set(recording)
        try:
            value = resolved(flow.function(**given))
        except BaseException as error:
            finish()
            end_run(project, identifier, "failed", error=f"{type(error).__name__}: {error}")
            raise
        finally:
            taking.reset(token)
        finish()
    end_run(project, identifier)
    metrics = {name: each.last for name, each in get_run(project, identifier).metrics.items()}
    return Result(value, recording.calls, metrics)


@contextmanager
def _in_run(identifier: str) -> Iterator[None]:
    kept = os.environ.get(RUN)
    os.environ[RUN] = identifier
    try:
        yield
    finally:
        if kept is None:
            del os.environ[RUN]
        else:
            os.environ[RUN] = kept
