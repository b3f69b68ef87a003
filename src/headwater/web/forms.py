"""What every form needs: proof that our page made it, and a flat view of its fields."""

from __future__ import annotations

import secrets

from starlette.exceptions import HTTPException
from starlette.requests import Request


async def checked_form(request: Request) -> dict[str, str]:
    """Return the text fields of a form that our own page made.

    Raises:
        HTTPException: it does not carry this session's token (403).
    """
    form = await request.form()
    fields = {key: value for key, value in form.items() if isinstance(value, str)}
    expected = str(request.session.get("csrf", ""))
    if not expected or not secrets.compare_digest(fields.get("csrf", "").encode(), expected.encode()):
        raise HTTPException(403, "this form was not made by this page; reload the page and send it again")
    return fields
