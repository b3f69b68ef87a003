"""Streams: a flow over what keeps coming, batch by batch, each batch exactly once into the lake.

A batch is a pull whose records go through the flow before they are put: the output and the offsets are recorded in
one transaction (ingest/pulling.py), so that a crash at any moment neither loses nor repeats a record.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from headwater.errors import HeadwaterError, InvalidInputError, NotFoundError
from headwater.ingest.declared import Bound, Declared, bind, find_declared
from headwater.ingest.history import find_start, page_of_pulls
from headwater.ingest.kinds import make_source
from headwater.ingest.pulling import pull_bound
from headwater.ingest.source import Source
from headwater.ingest.values import Pull
from headwater.jobs import Trigger
from headwater.jobs.schedules import period_us
from headwater.jobs.triggers import DECLARERS
from headwater.lake.names import check_dataset_name
from headwater.lake.refs import MAIN
from headwater.operation import operation

from .stream_batches import records_of
from .stream_contracts import Contract, code_now, find_contract, note_contract
from .stream_source import StreamSource

if TYPE_CHECKING:
    from headwater.project import Project, Settings

LONGEST_S = 60.0
KINDS = ("kafka", "events", "webhook")
_NOWHERE = object()


class Stream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[stream]]`` of headwater.toml.

    ``flow`` (``module:name``) takes a batch as its first argument and returns the rows to keep: a frame, or a list of
    dicts. What it takes follows from the annotation: polars.DataFrame, pandas.DataFrame, pyarrow.Table, else a list of
    dicts. ``source`` is the name of a declared source, or the settings of one (``kind = "kafka"``, ...). ``into`` is
    ``dataset@branch``. ``every``: how often what came is taken in; a batch has at most ``max_rows``, and what comes in
    that time. ``poison``: what
    records do that the flow cannot take: ``quarantine`` keeps them apart with the reason, ``stop`` ends the batch.
    """

    name: str
    flow: str
    source: str | dict[str, Any]
    into: str
    every: str = "10s"
    max_rows: int = 50_000
    poison: Literal["quarantine", "stop"] = "quarantine"
    arguments: dict[str, Any] = {}
    description: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """Dataset and branch."""
        dataset, _, branch = self.into.partition("@")
        return dataset, branch or MAIN


class StreamStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as it stands. ``behind`` is how many records wait (None: the source did not say, see ``problem``)."""

    stream: Stream
    origin: str
    behind: int | None
    last: Pull | None
    contract: Contract | None
    rejected: int
    problem: str = ""


class Advance(msgspec.Struct, frozen=True, kw_only=True):
    """What came of working on a stream: its batches in order."""

    stream: str
    batches: tuple[Pull, ...]


def declared_streams(settings: Settings) -> list[Stream]:
    """Return the streams of headwater.toml in their order.

    Raises:
        InvalidInputError: one is not as it should be; the message names it.
    """
    found = [_read(row) for row in settings.rows("stream")]
    names = [stream.name for stream in found]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInputError(f"headwater.toml declares two streams called '{name}'. Rename one.", stream=name)
    return found


def find_stream(project: Project, name: str) -> Stream:
    """Return the declared stream of a name.

    Raises:
        NotFoundError: headwater.toml has none.
    """
    found = declared_streams(project.settings)
    for stream in found:
        if stream.name == name:
            return stream
    known = ", ".join(stream.name for stream in found) or "none"
    raise NotFoundError(f"there is no stream '{name}'. headwater.toml declares: {known}.", stream=name)


@operation("stream.advance", needs="data:write")
def advance_stream(project: Project, name: str, *, batches: int = 0, longest_s: float = LONGEST_S) -> Advance:
    """Take in what came, batch by batch, until nothing waits, ``batches`` are done (0: any number) or time is over.

    Each batch is one run of the flow and one version. Records wait at the source while a batch is worked on: a slow
    flow makes the stream fall behind, which ``stream.status`` shows, and never takes more memory.

    Raises:
        NotFoundError: there is no such stream.
        RefusedError: the flow as it is now breaks the stream's contract; nothing was read.
        UserCodeError: the flow fails on the batch as a whole; nothing was taken in, and it comes again.
        ConflictError: somebody works on this stream.
    """
    stream = find_stream(project, name)
    bound = _bound(project, stream)
    until = time.monotonic() + longest_s
    done: list[Pull] = []
    before: object = _NOWHERE
    while not batches or len(done) < batches:
        source, state = _stands(project, bound)
        # Where a batch took nothing, what waits cannot be read yet (a writer of events still holds it).
        if state == before or not source.waits(state):
            break
        before = state
        done.append(pull_bound(project, bound))
        if time.monotonic() >= until or done[-1].outcome not in ("published", "unchanged"):
            break
    return Advance(stream=name, batches=tuple(done))


@operation("stream.list", needs="data:read")
def list_streams(project: Project) -> list[Stream]:
    """Return the declared streams in their order."""
    return declared_streams(project.settings)


@operation("stream.status", needs="data:read")
def stream_status(project: Project, name: str) -> StreamStatus:
    """Return how far a stream is, what it promises, and what it could not take.

    Raises:
        NotFoundError: there is no such stream.
    """
    stream = find_stream(project, name)
    bound = _bound(project, stream)
    behind, problem = None, ""
    try:
        source, state = _stands(project, bound)
        behind = source.behind(state)
    except HeadwaterError as error:
        problem = error.message
    with project.ledger.read() as tx:
        pulls = page_of_pulls(tx, bound.declared.name, None, limit=1, before=None)
        rejected = tx.value("SELECT sum(records) FROM stream_rejects WHERE stream = ?", (name,))
        return StreamStatus(
            stream=stream,
            origin=bound.source.text,
            behind=behind,
            last=pulls[0] if pulls else None,
            contract=find_contract(tx, name),
            rejected=int(rejected or 0),
            problem=problem,
        )


@operation("stream.accept", needs="data:write")
def accept_contract(project: Project, name: str, reason: str) -> Contract:
    """Let a stream promise what its flow makes now, and return the new contract; its consumers should know.

    Raises:
        NotFoundError: there is no such stream.
        InvalidInputError: it has no contract yet: its first batch makes one. Or the reason is missing.
        UserCodeError: the flow fails on the contract's sample.
    """
    if not reason.strip():
        raise InvalidInputError("a changed contract needs a reason: its consumers will ask for it.")
    stream = find_stream(project, name)
    with project.ledger.read() as tx:
        before = find_contract(tx, name)
    if before is None:
        raise InvalidInputError(f"stream '{name}' has no contract yet: its first batch makes one.", stream=name)
    source, _ = _stands(project, _bound(project, stream))
    code = code_now(project)
    columns = source.output_of_sample(before)
    with project.ledger.write() as tx:
        by = project.actor.name
        note_contract(tx, name, columns, code=code, sample=before.sample, by=by, reason=reason)
        found = find_contract(tx, name)
    assert found is not None  # just recorded
    return found


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A record that a stream could not take: as JSON, with the reason and the pull in which it came."""

    pull: str
    at: int
    record: Any
    reason: str


