"""An integer ("fast") Tesseract network made float again, so that training can go on from it.

Each weight is written as its 8-bit value times the scale of its row. The rounding of the fast model stays in.
The layout is that of Tesseract 5 (``WeightMatrix::Serialize``, ``Network::Serialize`` and the layers of ``src/lstm``).
"""

from __future__ import annotations

import struct

import numpy as np

_INNER = (
    "Series", "Parallel", "Replicated", "ParBidiLSTM", "DepParUDLSTM", "Par2dLSTM", "RTLReversed", "TTBReversed",
    "XYTranspose",
)  # fmt: skip
_FULL = ("Logistic", "LinLogistic", "LinTanh", "Tanh", "Relu", "Linear", "Softmax", "SoftmaxNoCTC")
_LAYER_RATES, _INT_MODE, _DOUBLE = 64, 1, 128


class NotAFastNetworkError(ValueError):
    """The bytes are no integer network of Tesseract 4 or 5."""


def to_float(network: bytes) -> bytes:
    """Return the ``.lstm`` component of a fast model as one that ``lstmtraining --continue_from`` takes.

    Raises:
        NotAFastNetworkError: the bytes are something else.
    """
    try:
        return _Reader(network).all()
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise NotAFastNetworkError(f"the network ends or breaks off: {error}") from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.out = bytearray()

    def all(self) -> bytes:
        self.layer()
        self.text()
        (flags,) = struct.unpack("<i", self.taken(4))
        return bytes(self.out + struct.pack("<i", flags & ~_INT_MODE) + self.data[self.at :])

    def taken(self, count: int) -> bytes:
        found = self.data[self.at : self.at + count]
        if len(found) < count:
            raise IndexError(f"{count} bytes wanted at {self.at}, {len(found)} there")
        self.at += count
        return found

    def copied(self, count: int) -> bytes:
        found = self.taken(count)
        self.out += found
        return found

    def number(self) -> int:
        return int(struct.unpack("<i", self.copied(4))[0])

    def count(self) -> int:
        return int(struct.unpack("<I", self.copied(4))[0])

    def text(self) -> str:
        return self.copied(self.count()).decode()

    def layer(self) -> None:
        if self.copied(1) != b"\0":
            raise NotAFastNetworkError("a layer does not begin with its type's name, as it does since Tesseract 4")
        kind = self.text()
        self.copied(2)  # whether it trains, whether it needs the gradient of what is before it
        flags, inputs, _, _ = (self.number() for _ in range(4))
        self.text()
        if kind in _INNER:
            for _ in range(self.count()):
                self.layer()
            if flags & _LAYER_RATES:
                self.copied(4 * self.count())
        elif kind == "Input":
            self.copied(20)
        elif kind in ("Convolve", "Maxpool", "Reconfig"):
            self.copied(8)
        elif kind in ("LSTM", "SummLSTM"):
            self.lstm(inputs)
        elif kind in _FULL:
            self.weights()
        else:
            raise NotAFastNetworkError(f"there is a layer of a kind not known here: '{kind}'")

    def lstm(self, inputs: int) -> None:
        width = self.number()
        states = self.weights()  # one row per state; four gates follow, the last for two dimensions only
        for _ in range(3 + (width == inputs + 2 * states)):
            self.weights()

    def weights(self) -> int:
        mode = self.taken(1)[0]
        if not mode & _INT_MODE:
            raise NotAFastNetworkError("the weights are float already")
        if not mode & _DOUBLE:
            raise NotAFastNetworkError("the weights are in the format of an old Tesseract 4 alpha")
        rows, columns = struct.unpack("<II", self.taken(8))
        self.taken(1)
        values = np.frombuffer(self.taken(rows * columns), dtype=np.int8).reshape(rows, columns)
        (scales_count,) = struct.unpack("<I", self.taken(4))
        scales = np.frombuffer(self.taken(8 * scales_count), dtype="<f8")
        made = values.astype("<f8") * scales[:rows, None]
        self.out += bytes([_DOUBLE]) + struct.pack("<II", rows, columns) + struct.pack("<d", 0.0) + made.tobytes()
        return int(rows)
