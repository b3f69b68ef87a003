"""The OpenAPI 3.1 document of the served models, made from their contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headwater.model import openapi_components

from .traffic import KEY_HEADER, LONGEST_KEY

if TYPE_CHECKING:
    from .deployments import Deployment
    from .engine import Engine


def openapi_document(engine: Engine) -> dict[str, Any]:
    """Return the document: a path per model on ``production``, with its rows and answers as JSON Schema."""
    paths: dict[str, Any] = {"/v1/outcomes": _OUTCOMES}
    schemas: dict[str, Any] = {"Error": _ERROR}
    for each in engine.served():
        if each.channel == "production":
            deployed = engine.deployment(each.model)
            schemas |= openapi_components(each.model, deployed.version.contract)
            paths[f"/v1/models/{each.model}/predict"] = _predict_path(deployed)
            paths[f"/v1/models/{each.model}/predict/file"] = _file_path(deployed)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Models of {engine.project.name}", "version": "1"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _predict_path(deployed: Deployment) -> dict[str, Any]:
    model = deployed.model
    inputs = {"type": "array", "minItems": 1, "items": {"$ref": f"#/components/schemas/{model}.Input"}}
    asked = {
        "type": "object",
        "required": ["inputs"],
        "additionalProperties": False,
        "properties": {
            "inputs": inputs,
            "occurred_at": {"type": ["integer", "string", "null"], "description": "UTC microseconds, or RFC 3339"},
            "channel": {"type": "string", "default": "production"},
        },
    }
    prediction = {
        "allOf": [
            {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
            {"$ref": f"#/components/schemas/{model}.Output"},
        ]
    }
    texts = ("id", "model", "version", "model_version", "channel")
    answer = {
        "type": "object",
        "required": [*texts, "occurred_at", "predictions"],
        "properties": {
            **{name: {"type": "string"} for name in texts},
            "occurred_at": {"type": "integer"},
            "predictions": {"type": "array", "items": prediction},
        },
    }
    return {
        "post": {
            "operationId": f"predict_{model}",
            "summary": f"{model} {deployed.label}: {deployed.version.description}",
            "parameters": [_KEY],
            "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
            "responses": {
                "200": {"description": "one answer per row", "content": {"application/json": {"schema": answer}}},
                "422": _failure("rows do not keep the contract; every problem is listed"),
                "default": _failure("it could not be answered"),
            },
        }
    }


def _file_path(deployed: Deployment) -> dict[str, Any]:
    from .doors.files import FORMS

    content: dict[str, Any] = {media: {} for media in FORMS}
    return {
        "post": {
            "operationId": f"predict_file_{deployed.model}",
            "summary": f"a file of rows for {deployed.model} {deployed.label}, answered by a file of the same form",
            "parameters": [_KEY],
            "requestBody": {"required": True, "content": content},
            "responses": {
                "200": {"description": "a row per row: the prediction's id and the outputs", "content": content},
                "415": _failure("the file is of another form"),
                "422": _failure("rows do not keep the contract; every problem is listed"),
                "default": _failure("it could not be answered"),
            },
        }
    }


def _failure(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_KEY: dict[str, Any] = {
    "name": KEY_HEADER.decode(),
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": LONGEST_KEY},
    "description": "requests of the same key are answered by the same version while a canary grows",
}
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["kind", "message", "values"],
            "properties": {"kind": {"type": "string"}, "message": {"type": "string"}, "values": {"type": "object"}},
        }
    },
}
_OUTCOME: dict[str, Any] = {
    "type": "object",
    "required": ["prediction", "label"],
    "properties": {"prediction": {"type": "string"}, "label": {}, "occurred_at": {"type": ["integer", "null"]}},
}
_OUTCOMES: dict[str, Any] = {
    "post": {
        "operationId": "record_outcomes",
        "summary": "Tell what turned out to be true of predictions",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["outcomes"],
                        "properties": {
                            "outcomes": {"type": "array", "items": _OUTCOME},
                            "source": {"type": "string"},
                        },
                    }
                }
            },
        },
        "responses": {
            "200": {"description": "how many were kept, and the ids that no prediction has"},
            "default": _failure("they could not be kept"),
        },
    }
}
