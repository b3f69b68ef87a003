"""Who is asking: a token, a signed-in session, or, on loopback without accounts, a claimed name."""

from __future__ import annotations

import urllib.parse
from typing import cast

from starlette.requests import Request

from headwater import access
from headwater.project import Actor, LocalProject, Project


def project_of(request: Request) -> Project:
    """Return the server's project as the person who sent this request sees it.

    Raises:
        UnauthenticatedError: the server has accounts and the request carries no valid token or session.
    """
    return root_project(request).as_actor(actor_of(request))


def root_project(request: Request) -> LocalProject:
    """Return the project that the server has open."""
    return cast(LocalProject, request.app.state.project)


def actor_of(request: Request) -> Actor:
    """Return the actor of a request."""
    project = root_project(request)
    header = request.headers.get("authorization", "")
    if header.lower().startswith("bearer "):
        return access.actor_of_token(project, header[7:].strip())
    session = request.scope.get("session") or {}
    if session.get("person"):
        return access.actor_of_person(project, str(session["person"]))
    claimed = urllib.parse.unquote(request.headers.get("x-headwater-as", "")) or str(session.get("claimed", ""))
    return access.actor_of_claim(project, claimed or "visitor")
