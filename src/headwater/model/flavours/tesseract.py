"""Tesseract: a ``*.traineddata`` file that reads one line of writing, answered by tesserocr with one thread.

The contract's one input is a picture file (PNG, JPEG, TIFF), an ``image`` or a ``str`` of base64; the outputs are the
text, spaces as one, and the mean confidence of its words between 0 and 1.
"""

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from headwater.errors import CorruptError, InvalidInputError, MissingExtraError

from ..contract import Contract, Field
from ..media import from_base64
from .files import Files, given_files, only
from .outputs import Array, NamedOutputs

ENGINES = ("tesserocr",)
FILE = "model.traineddata"
_LANGUAGE = "model"
_SUGGESTED = Contract(
    inputs=(Field(name="image", type="image", description="a line of writing"),),
    outputs=(
        Field(name="text", type="str"),
        Field(name="confidence", type="float", minimum=0.0, maximum=1.0, description="mean of the words' confidences"),
    ),
)


def save(model: Any, contract: Contract) -> dict[str, bytes]:
    """Return the file of a model that was trained elsewhere: there is nothing to convert.

    Raises:
        InvalidInputError: it is neither the bytes of a ``*.traineddata`` file nor its path.
        CorruptError: the file is no such file.
    """
    files = {FILE: model} if isinstance(model, bytes) else given_files(model, "a Tesseract model")
    describe(files)
    return {FILE: only(files, "tesseract")}


def load(files: Files, contract: Contract, trusted: Sequence[str] = ()) -> TesseractPredictor:
    """Return the model of a traineddata file, ready to read; ``trusted`` is not needed, the file holds no code.

    Raises:
        CorruptError: Tesseract cannot use the bytes.
        MissingExtraError: tesserocr is not installed.
    """
    return TesseractPredictor(only(files, "tesseract"), contract)


def describe(files: Files) -> dict[str, Any]:
    """Return the components of a traineddata file with their sizes in bytes.

    Raises:
        CorruptError: the bytes are no such file.
    """
    data = only(files, "tesseract")
    count = int.from_bytes(data[:4], "little", signed=True)
    if not 0 < count <= 64 or len(data) < 4 + 8 * count:
        raise CorruptError("these bytes are not a traineddata file: its table of components is missing.")
    offsets = [int.from_bytes(data[4 + 8 * n : 12 + 8 * n], "little", signed=True) for n in range(count)]
    if max(offsets) >= len(data):
        raise CorruptError(
            f"this traineddata file is cut off: a part begins at {max(offsets):,} of {len(data):,} bytes."
        )
    starts = sorted({each for each in offsets if each >= 0} | {len(data)})
    sizes = {n: starts[starts.index(each) + 1] - each for n, each in enumerate(offsets) if each >= 0}
    return {
        "components": {_COMPONENTS.get(n, str(n)): size for n, size in sizes.items()},
        "contract": _SUGGESTED,
        "bytes": len(data),
    }


class TesseractPredictor:
    """A model that reads pictures of lines; one at a time."""

    def __init__(self, data: bytes, contract: Contract) -> None:
        if len(contract.inputs) != 1:
            raise InvalidInputError(f"a Tesseract model has one input, a picture; the contract has {_named(contract)}.")
        self._contract = contract
        self._named = NamedOutputs(contract)
        self._lock = threading.Lock()
        self._block = reading(data)
        self._read = self._block.__enter__()

    def predict(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """Return each contract output, shape (rows,), for the column of pictures.

        Raises:
            InvalidInputError: a picture is not base64, not a picture, or too large; or there is no such output.
        """
        name = self._contract.inputs[0].name
        with self._lock:
            found = [self._read(_bytes(each)) for each in columns[name]]
        texts, sure = [text for text, _ in found], [sure for _, sure in found]
        return self._named({"text": np.array(texts, object), "confidence": np.array(sure, np.float64)})


def _named(contract: Contract) -> str:
    return ", ".join(field.name for field in contract.inputs) or "none"


def _bytes(picture: Any) -> bytes:
    if picture is None:
        raise InvalidInputError("there is no picture in this row.")
    return picture if isinstance(picture, bytes) else from_base64(picture)


@contextmanager
def reading(data: bytes) -> Iterator[Callable[[bytes], tuple[str, float]]]:
    """Yield what reads the picture file of one line: its text and the confidence, 0 to 1.

    Raises:
        CorruptError: Tesseract cannot use the model's bytes.
        MissingExtraError: tesserocr or Pillow is not installed.
    """
    # Before the library is loaded: with several threads a sum's order, and so a close call, may differ.
    os.environ.setdefault("OMP_THREAD_LIMIT", "1")
    try:
        import tesserocr
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError(error.name or "tesserocr", "ocr", "reading with a Tesseract model") from error
    with tempfile.TemporaryDirectory(prefix="hw-") as folder:
        (Path(folder) / f"{_LANGUAGE}.traineddata").write_bytes(data)
        try:
            api = tesserocr.PyTessBaseAPI(path=folder, lang=_LANGUAGE, psm=tesserocr.PSM.RAW_LINE)
        except RuntimeError as error:
            raise CorruptError(f"these bytes are not a model that Tesseract can use: {error}") from error

    def read(picture: bytes) -> tuple[str, float]:
        try:
            # Only what the contract offers: Pillow would try the readers of forty formats, some run other programs.
            image = Image.open(io.BytesIO(picture), formats=("PNG", "JPEG", "TIFF")).convert("L")
        except Exception as error:  # on damaged bytes its readers raise whatever comes
            raise InvalidInputError(f"this is not a picture that can be read as PNG, JPEG or TIFF: {error}.") from error
        api.SetImage(image)
        try:
            text = " ".join(api.GetUTF8Text().split())
        except RuntimeError as error:  # a side of 32,768 pixels or more
            raise InvalidInputError(
                f"Tesseract cannot read a picture of {image.width:,} x {image.height:,} pixels: give one line of "
                f"writing, some 50 pixels high. It says: {error}"
            ) from error
        return text, api.MeanTextConf() / 100 if text else 0.0

    try:
        yield read
    finally:
        api.End()


# Of tesseract's src/ccutil/tessdatamanager.h; those of the older engine go by their number.
_COMPONENTS = {
    17: "lstm", 18: "lstm-punc-dawg", 19: "lstm-word-dawg", 20: "lstm-number-dawg", 21: "lstm-unicharset",
    22: "lstm-recoder", 23: "version",
}  # fmt: skip
