"""Checks of the lines that say more than a bound."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

import headwater as hw

INK = 40  # of 255: less is an empty sheet with its noise


@hw.check(
    "lines",
    name="no writer on both sides",
    owner="story team",
    do="Move all lines of these writers to one part: a model measured on who taught it looks better than it is.",
)
def writers_apart(lines: Any) -> list[str]:
    """The held-out writers stand for children that the model has not met."""
    found = lines.sql(
        "SELECT writer FROM data GROUP BY writer HAVING count(DISTINCT part) > 1 ORDER BY writer"
    ).fetchall()
    return [f"lines of the writer '{writer}' are both trained on and held out" for (writer,) in found]


@hw.check(
    "lines",
    name="ink on every picture",
    owner="story team",
    do="Scan these lines again, or leave them out.",
)
def written_on(lines: Any) -> Any:
    """A blank or broken picture with a text beside it teaches the model to invent."""
    blank = [number for number, png in lines.sql("SELECT id, png FROM data").fetchall() if ink(bytes(png or b"")) < INK]
    listed = ", ".join("'" + str(number).replace("'", "''") + "'" for number in blank)
    return lines.sql(f"SELECT id, writer, text, png FROM data WHERE id::VARCHAR IN ({listed or 'NULL'}) ORDER BY id")


def ink(png: bytes) -> float:
    """Return how far a picture's darkest and lightest points are apart, 0 to 255; 0 where it cannot be opened."""
    try:
        low, high = Image.open(io.BytesIO(png)).convert("L").getextrema()
    except OSError:
        return 0.0
    return float(high - low)


@hw.check(
    "lines",
    name="characters that can be learnt",
    owner="story team",
    severity="warn",
    do="Add lines of training writers that hold these characters.",
)
def characters_known(lines: Any) -> list[str]:
    """A character that no training line has can never be read."""
    rows = lines.sql("SELECT part, text FROM data").fetchall()
    known = {each for part, text in rows if part == "train" for each in text}
    unknown = sorted({each for part, text in rows if part != "train" for each in text} - known)
    return [f"no training line has {' '.join(unknown)}"] if unknown else []
