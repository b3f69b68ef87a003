"""Running a run again from the code that it ran, beside whatever the project's folder holds by now."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import InvalidInputError
from headwater.track.capture import installed
from headwater.track.runs import get_run

from .code_kept import RunCode, write_code
from .operations import get_tasks
from .running import Outcome, execute_flow

if TYPE_CHECKING:
    from headwater.project import Project

TAG = "again"
"""The tag under which a run names the run that it was started from."""


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """A package that is another one than the run had; ``reached``: the code of the run's steps reaches it."""

    name: str
    then: str
    now: str
    reached: bool


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """How a run went that was started from another one's code.

    ``packages`` are those that differ from then, those that the code reaches first. ``same`` counts the results that
    are equal to the earlier run's, ``different`` names the calls whose results are not; neither is filled where
    arguments were changed.
    """

    outcome: Outcome
    packages: tuple[Changed, ...]
    same: int = 0
    different: tuple[str, ...] = ()


def run_again(
    project: Project,
    run: str,
    changes: Mapping[str, Any] | None = None,
    *,
    on_packages: Callable[[tuple[Changed, ...]], None] = lambda changed: None,
    **options: Any,
) -> Again:
    """Run a flow as an earlier run had it: its code, the files that it read, its arguments but for ``changes``.

    Data that it names by branch is read as the branch stands now. ``on_packages`` hears of differing packages before
    anything runs; ``options`` are those of ``execute_flow``.

    Raises:
        NotFoundError: there is no such run.
        GoneError: its code was collected.
        InvalidInputError: it is no run of a flow, or the project was opened by URL.
    """
    earlier = get_run(project, run)
    if earlier.kind != "flow" or project.root is None:
        what = "the project was opened by URL" if project.root is None else f"it is a run of kind '{earlier.kind}'"
        raise InvalidInputError(
            f"run {earlier.id} cannot be run again from its code: {what}. Runs of flows can, where the project's "
            "folder is.",
            run=run,
        )
    cache = project.root / ".headwater" / "cache" / "flow"
    cache.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="again-", dir=cache))
    try:
        code = write_code(project, earlier.id, folder)
        packages = changed_packages(code)
        on_packages(packages)
        tags = {TAG: earlier.id, **(options.pop("tags", None) or {})}
        arguments = {**earlier.params, **(changes or {})}
        outcome = execute_flow(project, earlier.flow, arguments, folder=folder, tags=tags, **options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if changes:
        return Again(outcome=outcome, packages=packages)
    same, different = _compared(project, earlier.id, outcome.run.id)
    return Again(outcome=outcome, packages=packages, same=same, different=different)


def changed_packages(code: RunCode) -> tuple[Changed, ...]:
    """Return the packages that are another version now, or gone, or new, than when the run ran; reached ones first."""
    then = dict(each.partition("==")[::2] for each in code.packages)
    if not then:
        return ()
    now = dict(each.partition("==")[::2] for each in installed())
    reached = {_plain(name) for name in code.libraries}
    found = [
        Changed(name=name, then=then.get(name, ""), now=now.get(name, ""), reached=_plain(name) in reached)
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
    return tuple(sorted(found, key=lambda each: not each.reached))


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _compared(project: Project, earlier: str, later: str) -> tuple[int, tuple[str, ...]]:
    """Return how many calls gave the same in two runs, and those that did not, as step and number of the call."""

    def outputs(run: str) -> dict[tuple[str, int], str]:
        found: dict[tuple[str, int], str] = {}
        counts: dict[str, int] = {}
        for task in get_tasks(project, run):
            counts[task.step] = counts.get(task.step, 0) + 1
            if task.output:
                found[task.step, counts[task.step]] = task.output
        return found

    before, after = outputs(earlier), outputs(later)
    both = before.keys() & after.keys()
    same = sum(before[each] == after[each] for each in both)
    different = [f"{each[0]} (call {each[1]})" for each in before if before[each] != after.get(each)]
    return same, tuple(different)
