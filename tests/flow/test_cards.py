"""Cards: what can be shown and what is refused, and how long they are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from headwater.errors import InvalidInputError
from headwater.flow import card, list_cards, log_artefact, progress, read_card
from headwater.flow.cards import MOST_ROWS, make_card
from headwater.objects.collecting import HOLDERS
from headwater.project import LocalProject
from headwater.trace import collect, delete_runs

from .playing import run, write

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20


@pytest.mark.parametrize(
    ("content", "kind", "media"),
    [
        ("# Words", "markdown", "text/markdown"),
        ("<!DOCTYPE html><p>x", "html", "text/html"),
        (PNG, "image", "image/png"),
        (b"\xff\xd8\xff\xe0", "image", "image/jpeg"),
        (b"<?xml version='1.0'?><svg/>", "image", "image/svg+xml"),
        ([{"a": 1}], "table", "application/json"),
        ({"mark": "bar", "data": {"values": []}}, "chart", "application/vnd.vegalite+json"),
    ],
)
def test_content_tells_what_kind_of_card_it_is(content: Any, kind: str, media: str) -> None:
    made = make_card(content, "title")

    assert (made.kind, made.media, made.title) == (kind, media, "title")


def test_frames_become_tables_of_their_first_rows() -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    columns = {"n": list(range(3000)), "x": [float("nan")] * 3000}
    for frame in (pandas.DataFrame(columns), polars.DataFrame(columns)):
        table = msgspec.json.decode(make_card(frame).data)
        assert (table["columns"], table["total"], len(table["rows"])) == (["n", "x"], 3000, MOST_ROWS)
        assert table["rows"][1] == [1, None]


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (3, None, "cannot be shown"),
        (b"plain", None, "cannot be shown"),
        (b"plain", "image", "none of them"),
        ("x", "film", "There are: html"),
        ({"mark": "bar", "data": {"url": "https://example.org/x.csv"}}, None, "asks no other server"),
        ("x" * (5 << 20), None, "at most 4 MiB"),
        (Path("notes.docx"), None, "ends in none of"),
    ],
)
def test_what_cannot_be_shown_is_refused_where_it_is_left(
    content: Any, kind: str | None, message: str, tmp_path: Path
) -> None:
    if isinstance(content, Path):
        content = tmp_path / content
        content.write_bytes(b"")
    with pytest.raises(InvalidInputError, match=message):
        card(content, kind=kind)


def test_outside_a_step_nothing_is_told() -> None:
    progress(1, 2)
    card("# nothing")

    assert log_artefact(b"x", "x") is None


LEAVES = """
    import headwater as hw

    @step
    def one(x, fail):
        hw.card(f"# number {x}")
        if fail:
            raise ValueError("no")
        return x

    @flow
    def main(x=1, fail=False):
        return one(x, fail)
"""


def test_cards_come_with_results_and_failures_and_live_as_long(local_project: LocalProject) -> None:
    write(local_project, LEAVES)
    first, failed = run(local_project), run(local_project, fail=True)
    again = run(local_project)

    for outcome in (first, failed, again):
        [info] = list_cards(local_project, outcome.run.id)
        assert read_card(local_project, info.task, info.position).data == b"# number 1"
    collect(local_project, free=True)
    assert list_cards(local_project, again.run.id)[0].digest and "cards" in HOLDERS
    delete_runs(local_project, [first.run.id, failed.run.id, again.run.id])
    with local_project.ledger.read() as tx:
        assert tx.value("SELECT COUNT(*) FROM cards") == 0
