"""What every form needs: proof that our page made it, and a flat view of its fields."""

from __future__ import annotations

import secrets
import urllib.parse

from starlette.exceptions import HTTPException
from starlette.requests import Request


async def checked_form(request: Request) -> dict[str, str]:
    """Return the text fields of a form that our own page made.

    Raises:
        HTTPException: it does not carry this session's token (403).
    """
    return dict(await checked_pairs(request))


async def checked_pairs(request: Request) -> list[tuple[str, str]]:
    """Return the fields of a form in their order, a name as often as it was sent; raises as ``checked_form``."""
    # Our forms send text alone, which the standard library parses; Starlette's parser wants one more package.
    text = (await request.body()).decode("utf-8", "replace")
    pairs = urllib.parse.parse_qsl(text, keep_blank_values=True)
    fields = dict(pairs)
    expected = str(request.session.get("csrf", ""))
    if not expected or not secrets.compare_digest(fields.get("csrf", "").encode(), expected.encode()):
        raise HTTPException(403, "this form was not made by this page; reload the page and send it again")
    return pairs
