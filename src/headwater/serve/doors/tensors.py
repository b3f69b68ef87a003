"""Tensors of the Open Inference Protocol v2 as rows of a contract, and outputs as tensors; in JSON and in binary.

Source: https://kserve.github.io/open-inference-protocol, "Inference" and its binary tensor data extension: numbers are
little-endian, BYTES elements each have their length before them as 4 bytes.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from headwater.errors import InvalidInputError
from headwater.model.contract import BYTES, NESTED
from headwater.model.rendering import tensor_of

from ..answering import MOST_ROWS

if TYPE_CHECKING:
    from headwater.model import Contract, Field

DTYPES: dict[str, str] = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip


_MOST_DIMENSIONS = 32


class Tensor(msgspec.Struct, kw_only=True):
    """A tensor as the protocol writes it; ``parameters.binary_data_size`` tells that its data follow the JSON."""

    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: dict[str, Any] = {}


def rows_of(contract: Contract, tensors: Sequence[Tensor], binary: memoryview) -> list[dict[str, Any]]:
    """Return the rows that tensors of shape ``[rows]`` or ``[rows, width]`` hold; ``binary`` is what followed the JSON.

    A tensor whose name the contract lacks becomes a value of each row, so that the contract's refusal names it.

    Raises:
        InvalidInputError: shapes, datatypes and data do not agree; the message says which tensor.
    """
    columns: dict[str, list[Any]] = {}
    offset = 0
    fields = {field.name: field for field in contract.inputs}
    for tensor in tensors:
        size = tensor.parameters.get("binary_data_size")
        if size is not None:
            if type(size) is not int or size < 0 or offset + size > len(binary):
                raise _wrong(
                    tensor, f"binary_data_size {size} is not in the {len(binary) - offset:,} bytes that follow"
                )
            values = _from_binary(tensor, binary[offset : offset + size])
            offset += size
        else:
            values = _flat(tensor.data)
        columns[tensor.name] = _per_row(tensor, values, fields.get(tensor.name), binary=size is not None)
    if offset != len(binary):
        raise InvalidInputError(
            f"{len(binary) - offset:,} bytes follow the JSON that no input's binary_data_size names."
        )
    counts = {len(values) for values in columns.values()}
    if len(counts) > 1:
        told = ", ".join(f"{name}: {len(values)}" for name, values in columns.items())
        raise InvalidInputError(
            f"the inputs differ in their number of rows ({told}): each needs the same first dimension."
        )
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def tensors_of(
    contract: Contract, predictions: Sequence[Mapping[str, Any]], wanted: Mapping[str, bool]
) -> tuple[list[dict[str, Any]], bytes]:
    """Return the outputs as tensors, and the bytes that follow the JSON; ``wanted`` maps names to "in binary".

    Raises:
        InvalidInputError: an output that is not in the contract was asked for.
    """
    tensors, parts = [], []
    for name, in_binary in wanted.items():
        field = contract.output(name)
        datatype, width = tensor_of(field)
        values = [each[name] for each in predictions]
        shape = [len(values)] if width == 1 else [len(values), width]
        tensor: dict[str, Any] = {"name": name, "shape": shape, "datatype": datatype}
        flat = values if width == 1 else [one for each in values for one in (each or [None] * width)]
        if in_binary:
            data = _to_binary(field, datatype, flat)
            tensor["parameters"] = {"binary_data_size": len(data)}
            parts.append(data)
        else:
            tensor["data"] = [_text(field, each) for each in flat] if datatype == "BYTES" else flat
        tensors.append(tensor)
    return tensors, b"".join(parts)


def _per_row(tensor: Tensor, values: list[Any], field: Field | None, *, binary: bool) -> list[Any]:
    """Return one value per row, or one list of values where the field is a list of a fixed length."""
    if not tensor.shape or any(type(each) is not int or each < 0 for each in tensor.shape):
        raise _wrong(tensor, f"its shape {tensor.shape} is not a list of whole numbers, the first the number of rows")
    rows = tensor.shape[0]
    if not 0 < rows <= MOST_ROWS:
        raise _wrong(tensor, f"its shape says {rows:,} rows where a request holds 1 to {MOST_ROWS:,}")
    if len(tensor.shape) > _MOST_DIMENSIONS or any(length >= 1 << 63 for length in tensor.shape):
        raise _wrong(tensor, f"its shape has more than {_MOST_DIMENSIONS} dimensions, or one beyond 64 bits")
    each = math.prod(tensor.shape[1:])
    if rows * each != len(values):
        raise _wrong(tensor, f"its shape {tensor.shape} wants {rows * each:,} values, its data have {len(values):,}")
    width = field.width if field is not None else None
    if width is not None:
        if each != width:
            raise _wrong(tensor, f"a row has {each:,} values where the contract wants {width}")
        return [values[at * each : (at + 1) * each] for at in range(rows)]
    if each != 1:
        raise _wrong(tensor, f"a row has {each} values where the contract wants one: give it the shape [{rows}]")
    if tensor.datatype == "BYTES":
        return [_from_bytes(tensor, field, value, binary=binary) for value in values]
    return values


def _from_bytes(tensor: Tensor, field: Field | None, value: Any, *, binary: bool) -> Any:
    kind = field.type if field is not None else "str"
    if kind in BYTES:
        return base64.b64encode(value).decode() if binary else value
    try:
        text = value.decode() if isinstance(value, bytes) else value
        return msgspec.json.decode(text) if kind in NESTED and isinstance(text, str) else text
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise _wrong(tensor, f"an element is not {'JSON' if kind in NESTED else 'UTF-8'} ({error})") from error


def _from_binary(tensor: Tensor, data: memoryview) -> list[Any]:
    if tensor.datatype == "BYTES":
        found, at = [], 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 4], "little")
            if at + 4 + length > len(data):
                raise _wrong(tensor, f"the element at byte {at} says it has {length:,} bytes, more than there are")
            found.append(bytes(data[at + 4 : at + 4 + length]))
            at += 4 + length
        return found
    dtype = DTYPES.get(tensor.datatype)
    if dtype is None:
        raise _wrong(tensor, f"its datatype '{tensor.datatype}' is none of {', '.join(DTYPES)}, BYTES")
    if len(data) % np.dtype(dtype).itemsize:
        raise _wrong(tensor, f"its {len(data):,} bytes are no whole number of {tensor.datatype} values")
    values: list[Any] = np.frombuffer(data, dtype).tolist()
    return values


def _to_binary(field: Field, datatype: str, values: Sequence[Any]) -> bytes:
    if datatype == "BYTES":
        elements = [_element(field, each) for each in values]
        return b"".join(len(each).to_bytes(4, "little") + each for each in elements)
    if any(each is None for each in values):
        if datatype != "FP64":
            raise InvalidInputError(
                f"the output '{field.name}' lacks a value, which {datatype} cannot say: ask for JSON."
            )
        values = [float("nan") if each is None else each for each in values]
    return np.array(values, DTYPES[datatype]).tobytes()


def _element(field: Field, value: Any) -> bytes:
    if field.type in BYTES and value is not None:
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return str(value).encode()
    return _text(field, value).encode() if value is not None else b""


def _text(field: Field, value: Any) -> Any:
    return msgspec.json.encode(value).decode() if field.type in NESTED and value is not None else value


def _flat(data: Any) -> list[Any]:
    """Return nested lists as one, in row order."""
    if not isinstance(data, list):
        return [] if data is None else [data]
    if not any(isinstance(each, list) for each in data):
        return data
    return [one for each in data for one in (_flat(each) if isinstance(each, list) else [each])]


def _wrong(tensor: Tensor, why: str) -> InvalidInputError:
    return InvalidInputError(f"the input '{tensor.name}' cannot be read: {why}.", input=tensor.name)
