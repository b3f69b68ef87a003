"""What only people can say of a model version: written at registration, and again whenever they know better."""

from __future__ import annotations

import re

import msgspec

from headwater.errors import InvalidInputError
from headwater.model import CardText, documents, get_model_version
from headwater.operation import operation
from headwater.project import Project

TITLES = {
    "intended_use": "Intended use",
    "limits": "Limits",
    "owner": "Owner",
    "licence": "Licence",
    "notes": "Notes",
}
"""The sections of a card that are people's own, by the field of ``CardText``."""
LEDGER_TITLES = (
    "Readiness",
    "Inputs",
    "Outputs",
    "Training",
    "Evaluation",
    "Calibration",
    "Slices",
    "Fairness",
    "Explanation",
    "Baselines",
    "Comparison",
    "Staleness",
    "Export parity",
    "Other evidence",
    "Not measured",
    "Files",
)
"""The sections that are made of the ledger."""
UNSAID = "_The author has not said._"
_HEADING = re.compile(r"^##\s+(.*?)\s*#*\s*$")


class CardWords(msgspec.Struct, frozen=True, kw_only=True):
    """The words that hold for a version's card, who wrote them last and when (UTC microseconds)."""

    words: CardText
    author: str
    claimed: bool
    written_at: int


@operation("model.card.words", needs="model:read")
def card_words(project: Project, model: str) -> CardWords:
    """Return the words of a version's card: those written last, else those it was registered with.

    Raises:
        NotFoundError: there is no such version.
    """
    version = get_model_version(project, model)
    with project.ledger.read() as tx:
        row = tx.one(
            "SELECT body, author, claimed, written_at FROM card_words WHERE version = ? ORDER BY id DESC LIMIT 1",
            (version.id,),
        )
    if row is None:
        return CardWords(
            words=version.card, author=version.author, claimed=version.claimed, written_at=version.created_at
        )
    words = msgspec.convert(documents.parse(row.body), CardText)
    return CardWords(words=words, author=row.author, claimed=bool(row.claimed), written_at=row.written_at)


@operation("model.card.write", needs="model:write")
def write_card(project: Project, model: str, words: dict[str, str]) -> CardWords:
    """Write some words of a version's card, keep the others, and return all; what stood there before stays on record.

    ``words`` maps ``intended_use``, ``limits``, ``owner``, ``licence`` and ``notes`` to Markdown.

    Raises:
        InvalidInputError: a name is none of these.
        NotFoundError: there is no such version.
    """
    unknown = sorted(words.keys() - TITLES.keys())
    if unknown:
        raise InvalidInputError(
            f"'{unknown[0]}' is not one of the author's parts of a card; there are {', '.join(TITLES)}.",
            name=unknown[0],
        )
    version = get_model_version(project, model)
    merged = msgspec.structs.replace(card_words(project, version.id).words, **words)
    with project.ledger.write() as tx:
        tx.insert(
            "card_words",
            id=tx.new_id(),
            version=version.id,
            body=documents.dump(merged),
            author=project.actor.name,
            claimed=int(project.actor.claimed),
            written_at=tx.now,
        )
        tx.announce("card", version.ref)
    return card_words(project, version.id)


def words_of_markdown(text: str) -> dict[str, str]:
    """Return the author's sections of a card that was edited: what stands under their titles, trimmed.

    Sections that the ledger writes are passed over, so that a whole card can be given back; a section that was left as
    it came says nothing.

    Raises:
        InvalidInputError: it has none of the author's titles, or one that no card has.
    """
    names = {title.casefold(): name for name, title in TITLES.items()}
    ledger = {title.casefold() for title in LEDGER_TITLES}
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    fenced = False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        heading = None if fenced else _HEADING.match(line)
        if heading or (line.startswith("# ") and not fenced):
            title = heading.group(1) if heading else ""
            if heading and title.casefold() not in ledger and title.casefold() not in names:
                raise InvalidInputError(
                    f"'## {title}' is no section of a card, so its words would be lost. Put them under "
                    "## Notes, with a heading of three #.",
                    title=title,
                )
            name = names.get(title.casefold())
            current = found.setdefault(name, []) if name else None
        elif current is not None:
            current.append(line)
    if not found:
        titles = ", ".join(f"## {title}" for title in TITLES.values())
        raise InvalidInputError(f"the text has none of the author's sections of a card: {titles}.")
    said = {name: "\n".join(lines).strip() for name, lines in found.items()}
    return {name: "" if value == UNSAID else value for name, value in said.items()}
