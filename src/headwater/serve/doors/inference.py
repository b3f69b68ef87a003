"""The Open Inference Protocol v2 over HTTP, which clients of KServe, Triton and Seldon speak."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import InvalidInputError, NotFoundError
from headwater.model.rendering import open_inference_metadata

from ..replies import Reply
from ..traffic import key_of
from .tensors import Tensor, rows_of, tensors_of

if TYPE_CHECKING:
    from headwater.model import Contract

    from ..bodies import Receive, Scope
    from ..deployments import Deployment
    from ..http import Endpoints

HEADER = b"inference-header-content-length"
_EXTENSIONS = ["binary_tensor_data"]
_MOST_DIGITS = 15


class Wanted(msgspec.Struct, kw_only=True):
    """An output that was asked for."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct, kw_only=True):
    """The JSON of a request for inference."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[Wanted] | None = None
    parameters: dict[str, Any] = {}


_decoder = msgspec.json.Decoder(InferRequest)
_encode = msgspec.json.Encoder().encode


class InferenceDoor:
    """The protocol's acts on one engine. ``parameters.channel`` of a request picks a channel other than the usual."""

    def __init__(self, points: Endpoints) -> None:
        self._points = points
        self._engine = points.engine

    async def server(self, scope: Scope, receive: Receive) -> Any:
        """GET /v2."""
        return {"name": "headwater", "version": metadata.version("headwater"), "extensions": _EXTENSIONS}

    async def live(self, scope: Scope, receive: Receive) -> Any:
        """GET /v2/health/live."""
        return {"live": True}

    async def describe(self, scope: Scope, receive: Receive) -> Any:
        """GET /v2/models/{model} and /v2/models/{model}/versions/{version}."""
        deployed = await self._deployed(scope)
        version = deployed.version
        return open_inference_metadata(
            version.model, version.contract, versions=[str(version.number)], platform=version.flavour
        )

    async def ready(self, scope: Scope, receive: Receive) -> Any:
        """GET /v2/models/{model}/ready."""
        deployed = await self._deployed(scope)
        return {"name": deployed.model, "ready": True}

    async def infer(self, scope: Scope, receive: Receive) -> Any:
        """POST /v2/models/{model}/infer and /v2/models/{model}/versions/{version}/infer."""
        return await self._points.admitted(scope, receive, self._infer)

    async def _infer(self, scope: Scope, body: bytes, caller: str, deadline_s: float) -> Reply:
        asked, binary = _split(scope, body)
        channel = asked.parameters.get("channel", "")
        deployed = await self._deployed(scope, channel if isinstance(channel, str) else "")
        contract = deployed.loaded.contract
        rows = rows_of(contract, asked.inputs, binary)
        _wanted(contract, asked)  # what cannot be told is refused before it is computed
        answer = await self._engine.answer(
            deployed.model,
            rows,
            channel=deployed.channel,
            caller=caller,
            deadline_s=deadline_s,
            deployment=deployed,
            only=bool(scope["path_params"].get("version")),
        )
        if answer.model_version != deployed.version.id:  # a canary failed, and the present version answered
            contract = self._engine.answered_by(answer).loaded.contract
        tensors, data = tensors_of(contract, answer.predictions, _wanted(contract, asked))
        said = {
            "model_name": answer.model,
            "model_version": answer.version.removeprefix("v"),
            "id": asked.id or answer.id,
            "parameters": {
                "model_version_id": answer.model_version,
                "channel": answer.channel,
                "predictions": [each["id"] for each in answer.predictions],
            },
            "outputs": tensors,
        }
        head = _encode(said)
        if not data:
            return Reply(head, b"application/json")
        return Reply(head + data, b"application/octet-stream", headers=[(HEADER, b"%d" % len(head))])

    async def _deployed(self, scope: Scope, channel: str = "") -> Deployment:
        """Return what answers for the model of a path.

        Raises:
            NotFoundError: the path names a version that is not the one that answers.
        """
        from starlette.concurrency import run_in_threadpool

        wanted = scope["path_params"]
        key = key_of(scope["headers"])
        deployed = await run_in_threadpool(self._engine.deployment, wanted["model"], channel, key)
        version = wanted.get("version", "")
        if version and version.removeprefix("v") != str(deployed.version.number) and version != deployed.version.id:
            raise NotFoundError(
                f"'{deployed.model}' is answered by version {deployed.version.number} on {deployed.channel}, not by "
                f"'{version}': a version answers when it is released. Leave it out of the path, or release it.",
                model=deployed.model,
                version=version,
            )
        return deployed


def _wanted(contract: Contract, asked: InferRequest) -> dict[str, bool]:
    """Return the names of the outputs to tell, each with whether in binary.

    Raises:
        InvalidInputError: the contract has no such output.
    """
    everything = asked.parameters.get("binary_data_output") is True
    if asked.outputs is None:
        return {field.name: everything for field in contract.outputs}
    for each in asked.outputs:
        contract.output(each.name)
    return {each.name: each.parameters.get("binary_data", everything) is True for each in asked.outputs}


def _split(scope: Scope, body: bytes) -> tuple[InferRequest, memoryview]:
    """Return the JSON of a request, and the bytes behind it.

    Raises:
        InvalidInputError: it is not JSON of a request, or its header does not say where that ends.
    """
    length = next((value for name, value in scope["headers"] if name == HEADER), None)
    end = len(body)
    if length is not None:
        if not length.isdigit() or len(length) > _MOST_DIGITS or int(length) > len(body):
            raise InvalidInputError(
                f"the header Inference-Header-Content-Length is {length.decode('latin-1')[:40]!r}; the body has "
                f"{len(body):,} bytes. Give the length of the JSON before the binary data."
            )
        end = int(length)
    try:
        return _decoder.decode(body[:end]), memoryview(body)[end:]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"the request body cannot be read: {error}. It should be JSON such as "
            '{"inputs": [{"name": NAME, "shape": [1], "datatype": "FP64", "data": [0.5]}]}.'
        ) from error
