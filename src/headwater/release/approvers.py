"""Who may say yes to a request."""

from __future__ import annotations

from headwater.access.approvals import same_person
from headwater.errors import DeniedError
from headwater.model import ModelVersion
from headwater.project import Actor

from .rules import ChannelRules
from .values import ReleaseRequest


def require_may_approve(actor: Actor, rules: ChannelRules, request: ReleaseRequest, version: ModelVersion) -> None:
    """Return when the channel's rules let this person approve the request.

    Raises:
        DeniedError: the person is the author or the requester, lacks the role, or only claims a name.
    """
    for who, part in ((version.author, "made the version"), (request.requested_by, "asked for its release")):
        if rules.not_author and same_person(actor.name, who):
            raise _denied(f"{actor.name} {part}, and {request.channel} demands another person's approval", request)
    if rules.authenticated and actor.claimed:
        raise _denied(
            f"'{actor.name}' is a claimed name, and {request.channel} demands an approval by somebody who is signed in "
            "to the server",
            request,
        )
    if rules.roles and not {"admin", *rules.roles} & set(actor.roles):
        wanted = " or ".join(rules.roles)
        raise _denied(f"{actor.name} does not have the role {wanted} that {request.channel} demands", request)


def _denied(why: str, request: ReleaseRequest) -> DeniedError:
    return DeniedError(f"{why}. Ask somebody else to approve request {request.id}.", request=request.id)
