"""What the output of a stream promises to its consumers, and that a changed flow still keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from headwater.errors import RefusedError

if TYPE_CHECKING:
    from headwater.ledger import Tx, WriteTx
    from headwater.project import Project

_COLUMNS = "stream, number, promised, code, sample, recorded_at, recorded_by, reason"
_MOST_CONSUMERS = 20


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a stream's output with their DuckDB types, in order; ``number`` counts its changes."""

    stream: str
    number: int
    columns: dict[str, str]
    code: str
    sample: str
    recorded_at: int
    recorded_by: str
    reason: str


def find_contract(tx: Tx, stream: str) -> Contract | None:
    """Return the contract of a stream, None before its first batch."""
    row = tx.one(f"SELECT {_COLUMNS} FROM stream_contracts WHERE stream = ? ORDER BY number DESC LIMIT 1", (stream,))
    if row is None:
        return None
    found = row.as_dict()
    return Contract(columns=msgspec.json.decode(found.pop("promised"), type=dict[str, str]), **found)


def code_now(project: Project) -> str:
    """Return the digest of the project's code as it is now."""
    from .tree import read_tree

    assert project.root is not None  # where a stream is worked on has a folder
    return read_tree(project.root.absolute()).digest


def require_contract(
    project: Project, stream: str, dataset: str, output: Callable[[Contract], Mapping[str, str]]
) -> Contract | None:
    """Return a stream's contract when the flow as it is now keeps it; None before the first batch.

    Code that the contract was not yet held against is tried first: ``output`` gives the columns that it makes of the
    contract's sample.

    Raises:
        RefusedError: it breaks the contract; the message names columns and consumers.
    """
    with project.ledger.read() as tx:
        contract = find_contract(tx, stream)
    if contract is None:
        return None
    code = code_now(project)
    if contract.code != code:
        require_kept(project, contract, dataset, output(contract))
        with project.ledger.write() as tx:
            tx.execute(
                "UPDATE stream_contracts SET code = ? WHERE stream = ? AND number = ?", (code, stream, contract.number)
            )
    return contract


def require_kept(project: Project, contract: Contract, dataset: str, columns: Mapping[str, str]) -> None:
    """Raise RefusedError unless columns keep a contract: each is there, with its type. More columns are no break."""
    broken = [
        f"column '{name}' ({kind}) would be gone" if name not in columns else
        f"column '{name}' was {kind} and would be {columns[name]}"
        for name, kind in contract.columns.items()
        if columns.get(name) != kind
    ]  # fmt: skip
    if not broken:
        return
    with project.ledger.read() as tx:
        consumers = consumers_of(tx, dataset)
    who = f"Consumers: {', '.join(consumers)}" if consumers else "Nobody has read it yet"
    raise RefusedError(
        f"the flow of stream '{contract.stream}' breaks the contract of '{dataset}': {'; '.join(broken)}. {who}. "
        "Nothing was taken in. Correct the flow; or, when the consumers know, run: "
        f"hw stream accept {contract.stream} --reason '...'",
        stream=contract.stream,
        broken=broken,
        consumers=consumers,
    )


def note_contract(
    tx: WriteTx, stream: str, columns: Mapping[str, str], *, code: str, sample: str, by: str, reason: str = ""
) -> None:
    """Record what a stream's output is, where that is new: its first batch, more columns, or accepted by a person."""
    before = find_contract(tx, stream)
    if before is not None and list(before.columns.items()) == list(columns.items()) and not reason:
        return
    if not reason:
        added = [name for name in columns if before is not None and name not in before.columns]
        reason = f"more columns: {', '.join(added)}" if before is not None else "the first batch"
        columns = {**(before.columns if before is not None else {}), **columns}
        if before is not None and not added:
            return  # the same columns in another order
    tx.insert(
        "stream_contracts",
        stream=stream,
        number=before.number + 1 if before is not None else 1,
        promised=msgspec.json.encode(dict(columns)).decode(),
        code=code,
        sample=sample,
        recorded_at=tx.now,
        recorded_by=by,
        reason=reason,
    )
    tx.announce("stream.contract", f"stream:{stream}")


def consumers_of(tx: Tx, dataset: str) -> list[str]:
    """Return who read versions of a dataset: flows, steps, datasets, as people read them."""
    rows = tx.all(
        "SELECT DISTINCT edges.child AS child FROM versions JOIN edges ON edges.parent = 'version:' || versions.id "
        "WHERE versions.dataset = ? AND edges.role IN ('read', 'input') ORDER BY edges.child DESC LIMIT 500",
        (dataset,),
    )
    found: dict[str, None] = {}
    for row in rows:
        kind, _, identifier = row.child.partition(":")
        found.setdefault(_named(tx, kind, identifier) or row.child)
    return [name for name in found if name != f"dataset {dataset}"][:_MOST_CONSUMERS]


def _named(tx: Tx, kind: str, identifier: str) -> str:
    if kind == "run":
        row = tx.one("SELECT flow, name FROM runs WHERE id = ?", (identifier,))
        return f"flow {row.flow or row.name}" if row else ""
    if kind == "result":
        row = tx.one("SELECT step FROM results WHERE id = ?", (identifier,))
        return f"step {row.step}" if row else ""
    if kind == "version":
        row = tx.one("SELECT dataset FROM versions WHERE id = ?", (identifier,))
        return f"dataset {row.dataset}" if row else ""
    if kind == "modelversion":
        row = tx.one("SELECT model FROM model_versions WHERE id = ?", (identifier,))
        return f"model {row.model}" if row else ""
    return ""
