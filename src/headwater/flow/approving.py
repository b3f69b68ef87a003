"""Human approval inside a flow: the run waits for a person without holding a worker.

``approval`` ends the execution with the status ``waiting``; the answer wakes the job, which runs the flow again: the
memory gives what was done, and ``approval`` gives the answer.
"""

from __future__ import annotations

import contextvars
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import msgspec

from headwater.canonical import digest_of
from headwater.errors import InvalidInputError, RefusedError, UserCodeError
from headwater.jobs.fencing import FOR_EVER_US, current_job, let_wait, never_again
from headwater.jobs.queue import add_job
from headwater.jobs.values import FLOW_OPERATION

from .handles import Handle
from .questions import Question, find_question
from .steps import taking

if TYPE_CHECKING:
    from headwater.ledger import WriteTx

    from .engine import Engine

_LENGTH = re.compile(r"(\d+)(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LARGEST_DETAILS = 64 << 10


class Approved(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's yes: who said it, and why."""

    by: str
    reason: str


class Waits(BaseException):
    """Raised in a flow that waits for an answer, so that its execution ends here."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked.title)
        self.asked = asked


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A question as the flow puts it."""

    position: int
    title: str
    details: str
    role: str
    not_author: bool
    authenticated: bool
    timeout_s: int
    known: str = ""

    def digest(self) -> str:
        """Return what an answer to it holds for."""
        return digest_of([self.title, self.details, self.role, self.not_author, self.authenticated])


_given: contextvars.ContextVar[Approved | None] = contextvars.ContextVar("approvals_given", default=None)
_counts: WeakKeyDictionary[Engine, int] = WeakKeyDictionary()


def approval(
    question: str,
    *,
    role: str = "approver",
    details: Any = None,
    not_author: bool = True,
    authenticated: bool = False,
    timeout: str = "",
) -> Approved:
    """Return when somebody with the role said yes; in a flow's own function, between its steps.

    Until then the run is ``waiting`` and holds no worker. ``details`` (JSON-able; handles stand for their results) are
    shown with the question, and an answer holds for them alone: where they are others when the flow goes on, it asks
    again. ``not_author``: whoever started the run may not answer. ``authenticated``: a claimed name may not either.
    ``timeout`` (``30m``, ``2d``): how long it waits at most.

    Raises:
        RefusedError: somebody said no, or nobody answered in time.
        InvalidInputError: it is not called in a flow, or the details cannot be shown.
    """
    given = _given.get()
    if given is not None:
        return given
    engine = _engine(question)
    asked = Asked(
        position=_counts.get(engine, 0),
        title=_worded(question),
        details=_shown(details),
        role=role,
        not_author=not_author,
        authenticated=authenticated,
        timeout_s=_seconds(timeout),
    )
    _counts[engine] = asked.position + 1
    engine.drain()
    status, error, text = engine.verdict()
    if status != "done":
        raise UserCodeError(f"nobody is asked '{question}', since {error}", text)
    return _answer(engine, asked)


@contextmanager
def approving(by: str = "test", reason: str = "") -> Iterator[None]:
    """Answer every ``approval`` of this thread with yes until the block ends: for tests that call a flow directly."""
    token = _given.set(Approved(by=by, reason=reason))
    try:
        yield
    finally:
        _given.reset(token)


def record_asked(tx: WriteTx, engine: Engine, asked: Asked, arguments: dict[str, Any]) -> None:
    """Record a question in the transaction that ends the execution, with the job that goes on after the answer.

    A run that no worker executes gets a job of its own, which belongs to whoever started it.
    """
    if asked.known:
        with_job = tx.one("SELECT job, expires_at FROM questions WHERE id = ?", (asked.known,))
        assert with_job is not None  # read by this execution, and questions are not removed
        let_wait(with_job.expires_at)
        return
    until = tx.database_now() + asked.timeout_s * 1_000_000 if asked.timeout_s else None
    run, actor = engine.run_id, engine.project.actor
    job = current_job()
    if job is None:
        identifier = add_job(
            tx,
            operation=FLOW_OPERATION,
            arguments={"flow": engine.found.ref, "arguments": arguments},
            actor=actor,
            cause=f"run:{run}",
            waiting=True,
            run_after=FOR_EVER_US if until is None else until,
        )
        job = f"job:{identifier}"
        tx.edge(f"run:{run}", "job", job)
    identifier = tx.new_id()
    tx.insert(
        "questions",
        id=identifier,
        run=run,
        position=asked.position,
        title=asked.title,
        details=asked.details,
        digest=asked.digest(),
        role=asked.role,
        not_author=int(asked.not_author),
        authenticated=int(asked.authenticated),
        job=job,
        flow=engine.found.ref,
        asked_by=actor.name,
        asked_at=tx.now,
        expires_at=until,
        status="waiting",
        decided_by="",
        decided_at=None,
        reason="",
    )
    tx.edge(f"question:{identifier}", "run", f"run:{run}")
    tx.announce("question", f"question:{identifier}")
    let_wait(until)


def _answer(engine: Engine, asked: Asked) -> Approved:
    with engine.project.ledger.read() as tx:
        found = find_question(tx, engine.run_id, asked.position, asked.digest())
        late = found is not None and found.expires_at is not None and found.expires_at <= tx.database_now()
    if found is None:
        raise Waits(asked)
    if found.status == "waiting" and late:
        found = _expire(engine, found)
    if found.status == "waiting":
        raise Waits(msgspec.structs.replace(asked, known=found.id))
    if found.status == "approve":
        return Approved(by=found.decided_by, reason=found.reason)
    never_again()  # whoever said no is not to be asked the same by the next attempt
    who = f"{found.decided_by} said no" if found.status == "reject" else "nobody answered in time"
    raise RefusedError(
        f"'{asked.title}': {who}{f': {found.reason}' if found.reason else ''}. Run the flow again to ask anew.",
        question=found.id,
    )


def _expire(engine: Engine, question: Question) -> Question:
    with engine.project.ledger.write() as tx:
        changed = tx.execute(
            "UPDATE questions SET status = 'expired', decided_at = ? WHERE id = ? AND status = 'waiting'",
            (tx.now, question.id),
        )
        if changed:
            tx.announce("question", question.ref)
        found = find_question(tx, question.run, question.position, question.digest)
    assert found is not None  # read before, and questions are not removed
    return found


def _engine(question: str) -> Engine:
    from .engine import Engine, FlowStopped

    engine = taking.get()
    if not isinstance(engine, Engine):
        raise InvalidInputError(
            f"hw.approval('{question}') waits in a run: call it in a flow's own function, not in a step, and start the "
            "flow with 'hw run'. A test that calls the flow answers with 'headwater.flow.approving.approving()'."
        )
    if engine.dry:
        raise FlowStopped(f"approval: {question}")
    return engine


def _worded(question: str) -> str:
    if not question.strip() or len(question) > 500:
        raise InvalidInputError("hw.approval takes a question of at most 500 characters.")
    return question.strip()


def _shown(details: Any) -> str:
    def plain(value: Any) -> Any:
        if isinstance(value, Handle):
            return plain(value.result())
        if isinstance(value, dict):
            return {str(key): plain(each) for key, each in value.items()}
        return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value

    try:
        text = msgspec.json.encode(plain(details), order="deterministic").decode()
    except TypeError as error:
        raise InvalidInputError(
            f"the details of hw.approval cannot be shown: {error}. Give JSON-able values."
        ) from error
    if len(text) > _LARGEST_DETAILS:
        raise InvalidInputError(
            f"the details of hw.approval have {len(text):,} bytes, and at most {_LARGEST_DETAILS:,} are shown. Leave "
            "the rest in a card or an artefact of the run."
        )
    return text


def _seconds(timeout: str) -> int:
    found = _LENGTH.fullmatch(timeout) if timeout else None
    if timeout and found is None:
        raise InvalidInputError(f"timeout = '{timeout}' of hw.approval is written 30m, 12h or 2d.")
    return int(found[1]) * _SECONDS[found[2]] if found else 0
