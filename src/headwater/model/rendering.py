"""A contract as JSON Schema and as components of an OpenAPI 3.1 document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .contract import Contract, Field

_TYPES = {"float": "number", "int": "integer", "bool": "boolean", "str": "string"}
_EXAMPLES = {"float": 0.0, "int": 0, "bool": False, "str": "text"}


def json_schema(fields: Sequence[Field], *, title: str = "", strict: bool = True) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one row; ``strict`` refuses names that are not in it."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {field.name: _property(field) for field in fields},
        "required": [field.name for field in fields if not field.nullable],
    }
    if title:
        schema["title"] = title
    if strict:
        schema["additionalProperties"] = False
    return schema


def openapi_components(model: str, contract: Contract) -> dict[str, Any]:
    """Return the schemas of a model's rows for ``components.schemas``: ``{model}.Input`` and ``{model}.Output``."""
    return {
        f"{model}.Input": json_schema(contract.inputs, title=f"One input of {model}"),
        f"{model}.Output": json_schema(contract.outputs, title=f"One answer of {model}", strict=False),
    }


def example_row(contract: Contract) -> dict[str, Any]:
    """Return a row that keeps the contract's types and bounds, to try a model with."""
    return {field.name: _example(field) for field in contract.inputs}


def _property(field: Field) -> dict[str, Any]:
    kind: Any = _TYPES[field.type]
    found: dict[str, Any] = {"type": [kind, "null"] if field.nullable else kind}
    if field.allowed is not None:
        found["enum"] = [*field.allowed, *([None] if field.nullable else [])]
    if field.minimum is not None:
        found["minimum"] = field.minimum
    if field.maximum is not None:
        found["maximum"] = field.maximum
    words = ". ".join(filter(None, (field.description, f"Unit: {field.unit}" if field.unit else "")))
    if words:
        found["description"] = words
    return found


def _example(field: Field) -> Any:
    if field.allowed:
        return field.allowed[0]
    if field.type not in ("float", "int"):
        return _EXAMPLES[field.type]
    low = field.minimum if field.minimum is not None else min(0.0, field.maximum or 0.0)
    value = (low + field.maximum) / 2 if field.maximum is not None else low
    return float(value) if field.type == "float" else int(value)
