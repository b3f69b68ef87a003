"""Text out of files: a table beside the original, for every source that says ``extract =``."""

from __future__ import annotations

from ..errors import InvalidInputError
from .intake import Extract


def extractor(what: str) -> Extract | None:
    """Return what makes a table of a file; None where nothing is asked for.

    Raises:
        InvalidInputError: there is no such extract.
    """
    if not what:
        return None
    if what == "pdf":
        from .pdf import PAGES

        return PAGES
    if what == "text":
        from .text import TEXT

        return TEXT
    raise InvalidInputError(f"extract = '{what}' is not known. There are: pdf, text.", extract=what)