@operation("stream.rejects", needs="data:read")
def list_rejects(project: Project, name: str, *, limit: int = 100) -> list[Rejected]:
    """Return the records that a stream could not take, those of the newest batch first."""
    with project.ledger.read() as tx:
        rows = tx.all(
            "SELECT pull, object, recorded_at FROM stream_rejects WHERE stream = ? ORDER BY id DESC LIMIT ?",
            (name, max(1, min(limit, 1000))),
        )
    found: list[Rejected] = []
    for row in rows:
        with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
            file.write(project.objects.get(row.object))
            file.flush()
            for each in records_of(Path(file.name)):
                record = msgspec.json.decode(each["record"])
                found.append(Rejected(pull=row.pull, at=row.recorded_at, record=record, reason=each["reason"]))
        if len(found) >= limit:
            break
    return found[:limit]


def _bound(project: Project, stream: Stream) -> Bound:
    """Return the stream as what can be pulled: its source, with the flow before the lake."""
    dataset, branch = stream.place
    inner, known_as = _source(project, stream)
    return Bound(
        declared=Declared(name=f"stream:{stream.name}", kind="stream", dataset=dataset, branch=branch),
        parameters={},
        dataset=dataset,
        branch=branch,
        under="",
        source=StreamSource(project, stream, inner, known_as),
    )


def _source(project: Project, stream: Stream) -> tuple[Source, str]:
    """Return the source that a stream reads, and the name by which it is declared."""
    if isinstance(stream.source, str):
        declared = find_declared(project, stream.source)
        kind, settings = declared.kind, dict(declared.settings)
        if declared.kind == "webhook":
            return bind(project, declared, {}).source, declared.name
    else:
        settings = dict(stream.source)
        kind = str(settings.pop("kind", ""))
    root: Path = project.root if project.root is not None else _nowhere(project)
    if kind == "events":
        settings["max_rows"] = min(int(settings.get("max_rows", stream.max_rows)), stream.max_rows)
        return make_source(kind, settings, root=root).placed(project, stream.name, {}), stream.name
    if kind != "kafka":
        raise InvalidInputError(
            f"stream '{stream.name}' reads a source of kind '{kind}', and a stream reads one of: {', '.join(KINDS)} "
            "(a webhook by the name of its [[source]]).",
            stream=stream.name,
        )
    settings["max_records"] = min(int(settings.get("max_records", stream.max_rows)), stream.max_rows)
    # A topic that is written to all the time has no end: a batch is over when the next one is due.
    settings["max_seconds"] = min(float(settings.get("max_seconds", LONGEST_S)), period_us(stream.every) / 1e6)
    if stream.poison == "quarantine":
        settings["bad"] = "keep"
    return make_source("kafka", settings, root=root).placed(project, stream.name, {}), stream.name


def _nowhere(project: Project) -> Path:
    raise InvalidInputError("a stream is worked on where the project's folder is: run it there, or by a worker.")


def _stands(project: Project, bound: Bound) -> tuple[StreamSource, dict[str, Any] | None]:
    """Return what a stream reads, and where its last batch ended."""
    assert isinstance(bound.source, StreamSource)
    with project.ledger.read() as tx:
        start = find_start(tx, bound.declared.name, bound.parameters, bound.dataset, bound.branch)
    return bound.source, start.state(project)


def _read(row: dict[str, Any]) -> Stream:
    shown = row.get("name", "(without a name)")
    try:
        found = msgspec.convert(row, Stream)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"[[stream]] '{shown}' in headwater.toml cannot be read: {error}.") from error
    check_dataset_name(found.place[0])
    period_us(found.every)
    if found.max_rows < 1:
        raise InvalidInputError(f"[[stream]] '{shown}' in headwater.toml: 'max_rows' is at least 1.", stream=found.name)
    return found


def _triggers(settings: Settings) -> list[Trigger]:
    """Return the schedule of each stream: a job whenever it is due and the one before is over."""
    return [
        Trigger(
            name=f"stream:{stream.name}",
            on="schedule",
            operation="stream.advance",
            arguments={"name": stream.name},
            every=stream.every,
            limit=1,
            attempts=1,
            actor=f"stream:{stream.name}",
        )
        for stream in declared_streams(settings)
    ]


DECLARERS.append(_triggers)
