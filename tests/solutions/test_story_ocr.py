"""The training half of the story app's OCR, with the real tools."""

from __future__ import annotations

import base64
import importlib
import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

import headwater as hw
from headwater.check import publish_tables
from headwater.flow import draw_flow
from headwater.project import LocalProject, open_project

FOLDER = Path(__file__).parents[2] / "solutions" / "story_ocr"
NAMES = ("doctor", "floating", "scoring", "writing")
BOXES = ["get raw data", "clean", "pre-process", "train", "compare", "store"]


@pytest.fixture
def tools() -> None:
    """Fail where Tesseract's own tools are missing."""
    if shutil.which("lstmtraining") is None:
        pytest.fail("tesseract-ocr is not installed: run 'make system'")


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield {name: importlib.import_module(name) for name in NAMES}
    for name in NAMES:
        sys.modules.pop(name, None)


def frame(edits: list[int], characters: int = 10) -> Any:
    import pandas as pd

    return pd.DataFrame({"character_edits": edits, "characters": [characters] * len(edits)})


def test_edits_are_counted_as_levenshtein_does(modules: dict[str, ModuleType]) -> None:
    edits = modules["scoring"].edits

    assert [edits("kitten", "sitting"), edits("", "abc"), edits("abc", ""), edits("flaw", "lawn")] == [3, 3, 3, 2]
    assert edits(["a", "quiet", "mouse"], ["a", "mouse"]) == 1


def test_an_interval_excludes_zero_only_where_lines_differ(modules: dict[str, ModuleType]) -> None:
    interval = modules["scoring"].interval
    low, high = interval(frame([1] * 50), "character", against=frame([3] * 50))
    mixed = interval(frame([0, 4] * 25), "character", against=frame([4, 0] * 25))

    assert low == high == pytest.approx(-0.2)
    assert mixed[0] < 0 < mixed[1]


def test_lines_are_the_same_for_a_seed_and_writers_stay_apart(modules: dict[str, ModuleType]) -> None:
    assert modules["doctor"].problems() == []
    pages = modules["writing"].pages
    one, two, other = pages(7, 4, 1), pages(7, 4, 1), pages(7, 4, 2)
    writers = {part: {w for w, p in zip(one["writer"], one["part"], strict=True) if p == part} for part in one["part"]}

    assert one == two and one["text"] != other["text"]
    assert not writers["train"] & writers["held_out"] and all(png.startswith(b"\x89PNG") for png in one["png"])


def test_what_is_no_integer_network_is_refused(modules: dict[str, ModuleType]) -> None:
    with pytest.raises(ValueError, match="does not begin with its type"):
        modules["floating"].to_float(b"\x07" * 40)
    with pytest.raises(ValueError, match="breaks off"):
        modules["floating"].to_float(b"\x00\x06\x00")


@pytest.mark.usefixtures("tools")
def test_a_float_network_is_one_that_the_tools_take(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    stock = "/usr/share/tesseract-ocr/5/tessdata/eng.traineddata"
    subprocess.run(["combine_tessdata", "-e", stock, "eng.lstm"], cwd=tmp_path, check=True, capture_output=True)
    integer = (tmp_path / "eng.lstm").read_bytes()
    made = modules["floating"].to_float(integer)

    assert len(made) > 6 * len(integer)
    with pytest.raises(ValueError, match="float already"):
        modules["floating"].to_float(made)
    with pytest.raises(ValueError, match="breaks off"):
        modules["floating"].to_float(integer[:-100_000])


def test_the_doctor_names_what_is_missing(modules: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules["doctor"], "PACKAGES", {"no-such-font": ("/usr/share/fonts/none.ttf",)})
    monkeypatch.setattr(modules["doctor"], "MODULES", {"no_such_module": "ocr"})

    assert modules["doctor"].problems() == [
        "missing of Debian: no-such-font. As root: apt-get install no-such-font",
        "missing of Python: pip install 'headwater[ocr]'",
    ]


def test_a_blank_picture_waits_in_quarantine_and_the_verdict_shows_it(
    sqlite_project: LocalProject, project_folder: Path
) -> None:
    import pandas as pd

    def picture(ink: int) -> bytes:
        made, out = Image.new("L", (60, 20), 240), io.BytesIO()
        made.putpixel((3, 3), 240 - ink)
        made.save(out, "PNG")
        return out.getvalue()

    for name in ("headwater.toml", "checks.py"):
        shutil.copy(FOLDER / name, project_folder / name)
    pictures = [picture(200), picture(0), b"no picture", picture(12)]
    rows = {"id": list("abcd"), "part": ["train"] * 4, "writer": ["w"] * 4, "text": ["a"] * 4, "png": pictures}

    with open_project(project_folder, actor="ann") as project:
        published = publish_tables(project, "lines", {"lines": pd.DataFrame(rows)})

    assert not published.published and published.verdict is not None
    (found,) = [each for each in published.verdict.results if each.name == "ink on every picture"]
    assert [row["id"] for row in found.sample] == ["b", "c", "d"]
    assert found.sample[0]["png"] == "data:image/png;base64," + base64.b64encode(pictures[1]).decode()


@pytest.mark.usefixtures("tools")
def test_the_story_trains_remembers_and_trains_one_again(tmp_path: Path) -> None:
    words = "--lines 24 --held-out 6 --iterations 20 --seconds 300 --rates 0.002 0.001"
    done = subprocess.run(
        [sys.executable, str(FOLDER / "story.py"), "--folder", str(tmp_path / "p"), *words.split()],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()

    assert "run again: done, 0 steps ran" in done.stdout, done.stdout + done.stderr
    assert "last rate ran: best_checkpoint, compare, fine_tune, finish, read_held_out, store" in done.stdout
    assert sum(" CER " in line for line in lines) == 3 and "synthetic handwriting" in done.stdout
    project = open_project(tmp_path / "p", actor="ann")
    assert isinstance(project, LocalProject)
    with project:
        assert [box.name for box in draw_flow(project, "story-ocr").boxes] == BOXES
        read_with_the_stored_model(project)


def read_with_the_stored_model(project: LocalProject) -> None:
    png = hw.data("lines@main", project=project).to_pandas()["png"].iloc[0]
    found = hw.load_model("story-ocr@v1", project=project).predict([{"image": base64.b64encode(bytes(png)).decode()}])

    assert isinstance(found[0]["text"], str) and 0 <= found[0]["confidence"] <= 1
