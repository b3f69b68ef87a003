"""Who may say yes to a request, and whose yes counts."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headwater.access.approvals import same_person
from headwater.errors import DeniedError
from headwater.model import ModelVersion
from headwater.project import Actor

from .rules import ChannelRules
from .values import Approval, ReleaseRequest


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
    if rules.who and not {"admin", *rules.who} & set(actor.roles):
        wanted = " or ".join(rules.who)
        raise _denied(f"{actor.name} does not have the role {wanted} that {request.channel} demands", request)


def require_may_move(actor: Actor, rules: ChannelRules, channel: str) -> None:
    """Return when the channel's rules let this person move it without anybody's approval.

    Raises:
        DeniedError: the channel demands people who are signed in, and this one only claims a name.
    """
    if rules.authenticated and actor.claimed:
        raise DeniedError(
            f"'{actor.name}' is a claimed name, and {channel} is moved only by somebody who is signed in to the "
            "server. Sign in and do it there.",
            channel=channel,
        )


def still_counts(approval: Approval, rules: ChannelRules, request: ReleaseRequest, version: ModelVersion) -> bool:
    """Tell whether an approval counts under the channel's rules as they are now, which may be stricter than then.

    Roles are those that were held when it was given.
    """
    if approval.decision != "approve":
        return False
    actor = Actor(name=approval.by, claimed=approval.claimed, roles=approval.roles)
    try:
        require_may_approve(actor, rules, request, version)
    except DeniedError:
        return False
    return True


def counted(
    approvals: Iterable[Approval], rules: ChannelRules, request: ReleaseRequest, version: ModelVersion
) -> tuple[Approval, ...]:
    """Return the approvals that still count, in the order they were given."""
    return tuple(each for each in approvals if still_counts(each, rules, request, version))


def as_counted(request: ReleaseRequest, rules: ChannelRules, version: ModelVersion) -> ReleaseRequest:
    """Return a request with those approvals alone that still count."""
    return msgspec.structs.replace(request, approvals=counted(request.approvals, rules, request, version))


def _denied(why: str, request: ReleaseRequest) -> DeniedError:
    return DeniedError(f"{why}. Ask somebody else to approve request {request.id}.", request=request.id)
