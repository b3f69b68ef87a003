"""A worker: takes one job after the other, says that it lives, and records how each ended."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.canonical import encode
from headwater.errors import (
    ConflictError,
    DeniedError,
    HeadwaterError,
    InvalidInputError,
    MissingExtraError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    UpgradeNeededError,
    UserCodeError,
)
from headwater.ledger import Lease, renew_lease
from headwater.operation import get_operation

from .fencing import Hand, holding
from .leasing import anything_to_do, finish, give_back, park, take_job
from .limits import declared_limits
from .queue import actor_of, read_job
from .values import FLOW_OPERATION, Job

if TYPE_CHECKING:
    from headwater.ledger import WriteTx
    from headwater.project import Project

LEASE_S = 60.0
BACKOFF_S = 10.0
LOOK_S = 1.0
AGAIN_S = 0.5
LONGEST_BACKOFF_S = 3600.0
LARGEST_RESULT_BYTES = 256 << 10
_LONGEST_ERROR = 8000
# Trying again cannot change these answers.
_FINAL = (InvalidInputError, NotFoundError, RefusedError, DeniedError, MissingExtraError, UpgradeNeededError)
_log = logging.getLogger("headwater.jobs")


class Worker:
    """Runs jobs of a project, one at a time, each as the person or trigger it belongs to.

    ``labels`` name what this worker is fit for (``gpu``); it also takes jobs without a label. A job whose worker is
    silent for ``lease_s`` seconds is given to another; what the silent one still does is not recorded.
    """

    def __init__(
        self,
        project: Project,
        *,
        name: str = "",
        labels: Sequence[str] = (),
        lease_s: float = LEASE_S,
        backoff_s: float = BACKOFF_S,
    ) -> None:
        self._project = project
        self._labels = tuple(labels)
        self._lease_s = lease_s
        self._backoff_s = backoff_s
        self._limits = declared_limits(project.settings)
        self.name = name or f"{socket.gethostname()}:{os.getpid()}:{os.urandom(3).hex()}"

    def run_once(self) -> Job | None:
        """Run the next job that is due and return it as it is afterwards; None when none is due."""
        with self._project.ledger.read() as tx:
            if not anything_to_do(tx, self._labels):
                return None
        with self._project.ledger.write() as tx:
            taken = take_job(tx, self.name, self._labels, ttl_s=self._lease_s, limits=self._limits)
        if taken is None:
            return None
        job, lease = taken
        try:
            self._run(job, lease)
        except ConflictError as error:
            _log.warning("job %s is no longer this worker's, so nothing was recorded: %s", job.id, error.message)
        with self._project.ledger.read() as tx:
            return read_job(tx, job.id)

    def _run(self, job: Job, lease: Lease) -> None:
        hand = Hand(lease)
        with self._beating(hand):
            try:
                with holding(self._project.ledger, hand):
                    result = self._call(job)
                if hand.until is None:
                    self._record_done(job, lease, result)
                else:
                    self._park(lease, result, hand.until)
            except (KeyboardInterrupt, SystemExit):
                self._give_back(lease)
                raise
            except Exception as error:  # noqa: BLE001  # an operation may raise anything; all of it is recorded
                self._record_failure(job, hand, error)

    def _call(self, job: Job) -> Any:
        operation = get_operation(job.operation)
        arguments = typed_arguments(operation.name, operation.signature().parameters, job.arguments)
        with self._project.ledger.read() as tx:
            actor = actor_of(tx, job.id)
        return self._project.as_actor(actor).call(operation, (), arguments)

    def _record_done(self, job: Job, lease: Lease, result: Any) -> None:
        if job.operation == FLOW_OPERATION and result.status != "done":
            # A flow returns its failed run, because a person wants to look at it; a job has failed then.
            raise UserCodeError(f"run:{result.id} {result.status}: {result.error}", result.traceback)
        self._insist(lambda tx: finish(tx, lease, status="done", result=_encoded(result)))

    def _park(self, lease: Lease, result: Any, until: int) -> None:
        self._insist(lambda tx: park(tx, lease, until=until, result=_encoded(result)))

    def _insist(self, record: Callable[[WriteTx], None]) -> None:
        """Record how a job went, also where the database is away for less than the lease: the work is done already.

        What is recorded twice because the answer to the first time was lost is refused by the fence.
        """
        until = time.monotonic() + self._lease_s
        while True:
            try:
                with self._project.ledger.write() as tx:
                    record(tx)
                return
            except UnavailableError:
                if time.monotonic() >= until:
                    raise
                time.sleep(AGAIN_S)

    def _record_failure(self, job: Job, hand: Hand, error: Exception) -> None:
        lease, message = hand.lease, _described(error)
        with self._project.ledger.write() as tx:
            if hand.final or isinstance(error, _FINAL) or job.attempts >= job.most_attempts:
                finish(tx, lease, status="failed", error=message)
            else:
                wait_s = min(self._backoff_s * 2 ** (job.attempts - 1), LONGEST_BACKOFF_S)
                give_back(tx, lease, delay_us=round(wait_s * 1_000_000), error=message)

    def _give_back(self, lease: Lease) -> None:
        with self._project.ledger.write() as tx:
            give_back(tx, lease, delay_us=0, error="its worker was stopped; it waits for another")

    @contextmanager
    def _beating(self, hand: Hand) -> Iterator[None]:
        """Renew the lease three times in its length, from a thread of its own, while the job runs.

        In between it looks whether the job is still this worker's: what was cancelled is to stop within a second.
        """
        stop = threading.Event()

        def beat() -> None:
            renewed = time.monotonic()
            while not stop.wait(min(LOOK_S, self._lease_s / 3)):
                try:
                    if time.monotonic() - renewed >= self._lease_s / 3:
                        renewed = time.monotonic()
                        self._heartbeat(hand.lease)
                    elif not self._is_ours(hand.lease):
                        hand.lost.set()
                        return
                except ConflictError:
                    hand.lost.set()
                    return  # whatever the job still records is refused by its fence
                except HeadwaterError:
                    _log.warning("job %s: a heartbeat failed; it is tried again", hand.lease.name, exc_info=True)

        thread = threading.Thread(target=beat, name=f"heartbeat-{hand.lease.name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _heartbeat(self, lease: Lease) -> None:
        with self._project.ledger.write() as tx:
            renew_lease(tx, lease, ttl_s=self._lease_s)
            identifier = lease.name.removeprefix("job:")
            tx.execute("UPDATE jobs SET heartbeat_at = ? WHERE id = ?", (tx.database_now(), identifier))

    def _is_ours(self, lease: Lease) -> bool:
        with self._project.ledger.read() as tx:
            return bool(tx.value("SELECT token FROM leases WHERE name = ?", (lease.name,)) == lease.token)


def typed_arguments(
    operation: str, parameters: dict[str, tuple[Any, bool, Any]], given: dict[str, Any]
) -> dict[str, Any]:
    """Return plain values as the types that an operation's parameters have.

    Raises:
        InvalidInputError: one is unknown, missing, or does not fit.
    """
    unknown = sorted(set(given) - set(parameters))
    missing = sorted(name for name, (_, required, _) in parameters.items() if required and name not in given)
    if unknown or missing:
        says = [f"it has no argument '{name}'" for name in unknown] + [f"'{name}' is missing" for name in missing]
        raise InvalidInputError(
            f"'{operation}' cannot be run like this: {', '.join(says)}. "
            f"It takes: {', '.join(parameters) or 'nothing'}.",
            operation=operation,
        )
    try:
        return {
            name: msgspec.convert(value, parameters[name][0], builtin_types=(bytes,)) for name, value in given.items()
        }
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"the arguments of '{operation}' do not fit: {error}.", operation=operation) from error


def _encoded(result: Any) -> bytes:
    plain = msgspec.to_builtins(result, builtin_types=(bytes,), enc_hook=str)
    data = encode(plain)
    if len(data) > LARGEST_RESULT_BYTES:
        return encode({"left_out": f"the result has {len(data):,} bytes; at most {LARGEST_RESULT_BYTES:,} are kept"})
    return data


def _described(error: Exception) -> str:
    """Return what to show of an error: a message of ours as it is, anything else with its traceback."""
    if isinstance(error, UserCodeError):
        text = f"{error.message}\n{error.traceback}"
    elif isinstance(error, HeadwaterError):
        text = error.message
    else:
        text = "".join(traceback.format_exception(error))
    return text if len(text) <= _LONGEST_ERROR else f"{text[:1000]}\n...\n{text[-_LONGEST_ERROR + 1100 :]}"
