"""PDF files: text and metadata, page by page, beside the original. Needs the extra ``pdf``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ..errors import InvalidInputError, MissingExtraError
from ..lake import Entry
from .files import FilesSource
from .http import HttpSource
from .intake import Extract, Extracted
from .source import Pulled, Source
from .values import Planned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pypdf import PdfReader

    from .intake import Intake

_LONGEST_PAGE = 4 << 20
_LONGEST_PROBLEM = 500
_COLUMNS = ("document", "page", "text", "problem", "pages", "title", "author", "subject", "creator", "created_at")


class PdfSource(Source):
    """PDF files of this machine (``path``) or of the web (``url``), each with a table of its pages' text."""

    kind: ClassVar[str] = "pdf"

    def __init__(self, inner: Source) -> None:
        self._inner = inner

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *, root: Path) -> Self:
        local = "path" in settings or "paths" in settings
        remote = "url" in settings or "urls" in settings
        if not local and not remote:
            raise InvalidInputError(
                'a source of kind \'pdf\' needs path = "FOLDER OR PATTERN" on this machine, or url = "https://...".'
            )
        kind: type[Source] = HttpSource if remote else FilesSource
        return cls(kind.from_settings(settings, root=root))

    @property
    def text(self) -> str:
        """Where the files are."""
        return self._inner.text

    def pull(self, since: dict[str, Any] | None, into: Intake) -> Pulled:
        into.extract_with(PAGES)
        pulled = self._inner.pull(since, into)
        problems = [str(proof["problem"]) for proof in into.proofs.values() if proof.get("problem")]
        note = "; ".join(part for part in (pulled.note, *problems[:10]) if part)
        return Pulled(state=pulled.state, mirror=pulled.mirror, note=note)

    def plan(self, since: dict[str, Any] | None, current: Mapping[str, Entry]) -> list[Planned]:
        return self._inner.plan(since, current)

    def test(self) -> str:
        return self._inner.test()


def is_pdf(path: str, media: str) -> bool:
    """Tell whether a file is a PDF file."""
    return media == "application/pdf" or path.lower().endswith(".pdf")


def pages_of(file: Path, path: str) -> Extracted:
    """Return the table of a PDF file: a row per page, the document's metadata in each.

    A file that is encrypted, damaged or without text is said to be so in ``problem``; it fails nothing. Where no page
    can be read there is one row, of page 0.

    Raises:
        MissingExtraError: the extra ``pdf`` is not installed.
    """
    try:
        import pypdf
        import pypdf.errors
    except ImportError as error:
        raise MissingExtraError("pypdf", "pdf", "reading the text of PDF files") from error
    about: dict[str, Any] = dict.fromkeys(("title", "author", "subject", "creator"), "")
    about |= {"document": path, "pages": 0, "created_at": None}
    rows: list[dict[str, Any]] = []
    problem = ""
    with _quiet():
        try:
            with open(file, "rb") as stream:
                reader = pypdf.PdfReader(stream)
                problem = _opened(reader)
                if not problem:
                    about |= _metadata(reader)
                    rows = list(_pages(reader))
        except (MissingExtraError, KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except (Exception, RecursionError) as error:  # noqa: BLE001  # a damaged file raises anything: it is said
            problem = f"it is damaged: {type(error).__name__}: {error}"[:_LONGEST_PROBLEM]
    if rows and not problem and not any(row["text"].strip() for row in rows):
        problem = "it holds no text, only images: its pages would have to be read by OCR"
    if not rows or problem:
        rows = rows or [{"page": 0, "text": "", "problem": problem}]
        rows = [{**row, "problem": row["problem"] or problem} for row in rows]
    return _columns(rows, about), {"problem": f"{path}: {problem}"} if problem else {}


PAGES = Extract(".pages.parquet", is_pdf, pages_of)


def _opened(reader: PdfReader) -> str:
    """Return why a file cannot be read; many are encrypted with an empty password, which is tried."""
    if not reader.is_encrypted:
        return ""
    try:
        opened = reader.decrypt("")
    except Exception as error:  # noqa: BLE001  # an unknown cipher, or a package for it that is not there
        return f"it is encrypted, and cannot be opened: {error}"[:_LONGEST_PROBLEM]
    return "" if opened else "it is encrypted, and its password is not empty"


def _metadata(reader: PdfReader) -> dict[str, Any]:
    found: dict[str, Any] = {"pages": len(reader.pages)}
    try:
        given = reader.metadata
        if given is not None:
            found |= {
                name: str(getattr(given, name) or "")[:2000] for name in ("title", "author", "subject", "creator")
            }
            created = given.creation_date
            found["created_at"] = created if created is None or created.tzinfo else created.replace(tzinfo=UTC)
    except Exception as error:  # noqa: BLE001  # dates and texts there are often malformed; the pages still count
        logging.getLogger("headwater.ingest").debug("metadata of a PDF file: %s", error)
    return found


def _pages(reader: PdfReader) -> Iterator[dict[str, Any]]:
    for number in range(len(reader.pages)):
        try:
            text = reader.pages[number].extract_text()
            problem = "" if len(text) <= _LONGEST_PAGE else f"only the first {_LONGEST_PAGE:,} characters are kept"
        except MemoryError:
            raise
        except (Exception, RecursionError) as error:  # noqa: BLE001  # one bad page leaves the others readable
            text, problem = "", f"page {number + 1} is damaged: {type(error).__name__}: {error}"[:_LONGEST_PROBLEM]
        # A lone surrogate of a broken font table is no text that a table could hold.
        text = text[:_LONGEST_PAGE].encode("utf-8", "replace").decode()
        yield {"page": number + 1, "text": text, "problem": problem}


def _columns(rows: list[dict[str, Any]], about: dict[str, Any]) -> dict[str, list[Any]]:
    import numpy

    filled = [{**about, **row} for row in rows]
    columns: dict[str, Any] = {name: [row[name] for row in filled] for name in _COLUMNS}
    # As integers and times even where none is known: every file's table has columns of the same types.
    columns["page"] = numpy.array(columns["page"], dtype="int32")
    columns["pages"] = numpy.array(columns["pages"], dtype="int32")
    columns["created_at"] = numpy.array([_naive(each) for each in columns["created_at"]], dtype="datetime64[us]")
    return columns


def _naive(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pypdf's remarks over malformed files out of the log."""
    logger = logging.getLogger("pypdf")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
