"""The OpenAPI document of the operations, derived from their declarations."""

from __future__ import annotations

from typing import Any

import msgspec

from .operations import argument_type, load_operations


def openapi_document(title: str, version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document: one POST per operation, with its arguments, result and permission."""
    operations = load_operations()
    arguments = [argument_type(operation.name) for operation in operations]
    results = [operation.signature().returns for operation in operations]
    schemas, components = msgspec.json.schema_components(
        [*arguments, *results], ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, Any] = {}
    for number, operation in enumerate(operations):
        paths[f"/api/v1/operations/{operation.name}"] = {
            "post": {
                "operationId": operation.name,
                "summary": operation.summary,
                "description": f"Needs the permission {operation.needs}.",
                "tags": [operation.name.partition(".")[0]],
                "requestBody": {"content": {"application/json": {"schema": schemas[number]}}},
                "responses": {
                    "200": {
                        "description": "The result.",
                        "content": {"application/json": {"schema": schemas[len(operations) + number]}},
                    },
                    "default": {
                        "description": "An error: its kind, a message that says what to do, and the values in it.",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
                    },
                },
            }
        }
    components["Error"] = {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {"kind": {"type": "string"}, "message": {"type": "string"}, "values": {"type": "object"}},
                "required": ["kind", "message", "values"],
            }
        },
        "required": ["error"],
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {"schemas": components},
    }
