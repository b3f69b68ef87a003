"""Signing in with a password where there are accounts, or saying one's name where there are none."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headwater.access import accounts_exist, sign_in
from headwater.api.identity import root_project
from headwater.errors import UnauthenticatedError

from ..forms import checked_form
from ..rendering import page


async def show(request: Request) -> Response:
    """GET /sign-in."""
    accounts = await run_in_threadpool(accounts_exist, root_project(request))
    return _form(request, accounts=accounts, after=request.query_params.get("next", "/"))


async def submit(request: Request) -> Response:
    """POST /sign-in: keep who it is in the signed session cookie."""
    form = await checked_form(request)
    project = root_project(request)
    accounts = await run_in_threadpool(accounts_exist, project)
    request.session.pop("person", None)
    request.session.pop("claimed", None)
    if form.get("act") == "sign-out":
        return RedirectResponse("/sign-in", 303)
    if accounts:
        try:
            person = await run_in_threadpool(sign_in, project, form.get("name", ""), form.get("password", ""))
        except UnauthenticatedError as error:
            return _form(request, 401, accounts=True, after=form.get("next", "/"), error=error.message)
        request.session["person"] = person.name
    else:
        request.session["claimed"] = form.get("name", "").strip()[:80]
    return RedirectResponse(_within(form.get("next", "/")), 303)


def _form(request: Request, status: int = 200, *, accounts: bool, after: str, error: str = "") -> Response:
    return page(request, "sign_in.html", status, title="Who are you?", accounts=accounts, after=after, error=error)


def _within(target: str) -> str:
    """Return a path of this server, whatever was asked for: browsers read ``//`` and ``/\\`` as another host."""
    return target if target.startswith("/") and not target.startswith(("//", "/\\")) else "/"
