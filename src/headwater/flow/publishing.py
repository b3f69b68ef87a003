"""Executed notebooks, for people who look at them: of a task's result, or of the run in which a cell failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headwater.errors import NotFoundError
from headwater.operation import operation

from .notebook_files import FOLDER
from .saving import Part, fetch

if TYPE_CHECKING:
    from headwater.project import Project


class NotebookInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A notebook that a task ran: ``outcome`` is the task's."""

    task: str
    step: str
    outcome: str


@operation("flow.notebooks", needs="run:read")
def list_notebooks(project: Project, run: str) -> list[NotebookInfo]:
    """Return the notebooks of a run in the order of its tasks: executed, remembered, or failed in a cell.

    Raises:
        NotFoundError: there is no such run.
    """
    from headwater.track import get_run

    found = get_run(project, run)
    failed = {each.name.split("/")[1] for each in found.artefacts if each.name.startswith(f"{FOLDER}/")}
    with project.ledger.read() as tx:
        rows = tx.all(
            "SELECT t.id AS id, t.step AS step, t.outcome AS outcome, r.parts AS parts FROM tasks t "
            "LEFT JOIN results r ON r.id = t.result WHERE t.run = ? AND (r.parts LIKE ? OR t.result IS NULL) "
            "ORDER BY t.position",
            (found.id, '%"ipynb"%'),
        )
    return [
        NotebookInfo(task=row.id, step=row.step.rpartition(":")[2], outcome=row.outcome)
        for row in rows
        if row.parts is not None or row.id in failed
    ]


@operation("flow.notebook", needs="run:read")
def get_notebook(project: Project, task: str) -> str:
    """Return the executed notebook of a task, as the text of an .ipynb file.

    Raises:
        NotFoundError: there is no such task, or it ran no notebook.
        GoneError: its bytes were collected.
    """
    with project.ledger.read() as tx:
        row = tx.one(
            "SELECT t.run AS run, r.parts AS parts FROM tasks t LEFT JOIN results r ON r.id = t.result WHERE t.id = ?",
            (task,),
        )
    if row is not None and row.parts is not None:
        for part in msgspec.json.decode(row.parts, type=list[Part]):
            if part.format == "ipynb":
                return fetch(project.objects, part).decode()
    elif row is not None:
        from headwater.track import get_run

        prefix = f"{FOLDER}/{task}/"
        for each in get_run(project, row.run).artefacts:
            if each.name.startswith(prefix):
                return project.objects.get(each.digest).decode()
    raise NotFoundError(f"the task '{task}' does not exist, or ran no notebook that was kept.", task=task)
