"""The questions that runs wait for, and what people say to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from headwater.access.approvals import Decision, record_decision, same_person
from headwater.errors import ConflictError, DeniedError, InvalidInputError, NotFoundError
from headwater.jobs.leasing import wake
from headwater.operation import operation

if TYPE_CHECKING:
    from headwater.ledger import Row, Tx
    from headwater.project import Actor, Project

_COLUMNS = (
    "id, run, position, title, details, digest, role, not_author, authenticated, job, flow, asked_by, asked_at, "
    "expires_at, status, decided_by, decided_at, reason"
)
_MOST = 1000


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a run asks. ``expires_at`` is the database's time; ``details`` are as the flow gave them."""

    id: str
    run: str
    position: int
    title: str
    details: Any
    digest: str
    role: str
    not_author: bool
    authenticated: bool
    job: str
    flow: str
    asked_by: str
    asked_at: int
    expires_at: int | None
    status: Literal["waiting", "approve", "reject", "expired"]
    decided_by: str
    decided_at: int | None
    reason: str

    @property
    def ref(self) -> str:
        """The text that names it in edges and announcements."""
        return f"question:{self.id}"


@operation("run.questions", needs="run:read")
def list_questions(
    project: Project, run: str = "", status: str = "", *, limit: int = 100, before: str | None = None
) -> list[Question]:
    """Return questions of runs, newest first: of one run, or with one status, at most ``limit``."""
    given = [("run = ?", run.removeprefix("run:").upper() or None), ("status = ?", status or None), ("id < ?", before)]
    where = " AND ".join(["1 = 1", *(condition for condition, value in given if value is not None)])
    values = [value for _, value in given if value is not None]
    with project.ledger.read() as tx:
        rows = tx.all(
            f"SELECT {_COLUMNS} FROM questions WHERE {where} ORDER BY id DESC LIMIT ?",
            [*values, max(1, min(limit, _MOST))],
        )
    return [_question(row) for row in rows]


@operation("run.approve", needs="run:approve")
def approve_run(project: Project, run: str, reason: str) -> Question:
    """Say yes to what a run waits for, and let it go on; ``run`` is the run or ``question:<id>``.

    Raises:
        NotFoundError: the run waits for nothing.
        DeniedError: this person may not answer (the run's author, without the role, or with a claimed name).
        ConflictError: it was answered meanwhile.
    """
    return _decide(project, run, "approve", reason)


@operation("run.reject", needs="run:approve")
def reject_run(project: Project, run: str, reason: str) -> Question:
    """Say no to what a run waits for: its flow goes on with an error that tells so. Raises as ``approve_run``."""
    return _decide(project, run, "reject", reason)


def find_question(tx: Tx, run: str, position: int, digest: str) -> Question | None:
    """Return the question that a run asked at a place in these words, None where it did not."""
    row = tx.one(
        f"SELECT {_COLUMNS} FROM questions WHERE run = ? AND position = ? AND digest = ? ORDER BY id DESC LIMIT 1",
        (run, position, digest),
    )
    return None if row is None else _question(row)


def _decide(project: Project, run: str, decision: Decision, reason: str) -> Question:
    if not reason.strip():
        raise InvalidInputError("an answer needs a reason: whoever reads the log later will ask for it.")
    with project.ledger.write() as tx:
        question = _waiting(tx, run)
        _require_may_answer(project.actor, question)
        changed = tx.execute(
            "UPDATE questions SET status = ?, decided_by = ?, decided_at = ?, reason = ? "
            "WHERE id = ? AND status = 'waiting'",
            (decision, project.actor.name, tx.now, reason, question.id),
        )
        if changed != 1:
            raise ConflictError(f"{question.ref} was answered meanwhile. Look at run:{question.run} again.")
        record_decision(
            tx,
            project.actor,
            decision,
            reason,
            request=question.id,
            subject=question.ref,
            about={"run": question.run, "flow": question.flow, "question": question.title, "shown": question.digest},
        )
        tx.announce("question", question.ref)
        wake(tx, question.job)
        row = tx.one(f"SELECT {_COLUMNS} FROM questions WHERE id = ?", (question.id,))
    assert row is not None
    return _question(row)


def _waiting(tx: Tx, run: str) -> Question:
    column, identifier = ("id", run[9:]) if run.startswith("question:") else ("run", run.removeprefix("run:"))
    row = tx.one(
        f"SELECT {_COLUMNS} FROM questions WHERE {column} = ? AND status = 'waiting' "
        f"AND (expires_at IS NULL OR expires_at > {tx.clock_sql}) ORDER BY id DESC LIMIT 1",
        (identifier.upper(),),
    )
    if row is None:
        raise NotFoundError(
            f"'{run}' waits for no answer: it asked nothing, was answered, or its time is over. 'hw runs questions' "
            "lists what waits.",
            run=run,
        )
    return _question(row)


def _require_may_answer(actor: Actor, question: Question) -> None:
    if question.not_author and same_person(actor.name, question.asked_by):
        why = f"{actor.name} started the run, and it demands another person's answer"
    elif question.authenticated and actor.claimed:
        why = f"'{actor.name}' is a claimed name, and the run demands somebody who is signed in to the server"
    elif question.role and not {"admin", question.role} & set(actor.roles):
        why = f"{actor.name} does not have the role {question.role} that the run demands"
    else:
        return
    raise DeniedError(f"{why}. Ask somebody else to answer run:{question.run}.", question=question.id)


def _question(row: Row) -> Question:
    found = row.as_dict()
    return Question(
        **{
            **found,
            "details": msgspec.json.decode(found["details"]),
            "not_author": bool(found["not_author"]),
            "authenticated": bool(found["authenticated"]),
        }
    )
