"""ONNX graphs that join columns they are given: given one matrix, they need not join.

Feeding thirty tensors of one number each costs five times what feeding one tensor of thirty does, and joining moves
numbers without changing them. So such a graph is opened without that step; the file itself stays as it is. What is
read here is the wire format of protobuf (field number and kind, then a value or a length and bytes), because
importing the ``onnx`` package would take longer than opening most models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headwater.errors import CorruptError

# Field numbers of onnx.proto (ONNX IR version 10).
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INPUT = 1, 11
_NODE_INPUT, _NODE_OUTPUT, _NODE_KIND, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_INPUT_NAME = 1
_ATTRIBUTE_NAME, _ATTRIBUTE_INT = 1, 3
_VARINT, _WIDE, _BYTES, _NARROW = 0, 1, 2, 5
_FLOAT = 1
_HOLDING_GRAPHS = (b"If", b"Loop", b"Scan", b"SequenceMap")


def as_matrix(data: bytes) -> tuple[bytes, str, list[str]] | None:
    """Return a model that takes 32-bit floats as one matrix, the matrix's name, and which inputs are its columns.

    None where no step of the graph joins inputs side by side, each of shape (rows, 1), that nothing else reads. Other
    inputs stay as they are.
    """
    try:
        return _without_join(data)
    except (CorruptError, UnicodeDecodeError, IndexError):
        return None  # onnxruntime says better what is wrong with such bytes


def names_other_files(data: bytes) -> bool:
    """Tell whether a tensor of a model is kept outside its bytes, in a file that it names.

    Raises:
        CorruptError: the bytes end within a field.
    """
    # A tensor kept elsewhere says so under the key "location"; most models have no such word, and are not walked.
    return b"location" in data and _names_other_files(data, "model")


# Where tensors may be, by message and field number (onnx.proto, ONNX IR version 10 and its training part).
_TENSORS_IN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_TENSOR_EXTERNAL, _TENSOR_PLACE = 13, 14


def _names_other_files(message: bytes, what: str) -> bool:
    if what == "tensor":
        return any(
            number == _TENSOR_EXTERNAL or (number == _TENSOR_PLACE and _read_varint(value, 0)[0] != 0)
            for number, _, value in _fields(message)
        )
    return any(
        kind == _BYTES and number in _TENSORS_IN[what] and _names_other_files(value, _TENSORS_IN[what][number])
        for number, kind, value in _fields(message)
    )


def _without_join(data: bytes) -> tuple[bytes, str, list[str]] | None:
    model = list(_fields(data))
    graphs = [place for place, (number, _, _) in enumerate(model) if number == _MODEL_GRAPH]
    if len(graphs) != 1:
        return None
    graph = list(_fields(model[graphs[0]][2]))
    nodes = [place for place, (number, _, _) in enumerate(graph) if number == _GRAPH_NODE]
    given = {
        _text(value, _INPUT_NAME): place for place, (number, _, value) in enumerate(graph) if number == _GRAPH_INPUT
    }
    for place in nodes:
        matrix, columns = _join(graph[place][2])
        if len(set(columns)) > 1 and all(
            name in given and graph[given[name]][2] == _value_info(name, 1) for name in columns
        ):
            break
    else:
        return None
    others = [graph[each][2] for each in nodes if each != place]
    if len(set(columns)) < len(columns) or not others or any(_reads(node, set(columns)) for node in others):
        return None
    gone = {place, *(given[name] for name in columns)}
    kept = [each for number, each in enumerate(graph) if number not in gone]
    kept.append((_GRAPH_INPUT, _BYTES, _value_info(matrix, len(columns))))
    model[graphs[0]] = (_MODEL_GRAPH, _BYTES, _written(kept))
    return _written(model), matrix, columns


def _reads(node: bytes, names: set[str]) -> bool:
    """Tell whether a node reads one of some values, or holds a graph of its own that might."""
    fields = list(_fields(node))
    if any(number == _NODE_KIND and value in _HOLDING_GRAPHS for number, _, value in fields):
        return True
    return any(number == _NODE_INPUT and value.decode() in names for number, _, value in fields)


def _join(node: bytes) -> tuple[str, list[str]]:
    """Return the name of the whole and what a node joins side by side; nothing when it does something else."""
    fields = list(_fields(node))
    texts = {number: value.decode() for number, kind, value in fields if kind == _BYTES and number != _NODE_ATTRIBUTE}
    attributes = [value for number, _, value in fields if number == _NODE_ATTRIBUTE]
    if texts.get(_NODE_KIND) != "Concat" or texts.get(_NODE_DOMAIN) or len(attributes) != 1:
        return "", []
    axis = {number: value for number, _, value in _fields(attributes[0])}
    if axis.get(_ATTRIBUTE_NAME) != b"axis" or axis.get(_ATTRIBUTE_INT) != b"\x01":
        return "", []
    return texts[_NODE_OUTPUT], [value.decode() for number, _, value in fields if number == _NODE_INPUT]


def _value_info(name: str, width: int) -> bytes:
    """Return the ValueInfoProto of 32-bit floats of shape (any, ``width``)."""
    shape = _field(1, b"") + _field(1, bytes([1 << 3 | _VARINT]) + _varint(width))
    tensor = bytes([1 << 3 | _VARINT, _FLOAT]) + _field(2, shape)
    return _field(_INPUT_NAME, name.encode()) + _field(2, _field(1, tensor))


def _text(message: bytes, wanted: int) -> str:
    return next(value.decode() for number, _, value in _fields(message) if number == wanted)


def _fields(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield number, kind and bytes of each field of a protobuf message, in its order."""
    place = 0
    while place < len(message):
        tag, place = _read_varint(message, place)
        kind, start = tag & 7, place
        if kind == _VARINT:
            _, place = _read_varint(message, place)
        elif kind == _BYTES:
            length, start = _read_varint(message, place)
            place = start + length
        elif kind in (_WIDE, _NARROW):
            place += 8 if kind == _WIDE else 4
        else:
            raise CorruptError(f"a protobuf field has the unknown kind {kind}.")
        if place > len(message):
            raise CorruptError("a protobuf field ends beyond its message.")
        yield tag >> 3, kind, message[start:place]


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


def _written(fields: Sequence[tuple[int, int, bytes]]) -> bytes:
    return b"".join(
        _field(number, value) if kind == _BYTES else _varint(number << 3 | kind) + value
        for number, kind, value in fields
    )


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    written.append(value)
    return bytes(written)
