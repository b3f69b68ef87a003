"""Models of Tesseract: a traineddata file behind a contract."""

from __future__ import annotations

import base64
import io
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
INSTALLED = pytest.mark.skipif(not (STOCK.exists() and FONT.exists()), reason="needs make system")


def line(text: str) -> str:
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(str(FONT), 34)
    image = Image.new("L", (int(font.getlength(text)) + 16, 48), 255)
    ImageDraw.Draw(image).text((8, 2), text, font=font, fill=0)
    out = io.BytesIO()
    image.save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


@INSTALLED
def test_a_registered_model_reads_lines_and_says_how_sure_it_is(sqlite_project: LocalProject) -> None:
    data = STOCK.read_bytes()
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


@INSTALLED
def test_a_file_describes_its_components() -> None:
    described = get_flavour("tesseract").describe({"eng.traineddata": STOCK.read_bytes()})

    # as `combine_tessdata -d` lists them
    assert described["components"]["lstm"] == 401636 and described["components"]["version"] == 30
    assert described["bytes"] == STOCK.stat().st_size


@INSTALLED
@pytest.mark.parametrize(
    ("image", "told"), [("no base64!", "is not base64"), (base64.b64encode(b"text").decode(), "this is not a picture")]
)
def test_what_is_no_picture_is_told(image: str, told: str) -> None:
    predictor = get_flavour("tesseract").load({"eng.traineddata": STOCK.read_bytes()}, CONTRACT, ())

    with pytest.raises(InvalidInputError, match=told):
        predictor.predict({"image": np.array([image], object)})


def test_bytes_that_are_no_model_are_refused() -> None:
    flavour = get_flavour("tesseract")

    with pytest.raises(CorruptError, match="table of components"):
        flavour.describe({"x": b"no model"})
    with pytest.raises(CorruptError, match="Tesseract can use"):
        flavour.load({"x": b"no model"}, CONTRACT, ())
    with pytest.raises(InvalidInputError, match="path of its folder"):
        flavour.save(object(), CONTRACT)
