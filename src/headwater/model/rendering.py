"""A contract as JSON Schema, as components of an OpenAPI 3.1 document, as metadata of the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .contract import BYTES, Contract, Field
from .media import to_base64

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {
    "float": "number",
    "int": "integer",
    "bool": "boolean",
    "str": "string",
    "image": "string",
    "file": "string",
    "list": "array",
    "object": "object",
}
_DATATYPES = {"float": "FP64", "int": "INT64", "bool": "BOOL"}
_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a4944415478da63f80f00010101001cb08c990000000049454e44ae426082"
)
"""A PNG image of one white pixel."""


def json_schema(fields: Sequence[Field], *, title: str = "", strict: bool = True) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one row; ``strict`` refuses names that are not in it."""
    schema = _object(fields, strict)
    if title:
        schema["title"] = title
    return schema


def openapi_components(model: str, contract: Contract) -> dict[str, Any]:
    """Return the schemas of a model's rows for ``components.schemas``: ``{model}.Input`` and ``{model}.Output``."""
    return {
        f"{model}.Input": json_schema(contract.inputs, title=f"One input of {model}"),
        f"{model}.Output": json_schema(contract.outputs, title=f"One answer of {model}", strict=False),
    }


def open_inference_metadata(
    model: str, contract: Contract, *, versions: Sequence[str] = (), platform: str = ""
) -> dict[str, Any]:
    """Return the model metadata of the Open Inference Protocol v2: each field as a tensor of shape ``[-1, 1]``.

    Floats are FP64, ints INT64, booleans BOOL, and all else BYTES: text as it is, images and files as their own bytes
    (base64 in JSON), lists, objects and JSON values as JSON text. A list of n numbers is ``[-1, n]``. What the protocol
    has no word for (bounds, units, what may be missing) is in ``parameters``.

    Source: https://kserve.github.io/open-inference-protocol, "Model Metadata".
    """
    return {
        "name": model,
        "versions": list(versions),
        "platform": platform,
        "inputs": [_tensor(field) for field in contract.inputs],
        "outputs": [_tensor(field) for field in contract.outputs],
    }


def tensor_of(field: Field) -> tuple[str, int]:
    """Return the datatype of the Open Inference Protocol that carries a field, and how many values a row has."""
    if field.width is not None and field.item is not None:
        return _DATATYPES[field.item.type], field.width
    return _DATATYPES.get(field.type, "BYTES"), 1


def example_row(contract: Contract) -> dict[str, Any]:
    """Return a row that keeps the contract's types and bounds, to try a model with."""
    return {field.name: _example(field) for field in contract.inputs}


def _object(fields: Sequence[Field], strict: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {field.name: _property(field, strict) for field in fields},
        "required": [field.name for field in fields if not field.nullable],
    }
    if strict:
        schema["additionalProperties"] = False
    return schema


def _property(field: Field, strict: bool) -> dict[str, Any]:
    found: dict[str, Any] = _object(field.fields, strict) if field.type == "object" else {}
    kind = _TYPES.get(field.type)
    if kind is not None:
        found = {"type": [kind, "null"] if field.nullable else kind} | {k: v for k, v in found.items() if k != "type"}
    if field.allowed is not None:
        found["enum"] = [*field.allowed, *([None] if field.nullable else [])]
    if field.minimum is not None:
        found["minimum"] = field.minimum
    if field.maximum is not None:
        found["maximum"] = field.maximum
    if field.item is not None:
        found["items"] = _property(field.item, strict)
    found |= _lengths(field)
    several = f"One of {', '.join(field.media_types)}" if len(field.media_types) > 1 else ""
    words = ". ".join(filter(None, (field.description, f"Unit: {field.unit}" if field.unit else "", several)))
    if words:
        found["description"] = words
    return found


def _lengths(field: Field) -> dict[str, Any]:
    if field.type in BYTES:
        found: dict[str, Any] = {"contentEncoding": "base64"}
        if len(field.media_types) == 1:
            found["contentMediaType"] = field.media_types[0]
        # The schema counts characters of base64, the contract bytes.
        if field.most is not None:
            found["maxLength"] = (field.most + 2) // 3 * 4
        return found
    word = {"str": "Length", "list": "Items"}.get(field.type)
    bounds = {"min": field.least, "max": field.most}
    return {f"{side}{word}": bound for side, bound in bounds.items() if word and bound is not None}


def _tensor(field: Field) -> dict[str, Any]:
    datatype, width = tensor_of(field)
    told = {
        "description": field.description,
        "unit": field.unit,
        "nullable": field.nullable or None,
        "minimum": field.minimum,
        "maximum": field.maximum,
        "allowed": list(field.allowed) if field.allowed is not None else None,
        "content_type": _content_type(field) if datatype == "BYTES" else None,
    }
    parameters = {key: value for key, value in told.items() if value not in (None, "")}
    found: dict[str, Any] = {"name": field.name, "datatype": datatype, "shape": [-1, width]}
    return found | ({"parameters": parameters} if parameters else {})


def _content_type(field: Field) -> str:
    if field.type in BYTES:
        return ", ".join(field.media_types) or ("image/*" if field.type == "image" else "application/octet-stream")
    return "str" if field.type == "str" else "application/json"


def _example(field: Field) -> Any:
    if field.allowed:
        return field.allowed[0]
    if field.type == "object":
        return {each.name: _example(each) for each in field.fields}
    if field.type == "list":
        return [] if field.item is None else [_example(field.item) for _ in range(field.least or 0)]
    if field.type in BYTES:
        return to_base64(_example_bytes(field))
    if field.type in ("float", "int"):
        return _example_number(field)
    if field.type == "str":
        return "text".ljust(field.least or 0, ".")[: field.most]
    return {} if field.type == "json" else False


def _example_bytes(field: Field) -> bytes:
    if field.type == "image" or "image/png" in field.media_types:
        return _PIXEL
    return b"text".ljust(field.least or 0, b".")[: field.most]


def _example_number(field: Field) -> float | int:
    low = field.minimum if field.minimum is not None else min(0.0, field.maximum or 0.0)
    value = (low + field.maximum) / 2 if field.maximum is not None else low
    return float(value) if field.type == "float" else int(value)
