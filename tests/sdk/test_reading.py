from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import headwater as hw
from headwater.errors import NotFoundError
from headwater.lake import add_table, create_branch, describe_column, describe_usage, listening, set_description, tag
from headwater.project import LocalProject, Project
from headwater.project.current import close_current

ROWS = {"flight_id": [1, 2], "dep_temp": [1.5, None], "carrier": ["<UA>", "AA"]}


def published(project: Project) -> None:
    version = add_table(project, "flights", "jan", ROWS, source="timetable", message="January", inputs=())
    create_branch(project, "flights", "main", version.id)
    set_description(project, "flights", "Departures <of> three airports.")
    tag(project, "flights", "winter", version.id)
    describe_column(project, "flights", "dep_temp", "Degrees Celsius.")


@pytest.fixture
def here(sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalProject]:
    """The project that code means when it names none, with one published dataset."""
    published(sqlite_project)
    monkeypatch.setenv("HEADWATER_PROJECT", str(sqlite_project.folder))
    yield sqlite_project
    close_current()


@pytest.mark.usefixtures("here")
def test_data_is_read_from_the_project_at_hand() -> None:
    assert hw.data("flights").fetchall() == hw.data["flights@winter"].fetchall() == hw.data.flights("v1").fetchall()
    assert hw.data.flights["main"].columns == list(ROWS)
    assert hw.data("flights@main", columns=["carrier"], where="flight_id = 2").fetchall() == [("AA",)]
    with pytest.raises(NotFoundError, match="no branch or tag 'mian'"):
        hw.data("flights@mian")
    with pytest.raises(AttributeError, match="Did you mean 'flights'"):
        hw.data.flight  # noqa: B018


@pytest.mark.usefixtures("here")
def test_data_is_found_and_completed() -> None:
    assert [d.name for d in hw.data.list()] == ["flights"]
    assert "Departures" in repr(hw.data.list()) and "&lt;of&gt;" in hw.data.list()._repr_html_()
    found = hw.data.search("temp")
    assert [each.dataset for each in found] == ["flights"]
    assert "column dep_temp" in repr(found) and "<td>flights</td>" in found._repr_html_()
    assert dir(hw.data) == ["batches", "files", "flights", "list", "partitions", "search"]
    assert hw.data._ipython_key_completions_() == ["flights", "flights@main", "flights@winter", "flights@v1"]
    assert hw.data.flights._ipython_key_completions_() == ["main", "winter", "v1"]
    shown = repr(hw.data.flights)
    assert "1 versions, main is v1" in shown and "winter = v1" in shown
    assert "dep_temp   DOUBLE   Degrees Celsius." in shown
    assert "<of>" not in hw.data.flights._repr_html_()


def test_a_tab_fails_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADWATER_PROJECT", raising=False)

    assert dir(hw.data) == ["batches", "files", "list", "partitions", "search"]
    assert hw.data._ipython_key_completions_() == []


def test_a_table_shows_its_columns_first_rows_version_and_lineage(project: Project) -> None:
    published(project)

    table = hw.data("flights@main", project=project)

    text, page = repr(table), table._repr_html_()
    assert "Table(flights@v1: 2 rows: flight_id BIGINT, dep_temp DOUBLE, carrier VARCHAR)" in text
    assert "by ann, 20" in text and "January" in text and "source: timetable" in text
    assert "2          –         AA" in text
    assert "<strong>flights@v1</strong> · 2 rows, 3 columns" in page
    assert "&lt;UA&gt;" in page and "<UA>" not in page


def test_what_people_read_is_counted_and_what_steps_read_is_not(project: Project) -> None:
    published(project)

    hw.data("flights@main", project=project)
    hw.data("flights@main", project=project)
    with listening(lambda read: None):
        hw.data("flights@v1", project=project.as_actor("step"))

    found = describe_usage(project, "flights")
    assert [(r.actor, r.way, r.times, r.versions) for r in found.readers] == [("ann", "table", 1, 1)]
