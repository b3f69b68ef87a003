"""Searching the catalogue: datasets by names, descriptions, columns, tags and sources; and refs for completion."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from ..errors import HeadwaterError, InvalidInputError
from ..operation import operation
from ..project import Project
from .catalogue import columns_of
from .refs import versions_where

if TYPE_CHECKING:
    from ..ledger import Tx

MOST_WORDS = 10
LOOK_UP_S = 5.0  # how long a search may look up columns that are not in the catalogue yet
_MATCHES = 20

_HEADS = "FROM pointers p JOIN versions v ON v.id = p.head"
_COLUMNS = f"{_HEADS} JOIN version_schemas s ON s.version = p.head JOIN schema_columns c ON c.schema = s.schema"
# What is searched: the place, how much a match there weighs, the query, and the field that is compared.
_PLACES: tuple[tuple[str, int, str, str], ...] = (
    ("name", 40, "SELECT name AS dataset, name, '' AS text FROM datasets WHERE", "name"),
    ("description", 10, "SELECT name AS dataset, '' AS name, description AS text FROM datasets WHERE", "description"),
    (
        "column",
        20,
        f"SELECT DISTINCT v.dataset AS dataset, c.name AS name, c.type AS text {_COLUMNS} WHERE p.kind = 'branch' AND",
        "c.name",
    ),
    (
        "type",
        4,
        f"SELECT DISTINCT v.dataset AS dataset, c.name AS name, c.type AS text {_COLUMNS} WHERE p.kind = 'branch' AND",
        "c.type",
    ),
    (
        "column description",
        10,
        "SELECT dataset, name, description AS text FROM column_descriptions WHERE",
        "description",
    ),
    ("tag", 12, f"SELECT v.dataset AS dataset, p.name AS name, '' AS text {_HEADS} WHERE p.kind = 'tag' AND", "p.name"),
    ("source", 5, "SELECT DISTINCT dataset, '' AS name, source AS text FROM versions WHERE", "source"),
)


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """Where a word was found: ``place`` is name, description, column, type, column description, tag or source."""

    place: str
    name: str
    text: str


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that holds every word somewhere, where, and how well: the larger the ``score``, the better."""

    dataset: str
    description: str
    score: int
    matches: tuple[Match, ...]


class SearchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The datasets found, best first. ``unread`` counts branch heads whose columns are not in the catalogue yet."""

    found: tuple[Found, ...]
    unread: int


@operation("data.search", needs="data:read")
def search(project: Project, words: str, limit: int = 50) -> SearchAnswer:
    """Return the datasets in which each of the words stands somewhere, in parts of words and any case, best first.

    Searched are names, descriptions, columns (names, types, descriptions) of branch heads, tags, and sources.

    Raises:
        InvalidInputError: there is no word, or more than ten; ``limit`` is not between 1 and 1,000.
    """
    asked = list(dict.fromkeys(words.lower().split()))
    if not 1 <= len(asked) <= MOST_WORDS:
        raise InvalidInputError(f"a search takes one to {MOST_WORDS} words, not {len(asked)}.", words=words)
    if not 1 <= limit <= 1000:
        raise InvalidInputError(f"a search returns 1 to 1,000 datasets, not {limit}.", limit=limit)
    unread = _look_up(project)
    with project.ledger.read() as tx:
        scores, matches = _every_word(tx, asked)
        best = sorted(scores, key=lambda dataset: (-scores[dataset], dataset))[:limit]
        said = {name: tx.value("SELECT description FROM datasets WHERE name = ?", (name,)) for name in best}
    return SearchAnswer(
        found=tuple(
            Found(
                dataset=name,
                description=str(said[name]),
                score=scores[name],
                matches=tuple(dict.fromkeys(matches[name]))[:_MATCHES],
            )
            for name in best
        ),
        unread=unread,
    )


@operation("data.refs", needs="data:read")
def ref_names(project: Project, beginning: str = "", limit: int = 1000) -> list[str]:
    """Return refs that begin so, for completion: datasets, and behind an ``@`` branches, tags and newest versions.

    Raises:
        InvalidInputError: ``limit`` is not between 1 and 10,000.
    """
    if not 1 <= limit <= 10_000:
        raise InvalidInputError(f"a list of refs holds 1 to 10,000, not {limit}.", limit=limit)
    dataset, at, _ = beginning.partition("@")
    with project.ledger.read() as tx:
        if not at:
            rows = tx.all("SELECT name FROM datasets WHERE name >= ? ORDER BY name LIMIT ?", (beginning, limit))
            return [row.name for row in rows if row.name.startswith(beginning)]
        names = [p.name.split("/", 1)[1] for kind in ("branch", "tag") for p in tx.pointers(kind, f"{dataset}/")]
        rows = tx.all("SELECT number FROM versions WHERE dataset = ? ORDER BY number DESC LIMIT 50", (dataset,))
    found = [f"{dataset}@{name}" for name in (*names, *(f"v{row.number}" for row in rows))]
    return [name for name in found if name.startswith(beginning)][:limit]


def _every_word(tx: Tx, asked: list[str]) -> tuple[dict[str, int], dict[str, list[Match]]]:
    """Return the score of each dataset that has all of the words, and its matches."""
    scores: dict[str, int] | None = None
    matches: dict[str, list[Match]] = {}
    for word in asked:
        found = _one_word(tx, word, matches)
        scores = found if scores is None else {name: scores[name] + found[name] for name in scores.keys() & found}
    return scores or {}, matches


def _one_word(tx: Tx, word: str, matches: dict[str, list[Match]]) -> dict[str, int]:
    pattern = "%" + word.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"
    scores: dict[str, int] = {}
    for place, weight, query, field in _PLACES:
        best: dict[str, int] = {}
        for row in tx.all(f"{query} lower({field}) LIKE ? ESCAPE '!'", (pattern,)):
            name = row.name.partition("/")[2] if place == "tag" else row.name
            exact = name.lower() == word
            best[row.dataset] = max(best.get(row.dataset, 0), weight * (2 if exact else 1))
            matches.setdefault(row.dataset, []).append(Match(place=place, name=name, text=row.text[:300]))
        for dataset, score in best.items():
            scores[dataset] = scores.get(dataset, 0) + score
    return scores


def _look_up(project: Project) -> int:
    """Look up the columns of branch heads that the catalogue lacks, for a while; return how many are left."""
    with project.ledger.read() as tx:
        waiting = versions_where(
            tx,
            "id IN (SELECT p.head FROM pointers p WHERE p.kind = 'branch') "
            "AND NOT EXISTS (SELECT 1 FROM version_schemas s WHERE s.version = versions.id) "
            "ORDER BY id DESC LIMIT 1000",
            (),
        )
    until = time.monotonic() + LOOK_UP_S
    unread = 0
    for version in waiting:
        try:
            if time.monotonic() > until:
                unread += 1
            else:
                columns_of(project, version)
        except HeadwaterError:  # bytes that are gone, a table that cannot be read: found by its name all the same
            unread += 1
    return unread
