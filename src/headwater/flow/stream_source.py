"""One batch of a stream: what its source has, through the flow, into the lake."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Self

from headwater.durable import crash_point
from headwater.errors import InvalidInputError, UserCodeError
from headwater.ingest.intake import Intake
from headwater.ingest.source import Pulled, Source
from headwater.lake import Entry

from .stream_batches import (
    Reject,
    as_wanted,
    columns_of,
    count_of,
    joined,
    sample_of,
    split_unreadable,
    write_rejects,
    written,
)
from .stream_contracts import Contract, code_now, note_contract, require_contract, require_kept
from .stream_poison import without_poison

if TYPE_CHECKING:
    from headwater.ledger import WriteTx
    from headwater.project import Project

    from .running import Outcome
    from .streams import Stream


class StreamSource(Source):
    """Reads what its source has, as that source would, and puts what the flow makes of it."""

    kind: ClassVar[str] = "stream"

    def __init__(self, project: Project, stream: Stream, inner: Source, known_as: str) -> None:
        self._project = project
        self._stream = stream
        self._inner = inner
        self._known_as = known_as

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *, root: Path) -> Self:
        raise InvalidInputError("a stream is declared as [[stream]], and not as a source.")

    @property
    def text(self) -> str:
        return f"{self._stream.name} of {self._inner.kind}:{self._inner.text}"

    def waits(self, since: dict[str, Any] | None) -> bool:
        """Tell whether there is something to read; after a full batch, what the source says is not waited for."""
        # The first batch is made in any case: it says where a stream begins that reads the latest only.
        return since is None or bool(since.get("full")) or self.behind(since) != 0

    def behind(self, since: dict[str, Any] | None) -> int | None:
        return self._inner.behind((since or {}).get("inner"))

    def pull(self, since: dict[str, Any] | None, into: Intake) -> Pulled:
        state = since or {"inner": None, "parts": 0}
        number = int(state["parts"])
        dataset = self._stream.place[0]
        contract = require_contract(self._project, self._stream.name, dataset, self.output_of_sample)
        code = code_now(self._project)
        with tempfile.TemporaryDirectory(dir=into.folder) as name:
            folder = Path(name)
            caught = _Caught(into, folder, self._known_as)
            pulled = self._inner.pull(state["inner"], caught)
            if not caught.files:
                state = {"inner": pulled.state, "parts": number, "full": False}
                return Pulled(state=state, note=pulled.note, also=pulled.also)
            batch = joined(caught.files, folder)
            full = count_of(batch) >= self._stream.max_rows
            good, rejects = split_unreadable(batch, folder)
            outcome, more, used = self._made(good, folder)
            rejects += more
            crash_point("stream.batch.made")
            notes = [pulled.note]
            columns = None
            output = (
                None if outcome is None else written(outcome.returned, folder, contract.columns if contract else None)
            )
            if output is not None and count_of(output):
                columns = columns_of(output)
                if contract is not None:
                    require_kept(self._project, contract, dataset, columns)
                number += 1
                into.put_file(f"part-{number:08d}.parquet", output, proof={"batch": caught.proofs_in_order()})
            if outcome is not None:
                notes.append(f"run:{outcome.run.id}")
            kept = into.keep_object(write_rejects(rejects, folder).read_bytes()) if rejects else None
            sample = into.keep_object(sample_of(used, folder).read_bytes()) if columns is not None else None

        def also(tx: WriteTx, pull: str) -> None:
            if pulled.also is not None:
                pulled.also(tx, pull)
            if outcome is not None:
                tx.edge(pull, "run", f"run:{outcome.run.id}")
            if kept is not None:
                _record_rejects(tx, self._stream.name, pull, kept, rejects)
            if columns is not None and sample is not None:
                by = self._project.actor.name
                note_contract(tx, self._stream.name, columns, code=code, sample=sample, by=by)

        if rejects:
            notes.append(f"{len(rejects):,} records put apart, the first because {rejects[0].reason[:200]}")
        state = {"inner": pulled.state, "parts": number, "full": full}
        return Pulled(state=state, note="; ".join(notes), also=also)

    def output_of_sample(self, contract: Contract) -> dict[str, str]:
        """Return the columns that the flow as it is now makes of the records kept with a contract.

        Raises:
            UserCodeError: it fails on them.
        """
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            sample = folder / "sample.parquet"
            sample.write_bytes(self._project.objects.get(contract.sample))
            outcome = run_batch(self._project, self._stream, sample, trial=True)
            if outcome.status != "done":
                raise failed(self._stream, outcome)
            output = written(outcome.returned, folder, contract.columns)
            return {} if output is None else columns_of(output)

    def _made(self, good: Path, folder: Path) -> tuple[Outcome | None, list[Reject], Path]:
        """Return how the flow took a batch (None: nothing was left of it), what it could not take, and the rest."""
        if not count_of(good):
            return None, [], good
        outcome = run_batch(self._project, self._stream, good)
        if outcome.status == "done":
            return outcome, [], good
        if self._stream.poison == "stop":
            raise failed(self._stream, outcome)
        if outcome.status != "failed":
            raise failed(self._stream, outcome)
        rest, rejects = without_poison(
            good, folder, lambda part: run_batch(self._project, self._stream, part), self._stream.name,
            outcome.run.error,
        )  # fmt: skip
        outcome = run_batch(self._project, self._stream, rest)
        if outcome.status != "done":
            raise failed(self._stream, outcome)
        return outcome, rejects, rest


def run_batch(project: Project, stream: Stream, batch: Path, *, trial: bool = False) -> Outcome:
    """Run a stream's flow over a Parquet file of records and return how it went."""
    from .finding import find_flow
    from .running import execute_flow

    root = project.root
    assert root is not None  # where a stream is worked on has a folder
    function = find_flow(project, stream.flow, root).flow.function
    first, value = as_wanted(function, batch)
    tags = {"stream": stream.name, **({"trial": "contract"} if trial else {})}
    return execute_flow(project, stream.flow, stream.arguments, data={first: value}, tags=tags)


