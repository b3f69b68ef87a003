"""Webhooks: what another system sends, signed with a shared secret, becomes a trigger's job, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.access.signing import HEADER, require_timed_signature
from headwater.errors import (
    ConflictError,
    HeadwaterError,
    InvalidInputError,
    NotFoundError,
    TooLargeError,
    UnauthenticatedError,
)
from headwater.operation import get_operation
from headwater.project import Actor, Project
from headwater.project.settings import resolve

from . import queue
from .facts import matches
from .filling import filled
from .triggers import find_trigger
from .values import Job, Trigger
from .worker import typed_arguments

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from headwater.ledger import WriteTx

DELIVERY = "Headwater-Delivery"
_LONGEST_ID = 200


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a webhook: the job that it became, or why it made none."""

    trigger: str
    delivery: str
    job: str = ""
    ignored: str = ""


def take_hook(project: Project, name: str, body: bytes, headers: Mapping[str, str]) -> Taken:
    """Make the job of a webhook's trigger from a signed JSON body, durable on return.

    ``headers`` by lower-case name. The body's fields are the attributes that ``match`` looks at and that fill the
    arguments; ``{body}`` is all of it. The sender's ``Headwater-Delivery`` counts once, and so does each signature.

    Raises:
        NotFoundError: there is no such trigger, or it is not a webhook.
        TooLargeError: the body has more than ``largest_kib``.
        UnauthenticatedError: the signature is missing, wrong, or not of these minutes.
        ConflictError: this delivery was taken before, or the trigger is paused.
        InvalidInputError: the body is not a JSON object, or has not what the arguments ask for.
    """
    trigger = _webhook(project, name)
    require_small(trigger, len(body))
    signature = _proven(project, trigger, body, headers)
    delivery = headers.get(DELIVERY.lower(), "") or signature
    if len(delivery) > _LONGEST_ID or not delivery.isprintable():
        raise InvalidInputError(f"{DELIVERY} has at most {_LONGEST_ID} printable characters.", trigger=name)
    attributes = _attributes(project, trigger, body, delivery)
    if not matches(trigger.match, attributes):
        return Taken(trigger=name, delivery=delivery, ignored="it does not match what the trigger asks for")
    arguments = filled(trigger, attributes)
    typed_arguments(trigger.operation, get_operation(trigger.operation).signature().parameters, arguments)
    with project.ledger.write() as tx:
        _require_new(tx, trigger, delivery, signature)
        job = _record(tx, trigger, arguments, delivery, signature)
    return Taken(trigger=name, delivery=delivery, job=job.id)


def hook_routes(project: Project) -> list[BaseRoute]:
    """Return the route that takes webhooks."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def post(request: Request) -> Response:
        """POST /hooks/{name}: 202 with the job once it is durable, 200 where the trigger does not want it."""
        name = request.path_params["name"]
        trigger = await run_in_threadpool(_webhook, project, name)
        length = request.headers.get("content-length", "")
        require_small(trigger, int(length) if length.isdigit() else 0)
        body = bytearray()
        async for block in request.stream():
            body += block
            require_small(trigger, len(body))
        taken = await run_in_threadpool(take_hook, project, name, bytes(body), dict(request.headers))
        return JSONResponse(msgspec.to_builtins(taken), 202 if taken.job else 200)

    return [Route("/hooks/{name}", post, methods=["POST"])]


def require_small(trigger: Trigger, size: int) -> None:
    """Raise TooLargeError for a body beyond what the trigger takes."""
    if size > trigger.largest_kib << 10:
        raise TooLargeError(
            f"the webhook '{trigger.name}' takes at most {trigger.largest_kib:,} KiB; this body has {size:,} bytes or "
            "more. Send less, or raise largest_kib in its [[triggers]].",
            trigger=trigger.name,
        )


def _webhook(project: Project, name: str) -> Trigger:
    unknown = NotFoundError(f"there is no webhook '{name}' here.", trigger=name)  # whoever sends learns no names
    try:
        trigger = find_trigger(project, name)
    except NotFoundError:
        raise unknown from None
    if trigger.on != "webhook":
        raise unknown
    return trigger


def _proven(project: Project, trigger: Trigger, body: bytes, headers: Mapping[str, str]) -> str:
    try:
        secret = resolve(trigger.secret)
        if not secret:
            raise InvalidInputError("it is empty")
    except HeadwaterError as error:
        # The sender is told nothing of our environment; 'hw trigger list' shows whoever runs the server.
        raise UnauthenticatedError(f"webhook '{trigger.name}' cannot check signatures now.") from error
    now_s = project.clock() // 1_000_000
    return require_timed_signature(
        headers.get(HEADER.lower(), ""), secret, body, now_s=now_s, tolerance_s=trigger.tolerance_s
    )


def _attributes(project: Project, trigger: Trigger, body: bytes, delivery: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body) if body else {}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"the body for webhook '{trigger.name}' is no JSON: {error}.") from error
    if not isinstance(found, dict):
        raise InvalidInputError(f"the body for webhook '{trigger.name}' is no JSON object.", trigger=trigger.name)
    return {**found, "body": found, "delivery": delivery, "at": project.clock()}


def _require_new(tx: WriteTx, trigger: Trigger, delivery: str, signature: str) -> None:
    if tx.value("SELECT paused FROM trigger_states WHERE name = ?", (trigger.name,)):
        raise ConflictError(f"webhook '{trigger.name}' is paused: nothing was taken. Send it again later.")
    before = tx.one(
        "SELECT job, received_at FROM hook_deliveries WHERE trigger_name = ? AND (delivery = ? OR signature = ?)",
        (trigger.name, delivery, signature),
    )
    if before is not None:
        raise ConflictError(
            f"delivery '{delivery}' of webhook '{trigger.name}' was taken before: it is job {before.job}. Nothing was "
            "done again.",
            trigger=trigger.name,
            delivery=delivery,
            job=before.job,
        )


def _record(tx: WriteTx, trigger: Trigger, arguments: dict[str, Any], delivery: str, signature: str) -> Job:
    identifier = queue.add_job(
        tx,
        operation=trigger.operation,
        arguments=arguments,
        actor=Actor(name=trigger.actor, claimed=False, roles=trigger.roles),
        cause=f"webhook:{trigger.name}/{delivery}",
        trigger=trigger.name,
        label=trigger.label,
        priority=trigger.priority,
        most_attempts=trigger.attempts,
    )
    assert identifier is not None  # only a job with a 'once' may be there already
    tx.insert(
        "hook_deliveries",
        trigger_name=trigger.name,
        delivery=delivery,
        signature=signature,
        job=identifier,
        received_at=tx.now,
    )
    return queue.read_job(tx, identifier)
