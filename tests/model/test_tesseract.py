"""Models of Tesseract: a traineddata file behind a contract."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headwater.errors import CorruptError, InvalidInputError
from headwater.model import Contract, Field, ModelFile, execution_of, load, register
from headwater.model.flavours import get_flavour
from headwater.project import LocalProject

STOCK = Path("/usr/share/tesseract-ocr/5/tessdata/eng.traineddata")
FONT = Path("/usr/share/fonts/opentype/comic-neue/ComicNeue-Bold.otf")
CONTRACT = Contract(
    inputs=(Field(name="image", type="str"),),
    outputs=(Field(name="text", type="str"), Field(name="sure", type="float", source="confidence")),
)


def debian(path: Path) -> Path:
    """Return a file of a Debian package; where it is missing the test fails, and says what to do."""
    if not path.exists():
        pytest.fail(f"'{path}' is missing: install the Debian packages of the tests with 'make system'", pytrace=False)
    return path


def line(text: str) -> str:
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(str(debian(FONT)), 34)
    image = Image.new("L", (int(font.getlength(text)) + 16, 48), 255)
    ImageDraw.Draw(image).text((8, 2), text, font=font, fill=0)
    out = io.BytesIO()
    image.save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def test_a_registered_model_reads_lines_and_says_how_sure_it_is(sqlite_project: LocalProject) -> None:
    data = debian(STOCK).read_bytes()
    file = ModelFile(
        name="eng.traineddata", digest=sqlite_project.objects.put(data), size=len(data), flavour="tesseract"
    )
    version = register(sqlite_project, "reader", files=[file], contract=CONTRACT)
    loaded = load(sqlite_project, "reader@v1")
    rows: list[dict[str, Any]] = [{"image": line("seven stars")}, {"image": line("the moon")}]
    said = loaded.predict(rows)

    assert version.flavour == "tesseract" and [row["text"] for row in said] == ["seven stars", "the moon"]
    assert all(0.5 < row["sure"] <= 1 for row in said) and loaded.predict(rows) == said
    assert "tesserocr" in execution_of("tesseract").engines


def test_a_file_describes_its_components() -> None:
    described = get_flavour("tesseract").describe({"eng.traineddata": debian(STOCK).read_bytes()})

    # as `combine_tessdata -d` lists them
    assert described["components"]["lstm"] == 401636 and described["components"]["version"] == 30
    assert described["bytes"] == STOCK.stat().st_size


def picture(form: str, *, width: int = 30, height: int = 30) -> str:
    from PIL import Image

    out = io.BytesIO()
    Image.new("L", (width, height)).save(out, form)
    return base64.b64encode(out.getvalue()).decode()


def bomb() -> str:
    """A PNG picture of a few bytes whose head says 20,000 x 20,000 pixels."""
    data = bytearray(base64.b64decode(picture("PNG")))
    data[16:24] = struct.pack(">II", 20_000, 20_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return base64.b64encode(bytes(data)).decode()


@pytest.fixture(scope="module")
def reader() -> Any:
    return get_flavour("tesseract").load({"eng.traineddata": debian(STOCK).read_bytes()}, CONTRACT, ())


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (lambda: "no base64!", "is not base64"),
        (lambda: None, "there is no picture"),
        (lambda: base64.b64encode(b"text").decode(), "this is not a picture"),
        (lambda: picture("GIF"), "not a picture that can be read as PNG, JPEG or TIFF"),  # it is read by no contract
        (bomb, "decompression bomb"),
        (lambda: picture("PNG", width=40_000, height=3), "cannot read a picture of 40,000 x 3 pixels"),
        (lambda: picture("PNG")[:60], "this is not a picture"),
    ],
)
def test_what_is_no_picture_is_told(reader: Any, image: Callable[[], Any], told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        reader.predict({"image": np.array([image()], object)})


def test_a_picture_is_told_whatever_its_reader_raises(reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    def broken(*_: object, **__: object) -> None:
        raise IndexError("tuple index out of range")

    monkeypatch.setattr(Image, "open", broken)

    with pytest.raises(InvalidInputError, match="tuple index out of range"):
        reader.predict({"image": np.array([picture("PNG")], object)})


def test_an_output_that_tesseract_does_not_give_is_told() -> None:
    stock = {"eng.traineddata": debian(STOCK).read_bytes()}
    page = np.array([picture("PNG")], object)

    for source, told in (("words", "but the model gives text, confidence"), ("confidence[1]", "has 1 for each row")):
        contract = Contract(inputs=CONTRACT.inputs, outputs=(Field(name="sure", type="float", source=source),))
        with pytest.raises(InvalidInputError, match=told):
            get_flavour("tesseract").load(stock, contract, ()).predict({"image": page})
    with pytest.raises(InvalidInputError, match="has one input, a picture; the contract has none"):
        get_flavour("tesseract").load(stock, Contract(inputs=(), outputs=CONTRACT.outputs), ())


def test_a_file_that_was_cut_off_is_no_model() -> None:
    data = debian(STOCK).read_bytes()

    for length in (1_000, 100_000):
        with pytest.raises(CorruptError, match="is cut off: a part begins at"):
            get_flavour("tesseract").describe({"x": data[:length]})


def test_a_missing_package_fails_and_names_make_system(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="make system"):
        debian(tmp_path / "eng.traineddata")


def test_bytes_that_are_no_model_are_refused() -> None:
    flavour = get_flavour("tesseract")

    with pytest.raises(CorruptError, match="table of components"):
        flavour.describe({"x": b"no model"})
    with pytest.raises(CorruptError, match="Tesseract can use"):
        flavour.load({"x": b"no model"}, CONTRACT, ())
    with pytest.raises(InvalidInputError, match="path of its folder"):
        flavour.save(object(), CONTRACT)
