"""The page of the served models: what each takes and gives, and a form to try it, drawn from the contract.

It works without scripts, asks nothing of other hosts, and answers through the engine like any other request.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec

from headwater.errors import HeadwaterError, InvalidInputError
from headwater.model import ContractError, example_row
from headwater.model.value_checks import expectation

from .doors.csv_rows import typed
from .replies import Reply
from .traffic import key_of

if TYPE_CHECKING:
    from jinja2 import Template

    from headwater.model import Field

    from .bodies import Receive, Scope
    from .deployments import Deployment
    from .http import Endpoints

_HERE = Path(__file__).parent / "templates"
_HTML = b"text/html; charset=utf-8"
_MOST_CHOICES = 200


class Page:
    """GET /v1/docs shows a model, POST tries it."""

    def __init__(self, points: Endpoints) -> None:
        self._points = points
        self._engine = points.engine

    async def show(self, scope: Scope, receive: Receive) -> Reply:
        """GET /v1/docs: ``?model=`` and ``?channel=`` choose; without them the first."""
        return await self._draw(scope)

    async def attempt(self, scope: Scope, receive: Receive) -> Reply:
        """POST /v1/docs: the answer to the form's row, or what is wrong with which field."""
        return await self._points.admitted(scope, receive, self._attempt)  # type: ignore[no-any-return]  # Act is Any

    async def _attempt(self, scope: Scope, body: bytes, caller: str, deadline_s: float) -> Reply:
        try:
            given = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=10_000))
        except ValueError as error:
            raise InvalidInputError(f"the form cannot be read: {error}.") from error
        deployed = await self._chosen(scope)
        if deployed is None:
            raise InvalidInputError("no model is released yet: there is nothing to try.")
        row = {}
        for field in deployed.loaded.contract.inputs:
            value = typed(field.type, given.get(field.name))
            if value is not None or not field.nullable:
                row[field.name] = "" if value is None and field.type == "str" else value
        problems: list[dict[str, Any]] = []
        failed, status = "", 200
        try:
            answer = await self._engine.answer(
                deployed.model,
                [row],
                channel=deployed.channel,
                caller=caller,
                deadline_s=deadline_s,
                deployment=deployed,
            )
            said = _pretty(answer)
        except ContractError as error:
            problems, failed, status = (
                error.values["problems"],
                "The row does not keep the contract.",
                error.http_status,
            )
            said = error.message
        except HeadwaterError as error:
            failed, said, status = "It could not be answered.", error.message, error.http_status
        return await self._draw(scope, deployed, given, problems, said, failed, status)

    async def _chosen(self, scope: Scope) -> Deployment | None:
        from starlette.concurrency import run_in_threadpool

        asked = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        model, channel = asked.get("model", ""), asked.get("channel", "")
        if not model:
            served = await run_in_threadpool(self._engine.served)
            first = next((each for each in served if each.channel == self._engine.channel_of(each.model)), None)
            if first is None:
                return None
            model, channel = first.model, first.channel
        return await run_in_threadpool(self._engine.deployment, model, channel, key_of(scope["headers"]))

    async def _draw(
        self,
        scope: Scope,
        deployed: Deployment | None = None,
        given: dict[str, str] | None = None,
        problems: list[dict[str, Any]] | None = None,
        said: str = "",
        failed: str = "",
        status: int = 200,
    ) -> Reply:
        from starlette.concurrency import run_in_threadpool
        from starlette.requests import Request

        deployed = deployed or await self._chosen(scope)
        contract = deployed.loaded.contract if deployed is not None else None
        example = example_row(contract) if contract is not None else {}
        shown = given if given is not None else {name: _text(value) for name, value in example.items()}
        drawn = _template().render(
            title=f"Models of {self._engine.project.name}",
            project=self._engine.project.name,
            base=scope.get("root_path", ""),
            url=str(Request(scope).base_url).rstrip("/"),
            style=_style(),
            notice=self._engine.notice(),
            models=await run_in_threadpool(self._engine.served),
            chosen=deployed,
            fields=[_entry(each, shown.get(each.name, ""), problems or []) for each in contract.inputs]
            if contract
            else [],
            outputs=[_entry(each, "", []) for each in contract.outputs] if contract else [],
            body=msgspec.json.encode({"inputs": [example]}).decode().replace("'", "'\\''"),
            said=said,
            failed=failed,
        )
        return Reply(drawn.encode(), _HTML, status, [(b"content-security-policy", _policy())])


def _entry(field: Field, value: str, problems: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the page shows of a field."""
    choices = [_text(each) for each in field.allowed or ()] if len(field.allowed or ()) <= _MOST_CHOICES else []
    inside = (f"{field.name}.", f"{field.name}[")
    return {
        "name": field.name,
        "expects": expectation(field),
        "description": field.description,
        "nullable": field.nullable,
        "number": field.type in ("float", "int"),
        "long": field.type not in ("float", "int", "bool", "str"),
        "choices": ["true", "false"] if field.type == "bool" else choices,
        "value": value,
        "problems": [each for each in problems if each["field"] == field.name or each["field"].startswith(inside)],
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()


def _pretty(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader

    return Environment(loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True).get_template("docs.html")


@cache
def _style() -> Any:
    from markupsafe import Markup

    return Markup((_HERE / "docs.css").read_text(encoding="utf-8"))  # our own file


@cache
def _policy() -> bytes:
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ).encode()
