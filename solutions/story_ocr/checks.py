"""Checks of the lines that say more than a bound."""

from __future__ import annotations

from typing import Any

import headwater as hw


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
