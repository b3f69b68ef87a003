"""Taking in a delivery: bytes and row are durable before the sender hears that they were taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ..access.signing import is_body_signed
from ..canonical import digest
from ..durable import crash_point
from ..errors import HeadwaterError, InvalidInputError, TooLargeError, UnauthenticatedError
from ..operation import operation
from ..project import Actor, Project
from .declared import Bound, bind, find_declared
from .history import spelled
from .secrets import resolve_secret
from .webhook import Settings, WebhookSource

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

_LONGEST_ID = 200
_KNOWN = "SELECT 1 AS one FROM webhook_deliveries WHERE source = ? AND parameters = ? AND delivery = ?"


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as it was taken in; ``new`` is False for one that had come before."""

    source: str
    delivery: str
    new: bool


@operation("ingest.deliver", needs="data:write", audited=False)
def deliver(
    project: Project,
    source: str,
    body: bytes,
    parameters: dict[str, str] | None = None,
    *,
    delivery: str = "",
    media: str = "",
) -> Delivery:
    """Take in one delivery of a webhook source, durable on return; the same ``delivery`` id counts once.

    Without an id, it is the one that the source finds in the body, else the digest of the body.

    Raises:
        NotFoundError: no source of that name is declared.
        InvalidInputError: it is no webhook, the body is too large, or, for a table, no text.
    """
    bound = _webhook(project, source, parameters or {})
    settings = _settings(bound)
    _require_size(source, len(body), settings)
    if settings.keep_as == "table":
        _require_text(source, body)
    identifier = delivery or _id_of(source, body, settings) or digest(body)
    if len(identifier) > _LONGEST_ID or not identifier.isprintable():
        raise InvalidInputError(f"a delivery's id has at most {_LONGEST_ID} printable characters.", source=source)
    key = (source, spelled(bound.parameters), identifier)
    with project.ledger.read() as tx:
        if tx.one(_KNOWN, key) is not None:
            return Delivery(source=source, delivery=identifier, new=False)
    place = project.objects.put(body)
    crash_point("ingest.deliver.put")
    with project.ledger.write() as tx:
        made = tx.one(_KNOWN, key) is None
        if made:
            tx.insert(
                "webhook_deliveries",
                seq=tx.next("webhook_deliveries"),
                source=source,
                parameters=key[1],
                delivery=identifier,
                object=place,
                size=len(body),
                media=media,
                sender=project.actor.name,
                received_at=tx.now,
            )
            tx.announce("delivery", f"source:webhook:{source}")
    crash_point("ingest.deliver.recorded")
    return Delivery(source=source, delivery=identifier, new=made)


def receive(
    project: Project, source: str, body: bytes, headers: Mapping[str, str], parameters: Mapping[str, str], actor: Actor
) -> Delivery:
    """Take in what came over HTTP, from whoever signed it, else from ``actor``.

    Raises:
        UnauthenticatedError: the source wants a signature, and this one is missing or wrong.
        DeniedError: the source wants none, and ``actor`` may not write data.
    """
    bound = _webhook(project, source, parameters)
    settings = _settings(bound)
    if settings.secret:
        _require_signature(source, body, headers.get(settings.signature_header.lower(), ""), settings)
        actor = Actor(name=f"webhook:{source}", claimed=False, roles=("developer",))
    identifier = "" if settings.id_field else headers.get(settings.id_header.lower(), "") if settings.id_header else ""
    media = headers.get("content-type", "").partition(";")[0].strip().lower()[:100]
    return deliver(project.as_actor(actor), source, body, dict(parameters), delivery=identifier, media=media)


def ingest_routes(project: Project, *, identify: Callable[[Request], Actor]) -> list[BaseRoute]:
    """Return the route that takes deliveries, for an application that knows who is asking."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def post(request: Request) -> Response:
        """POST /v1/ingest/{source}: 202 with the delivery's id once it is durable; parameters stand in the query."""
        source = request.path_params["source"]
        parameters = dict(request.query_params)
        bound = await run_in_threadpool(_webhook, project, source, parameters)
        settings = _settings(bound)
        length = request.headers.get("content-length", "")
        _require_size(source, int(length) if length.isdigit() else 0, settings)
        actor = Actor(name="sender", roles=()) if settings.secret else identify(request)
        body = bytearray()
        async for block in request.stream():
            body += block
            _require_size(source, len(body), settings)
        taken = await run_in_threadpool(receive, project, source, bytes(body), dict(request.headers), parameters, actor)
        return JSONResponse(msgspec.to_builtins(taken), 202)

    return [Route("/v1/ingest/{source}", post, methods=["POST"])]


def _webhook(project: Project, source: str, parameters: Mapping[str, str]) -> Bound:
    bound = bind(project, find_declared(project, source), parameters)
    if not isinstance(bound.source, WebhookSource):
        raise InvalidInputError(
            f"source '{source}' takes no deliveries: it is of kind '{bound.declared.kind}', and pulls by itself.",
            source=source,
        )
    return bound


def _settings(bound: Bound) -> Settings:
    assert isinstance(bound.source, WebhookSource)  # _webhook saw to it
    return bound.source.settings


def _require_size(source: str, size: int, settings: Settings) -> None:
    if size > settings.largest_kib << 10:
        raise TooLargeError(
            f"source '{source}' takes at most {settings.largest_kib:,} KiB a delivery; this one has {size:,} bytes or "
            "more. Send less at once, or raise largest_kib in its declaration.",
            source=source,
        )


def _require_text(source: str, body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"source '{source}' keeps deliveries as a table of texts, and this one is not UTF-8 ({error.reason} at "
            f'byte {error.start}). Declare keep_as = "files" for it.',
            source=source,
        ) from error


def _require_signature(source: str, body: bytes, given: str, settings: Settings) -> None:
    try:
        secret = resolve_secret(settings.secret)
    except HeadwaterError as error:
        # The sender is told nothing of our environment; whoever runs the server finds it by 'hw ingest test'.
        raise UnauthenticatedError(f"source '{source}' cannot check signatures now.", source=source) from error
    if not is_body_signed(given, secret, body):
        raise UnauthenticatedError(
            f"the delivery to '{source}' is not signed with its secret: {settings.signature_header} must hold "
            "'sha256=' and the HMAC-SHA256 of the body, in hex.",
            source=source,
        )


def _id_of(source: str, body: bytes, settings: Settings) -> str:
    """Return the id that the body holds, "" where none is looked for."""
    if not settings.id_field:
        return ""
    try:
        found: Any = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise InvalidInputError(
            f"source '{source}' finds a delivery's id in its JSON, and this body is none: {error}."
        ) from error
    for part in settings.id_field.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if not isinstance(found, str | int) or isinstance(found, bool) or found == "":
        raise InvalidInputError(f"this delivery to '{source}' has no id: its JSON has no '{settings.id_field}'.")
    return str(found)
