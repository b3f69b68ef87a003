"""Refs: ``flights``, ``flights@main``, ``flights@v12``, ``flights@2026-11-01``, ``flights@<id>``, a tag, a bare id."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInputError, NotFoundError
from ..ids import is_id
from ..ids import parse as parse_id
from ..operation import operation
from ..project import Project
from .names import DATE, NUMBER, first_few
from .values import Version

if TYPE_CHECKING:
    from ..ledger import Tx

MAIN = "main"
COLUMNS = (
    "id, dataset, number, parents, root, record, message, author, source, produced_by, inputs, files, bytes, rows, "
    "created_at"
)


@operation("data.version.resolve", needs="data:read")
def resolve(project: Project, ref: str) -> Version:
    """Return the version that a ref names now.

    ``flights`` is the head of ``main``; a date or time (UTC) is the head of ``main`` as it stood then.

    Raises:
        NotFoundError: there is no such dataset, version, branch or tag; the message names those there are.
    """
    with project.ledger.read() as tx:
        return find_version(tx, ref)


def find_version(tx: Tx, ref: str) -> Version:
    """Return the version that a ref names, read in this transaction; raises as ``resolve`` does."""
    text = ref.removeprefix("version:")
    if "@" not in text and is_id(text):
        return _by_id(tx, parse_id(text), ref)
    dataset, _, name = text.partition("@")
    require_dataset(tx, dataset)
    name = name or MAIN
    if found := NUMBER.fullmatch(name):
        row = _one(tx, "dataset = ? AND number = ?", (dataset, int(found[1])))
        if row is None:
            raise NotFoundError(
                f"dataset '{dataset}' has no version {name}. 'hw data log {dataset}' lists those it has.", ref=ref
            )
        return version_of(row)
    if DATE.fullmatch(name):
        return _as_of(tx, dataset, name, ref)
    if is_id(name):
        version = _by_id(tx, parse_id(name), ref)
        if version.dataset != dataset:
            raise NotFoundError(
                f"version {name} is of dataset '{version.dataset}', not '{dataset}': it is {version.ref}.", ref=ref
            )
        return version
    return _by_name(tx, dataset, name, ref)


def _by_name(tx: Tx, dataset: str, name: str, ref: str) -> Version:
    head = tx.pointer("branch", f"{dataset}/{name}") or tx.pointer("tag", f"{dataset}/{name}")
    if head is not None:
        return _by_id(tx, head, ref)
    if name == MAIN:
        raise NotFoundError(
            f"dataset '{dataset}' has no branch 'main' yet: none of its versions was published. "
            f"'hw data log {dataset}' lists them; read one as {dataset}@v1, or publish it.",
            ref=ref,
        )
    known = [p.name.split("/", 1)[1] for kind in ("branch", "tag") for p in tx.pointers(kind, f"{dataset}/")]
    having = f"It has {first_few(known, len(known))}" if known else "It has none yet"
    raise NotFoundError(f"dataset '{dataset}' has no branch or tag '{name}'. {having}.", ref=ref)


def _as_of(tx: Tx, dataset: str, when: str, ref: str) -> Version:
    at = parse_time_us(when)
    head = tx.pointer_as_of("branch", f"{dataset}/{MAIN}", at)
    if head is None:
        raise NotFoundError(
            f"nothing of dataset '{dataset}' was published by {when} (UTC). 'hw data log {dataset}' has the dates.",
            ref=ref,
        )
    return _by_id(tx, head, ref)


def parse_time_us(text: str) -> int:
    """Return a date (00:00) or time as UTC microseconds; a time without zone is UTC.

    Raises:
        InvalidInputError: the text is not a date or time of ISO 8601.
    """
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(
            f"'{text}' is not a date or time: write 2026-11-01 or 2026-11-01T13:30 (UTC).", text=text
        ) from None
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    delta = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def require_dataset(tx: Tx, dataset: str) -> None:
    """Raise NotFoundError unless the dataset exists; the message names those that look like it."""
    if tx.one("SELECT name FROM datasets WHERE name = ?", (dataset,)) is not None:
        return
    import difflib

    names = [row.name for row in tx.all("SELECT name FROM datasets ORDER BY name LIMIT 1000")]
    close = difflib.get_close_matches(dataset, names, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise NotFoundError(
        f"there is no dataset '{dataset}'.{hint} 'hw data list' shows those there are.", dataset=dataset
    )


def get_version(tx: Tx, identifier: str) -> Version:
    """Return the version of an id, or raise NotFoundError."""
    return _by_id(tx, identifier, identifier)


def versions_where(tx: Tx, where: str, params: tuple[Any, ...]) -> list[Version]:
    """Return the versions that an SQL condition selects (it may end in ORDER BY and LIMIT)."""
    return [version_of(row) for row in tx.all(f"SELECT {COLUMNS} FROM versions WHERE {where}", params)]


def _by_id(tx: Tx, identifier: str, ref: str) -> Version:
    row = _one(tx, "id = ?", (identifier,))
    if row is None:
        raise NotFoundError(f"there is no version {identifier}. 'hw data list' shows what there is.", ref=ref)
    return version_of(row)


def _one(tx: Tx, where: str, params: tuple[Any, ...]) -> Any:
    return tx.one(f"SELECT {COLUMNS} FROM versions WHERE {where}", params)


def version_of(row: Any) -> Version:
    """Return the version of a row of ``COLUMNS``."""
    return Version(
        id=row.id,
        dataset=row.dataset,
        number=row.number,
        parents=tuple(row.parents.split()),
        root=row.root,
        record=row.record,
        message=row.message,
        author=row.author,
        source=row.source,
        produced_by=row.produced_by,
        inputs=tuple(row.inputs.split()),
        files=row.files,
        bytes=row.bytes,
        rows=row.rows,
        created_at=row.created_at,
    )
