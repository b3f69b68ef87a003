"""Pulling a source: under its lease, from where the last pull ended, into one version with its proof."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..check import publish
from ..durable import crash_point
from ..errors import ConflictError, HeadwaterError, InvalidInputError
from ..lake import Version
from ..lake.refs import get_version
from ..lake.versions import commit_with
from ..ledger.keeping import Held
from ..operation import operation
from ..project import LocalProject, Project
from .declared import Bound, bind, find_declared
from .extracting import extractor
from .history import Start, find_start, read_pull, spelled, unsettled
from .intake import Intake
from .leasing import holding
from .secrets import scrubbed
from .source import ReadAgain
from .values import Pull
from .watching import watcher

if TYPE_CHECKING:
    from ..ledger import WriteTx

PROOF_FORMAT = "headwater.pull/1"
_LARGEST_STATE_BYTES = 256 << 20
_LARGEST_INLINE_BYTES = 4096
_LONGEST_MESSAGE = 4000
_TRIES = 5


@operation("ingest.pull", needs="data:write")
def pull(project: Project, name: str, parameters: dict[str, str] | None = None) -> Pull:
    """Pull a source: one new version if anything changed, with proof of where it came from; returns what was recorded.

    The version and the state from which the next pull goes on are recorded at once, or not at all. A protected branch
    takes the version only when its checks pass: otherwise ``outcome`` is ``quarantined``.

    Raises:
        NotFoundError: no source of that name is declared.
        InvalidInputError: a parameter or setting cannot be used.
        ConflictError: the same branch is being pulled into, or somebody moved it meanwhile.
        HeadwaterError: the source failed; the pull is recorded with the error, and nothing else changed.
    """
    return pull_bound(project, bind(project, find_declared(project, name), parameters or {}))


def pull_bound(project: Project, bound: Bound) -> Pull:
    """Pull a source whose parameters are filled in; does and raises what ``pull`` does."""
    with holding(project, f"ingest:{bound.dataset}:{bound.branch}") as held:
        _settle(project, bound, held)
        identifier = _begin(project, bound, held)
        crash_point("ingest.pull.begun")
        try:
            version = _pulled_in_the_end(project, bound, identifier, held)
        except BaseException as error:
            _record_failure(project, identifier, held, error)
            raise
        if version is not None:
            _publish(project, bound, identifier, version, held)
        crash_point("ingest.pull.ended")
    with project.ledger.read() as tx:
        found = read_pull(tx, identifier)
    assert found is not None  # recorded above, and pulls are not removed
    return found


def _pulled_in_the_end(project: Project, bound: Bound, identifier: str, held: Held) -> Version | None:
    """Pull until what was read is still as it was when it is recorded."""
    for left in reversed(range(_TRIES)):
        try:
            return _pulled(project, bound, identifier, held)
        except ReadAgain:
            if not left:
                raise
    raise AssertionError("unreachable")


def _pulled(project: Project, bound: Bound, identifier: str, held: Held) -> Version | None:
    """Take in what changed, and record it: as a version with its state, which comes back, or as nothing new."""
    with project.ledger.read() as tx:
        start = find_start(tx, bound.declared.name, bound.parameters, bound.dataset, bound.branch)
    with opened(project, bound, start, check=held.require) as into:
        pulled = bound.source.pull(start.state(project), into)
        state = _state_bytes(pulled.state)
        place = into.keep_object(state) if len(state) > _LARGEST_INLINE_BYTES else None
        put, remove = into.changes(pulled.mirror)
        proof = into.keep_object(_proof(bound, identifier, into, remove, project.clock())) if put or remove else None
    crash_point("ingest.pull.taken_in")

    def end(tx: WriteTx, version: Version | None, outcome: str) -> None:
        tx.fence(held.name, held.token)
        tx.execute(
            "UPDATE pulls SET version = ?, state = ?, state_object = ?, proof = ?, outcome = ?, message = ?, "
            "files = ?, bytes = ?, removed = ?, ended_at = ? WHERE id = ?",
            (
                version.id if version else None,
                None if place else state,
                place,
                proof,
                outcome,
                scrubbed(pulled.note)[:_LONGEST_MESSAGE],
                len(put),
                sum(entry.size for entry in put),
                len(remove),
                tx.now,
                identifier,
            ),
        )
        if pulled.also is not None:
            pulled.also(tx, f"pull:{identifier}")
        tx.announce("pull", f"pull:{identifier}")

    if not put and not remove:
        with project.ledger.write() as tx:
            end(tx, start.base, "unchanged")
        return None
    return commit_with(
        project,
        bound.dataset,
        put=put,
        remove=remove,
        base=start.base.id if start.base else None,
        message=f"pulled {bound.declared.name}{_told(bound)}",
        source=_origin(bound),
        produced_by=f"pull:{identifier}",
        also=lambda tx, version: end(tx, version, "committed"),
    )


@contextmanager
def opened(
    project: Project, bound: Bound, start: Start, *, check: Callable[[], None] | None = None
) -> Iterator[Intake]:
    """Yield the intake of one pull; what was put is durable after the block, and nowhere when it raised."""
    assert isinstance(project, LocalProject)  # operations run where the stores are
    spool = project.state / "spool"
    spool.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pull-", dir=spool) as folder, project.objects.batch() as batch:
        yield Intake(
            project,
            batch,
            base=start.base.id if start.base else None,
            under=bound.under,
            folder=Path(folder),
            source=bound.declared.name,
            parameters=bound.parameters,
            check=check,
            progress=watcher(),
            extract=extractor(bound.declared.extract),
        )


def _begin(project: Project, bound: Bound, held: Held) -> str:
    """Record that a pull runs. Those of this source that still seem to, while we hold the lease, were killed."""
    with project.ledger.write() as tx:
        tx.fence(held.name, held.token)
        tx.execute(
            "UPDATE pulls SET outcome = 'failed', ended_at = ?, message = ? "
            "WHERE dataset = ? AND branch = ? AND outcome = 'running'",
            (tx.now, "its process ended without a word; nothing of it was kept", bound.dataset, bound.branch),
        )
        identifier = tx.new_id()
        tx.insert(
            "pulls",
            id=identifier,
            source=bound.declared.name,
            parameters=spelled(bound.parameters),
            dataset=bound.dataset,
            branch=bound.branch,
            kind=bound.declared.kind,
            origin=_origin(bound),
            actor=project.actor.name,
            started_at=tx.now,
            outcome="running",
            message="",
            files=0,
            bytes=0,
            removed=0,
        )
        tx.edge(f"pull:{identifier}", "source", f"source:{_origin(bound)}")
    return identifier


def _settle(project: Project, bound: Bound, held: Held) -> None:
    """Publish what a pull recorded before it was killed or kept from publishing."""
    with project.ledger.read() as tx:
        waiting = unsettled(tx, bound.dataset, bound.branch)
    for each in waiting:
        assert each.version is not None  # asked for so
        with project.ledger.read() as tx:
            version = get_version(tx, each.version)
        try:
            _publish(project, bound, each.id, version, held)
        except ConflictError as error:
            _note_outcome(project, each.id, held, "overtaken", error.message)


def _publish(project: Project, bound: Bound, identifier: str, version: Version, held: Held) -> None:
    crash_point("ingest.pull.committed")
    held.require()
    try:
        published = publish(project, bound.dataset, version=version.id, branch=bound.branch)
    except HeadwaterError as error:
        _note_outcome(project, identifier, held, "committed", error.message)
        raise
    crash_point("ingest.pull.published")
    if published.published:
        _note_outcome(project, identifier, held, "published", "")
    else:
        _note_outcome(project, identifier, held, "quarantined", published.message)


def _note_outcome(project: Project, identifier: str, held: Held, outcome: str, message: str) -> None:
    with project.ledger.write() as tx:
        tx.fence(held.name, held.token)
        tx.execute("UPDATE pulls SET outcome = ? WHERE id = ?", (outcome, identifier))
        if message:
            tx.execute("UPDATE pulls SET message = ? WHERE id = ?", (message[:_LONGEST_MESSAGE], identifier))


def _record_failure(project: Project, identifier: str, held: Held, error: BaseException) -> None:
    """Record why a pull failed; a lost lease records nothing: whoever took it has said so already."""
    text = error.message if isinstance(error, HeadwaterError) else f"{type(error).__name__}: {error}"
    if isinstance(error, HeadwaterError):
        error.message = scrubbed(error.message)
        error.args = (error.message,)
        error.values = scrubbed(error.values)
    try:
        with project.ledger.write() as tx:
            tx.fence(held.name, held.token)
            tx.execute(
                "UPDATE pulls SET outcome = 'failed', message = ?, ended_at = ? WHERE id = ? AND outcome = 'running'",
                (scrubbed(text)[:_LONGEST_MESSAGE], tx.now, identifier),
            )
            tx.announce("pull", f"pull:{identifier}")
    except HeadwaterError as again:
        error.add_note(f"and it could not be recorded: {again.message}")


def _state_bytes(state: dict[str, Any]) -> bytes:
    try:
        data = msgspec.json.encode(scrubbed(state))
    except TypeError as error:
        raise InvalidInputError(f"the state of a source must be plain values that JSON has: {error}.") from error
    if len(data) > _LARGEST_STATE_BYTES:
        raise InvalidInputError(
            f"the state of this source has {len(data):,} bytes; at most {_LARGEST_STATE_BYTES:,} are kept. Split the "
            "source into several by a parameter or a pattern."
        )
    return data


def _proof(bound: Bound, identifier: str, into: Intake, removed: list[str], now: int) -> bytes:
    """Return the object that tells where each file came from: JSON, keys sorted."""
    document = {
        "format": PROOF_FORMAT,
        "pull": identifier,
        "source": bound.declared.name,
        "kind": bound.declared.kind,
        "origin": _origin(bound),
        "parameters": bound.parameters,
        "at": now,
        "files": [into.proofs[path] for path in sorted(into.proofs)],
        "removed": removed,
    }
    return msgspec.json.encode(document, enc_hook=str, order="sorted")


def _origin(bound: Bound) -> str:
    return f"{bound.declared.kind}:{scrubbed(bound.source.text)}"


def _told(bound: Bound) -> str:
    return "".join(f" {name}={value}" for name, value in sorted(bound.parameters.items()))