def failed(stream: Stream, outcome: Outcome) -> UserCodeError:
    """Return the error for a flow that cannot take a batch."""
    run = outcome.run
    return UserCodeError(
        f"stream '{stream.name}': the flow {stream.flow} {run.status} (run:{run.id}): {run.error}. Nothing was taken "
        "in, and the same records come again: correct the flow, then 'hw stream run' goes on.",
        run.traceback,
    )


class _Caught(Intake):
    """Takes what a source puts as files of a folder, and nothing of it goes to the lake."""

    def __init__(self, into: Intake, folder: Path, source: str) -> None:
        super().__init__(
            into.project,
            into._batch,
            base=None,
            under="",
            folder=into.folder,
            source=source,
            check=into._check,
        )
        self.files: list[Path] = []
        self._into = folder
        self._proven: list[Mapping[str, Any]] = []

    def put_file(
        self, path: str, stream: BinaryIO | bytes | Path, *, media: str | None = None, proof: Mapping[str, Any]
    ) -> Entry:
        if not isinstance(stream, Path) or not path.endswith(".parquet"):
            raise InvalidInputError(f"a stream takes tables, and its source gave the file '{path}'.", path=path)
        target = self._place()
        stream.rename(target)
        return self._caught(path, target, proof)

    def put_table(self, path: str, table: Any, *, proof: Mapping[str, Any]) -> Entry:
        from headwater.lake.tables import write_parquet

        target = self._place()
        write_parquet(table, target)
        return self._caught(path, target, proof)

    def proofs_in_order(self) -> list[Mapping[str, Any]]:
        """Return what the source said of each file."""
        return self._proven

    def _place(self) -> Path:
        return self._into / f"caught-{len(self.files)}.parquet"

    def _caught(self, path: str, target: Path, proof: Mapping[str, Any]) -> Entry:
        self.files.append(target)
        self._proven.append(dict(proof))
        return Entry(path=path, digest="0" * 64, size=target.stat().st_size)


def _record_rejects(tx: WriteTx, stream: str, pull: str, place: str, rejects: list[Reject]) -> None:
    tx.insert(
        "stream_rejects",
        id=tx.new_id(),
        stream=stream,
        pull=pull.removeprefix("pull:"),
        object=place,
        records=len(rejects),
        reason=rejects[0].reason[:2000],
        recorded_at=tx.now,
    )
