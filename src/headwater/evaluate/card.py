"""The card of a model version: one Markdown page made of the ledger, with the author's words merged in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headwater.errors import NotFoundError
from headwater.lake import resolve
from headwater.model import Field, ModelVersion, get_model_version
from headwater.model.value_checks import expectation
from headwater.operation import operation
from headwater.project import Project

from .card_evidence import evidence_sections
from .card_text import Link, moment, table
from .evidence import list_evidence
from .words import TITLES, UNSAID, CardWords, card_words

if TYPE_CHECKING:
    from headwater.lake import Version

_MOST = 1000


@operation("model.card", needs="model:read")
def model_card(project: Project, model: str, *, address: str | None = None) -> str:
    """Return the card of a version as Markdown.

    The author's words (intended use, limits, owner, licence, notes), then what the ledger knows: readiness and the
    phases of CRISP-ML(Q) as recorded last, contract, data, parameters, every kind of evidence with its intervals, what
    was not measured and the command that would, files. With the ``address`` of a server ('' for pages on the same
    host) data, runs and evidence are links.

    Raises:
        NotFoundError: there is no such version.
    """
    version = get_model_version(project, model)
    evidence = list_evidence(project, version.ref, limit=_MOST)
    words = card_words(project, version.id)
    link = Link(address)
    parts = [
        *_head(version, words, link),
        *_words(words),
        *evidence_sections(version, evidence, project.clock(), link, ("readiness",)),
        *_contract(version),
        *_training(project, version, link),
        *evidence_sections(version, evidence, project.clock(), link),
        *_files(version),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _head(version: ModelVersion, words: CardWords, link: Link) -> Iterator[str]:
    yield f"# {version.model} v{version.number}"
    yield ""
    yield f"{version.description[:1].upper()}{version.description[1:]}."
    yield ""
    author = f"{version.author} (claimed)" if version.claimed else version.author
    facts = [
        ("Author", author),
        ("Made", moment(version.created_at)),
        ("Served as", version.flavour),
        ("Id", link.to(version.id, f"/trace?ref={version.ref}")),
    ]
    facts += [("Run", link.to(version.run, f"/runs/{version.run}"))] if version.run else []
    if words.written_at != version.created_at:
        writer = f"{words.author} (claimed)" if words.claimed else words.author
        facts.append(("Words last written", f"{moment(words.written_at)} by {writer}"))
    yield from table(("fact", "value"), facts)


def _words(words: CardWords) -> Iterator[str]:
    for name, title in TITLES.items():
        said = getattr(words.words, name).strip()
        if said or name != "notes":
            yield from (f"## {title}", "", said or UNSAID, "")


def _contract(version: ModelVersion) -> Iterator[str]:
    for title, fields in (("Inputs", version.contract.inputs), ("Outputs", version.contract.outputs)):
        yield from (f"## {title}", "")
        yield from table(("name", "accepts" if title == "Inputs" else "is", "meaning"), [_field(f) for f in fields])


def _field(field: Field) -> tuple[str, str, str]:
    personal = "says something of a person" if field.personal else ""
    return f"`{field.name}`", expectation(field), "; ".join(filter(None, (field.description, personal)))


def _training(project: Project, version: ModelVersion, link: Link) -> Iterator[str]:
    yield from ("## Training", "")
    rows = [_data_row(_find(project, each), each, link) for each in version.trained_on]
    if rows:
        yield from table(("data", "rows", "source", "id"), rows)
    else:
        yield from ("No dataset version was named.", "")
    if version.params:
        yield from table(("parameter", "value"), [(f"`{k}`", f"`{v}`") for k, v in sorted(version.params.items())])
    if version.metrics:
        yield from table(("metric of the run", "value"), [(k, f"{v:.6g}") for k, v in sorted(version.metrics.items())])


def _find(project: Project, identifier: str) -> Version | None:
    try:
        return resolve(project, identifier)
    except NotFoundError:
        return None


def _data_row(version: Version | None, identifier: str, link: Link) -> tuple[str, str, str, str]:
    if version is None:
        return "gone", "", "", identifier
    rows = f"{version.rows:,}" if version.rows is not None else ""
    name = link.to(f"{version.dataset} v{version.number}", f"/data/{version.dataset}/v{version.number}")
    return name, rows, version.source or version.message, version.id


def _files(version: ModelVersion) -> Iterator[str]:
    yield from ("## Files", "")
    rows = [(file.name, file.flavour, f"{file.size:,}", f"`{file.digest}`") for file in version.files]
    yield from table(("file", "flavour", "bytes", "digest"), rows)
    if version.trusted:
        yield from (f"Loading constructs the trusted types {', '.join(version.trusted)}.", "")
