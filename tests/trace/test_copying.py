"""A whole project from a folder to Postgres and S3, and back."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headwater.access import add_person, list_people
from headwater.check import publish
from headwater.errors import ConflictError, CorruptError, HeadwaterError, InvalidInputError
from headwater.lake import log, protect, read_bytes, resolve, set_description
from headwater.ledger.transfer import table_order
from headwater.project import LocalProject, create_project, open_project
from headwater.project.comparing import compare_projects
from headwater.project.copying import copied_settings, copy_project, open_copy
from headwater.serve import predict
from headwater.trace import replay, sample_predictions, verify
from tests.lake.test_versions import entry
from tests.serve.models import add_version, point, row
from tests.servers.s3 import S3Place


def keys(place: S3Place) -> dict[str, str]:
    return {
        "endpoint": place.endpoint,
        "access_key": place.access_key,
        "secret_key": place.secret_key,
        "region": "us-east-1",
    }


@pytest.fixture
def lived_in(sqlite_project: LocalProject) -> LocalProject:
    """A project with datasets, a protected branch, a model, 120 predictions sealed and open, and a person."""
    project = sqlite_project
    for number in range(3):
        publish(project, "d", put=[entry(project, f"f-{number}", "x" * number * 1000)], message=f"day {number}")
    set_description(project, "d", "three days: ä, '; --")
    protect(project, "d")
    add_person(project, "ann", ("admin",), password="a long enough password")
    point(project, add_version(project, 2))
    for start in range(0, 120, 20):
        predict(project, "delay", [row(start + n) for n in range(20)])
        if start == 60:
            project.events.seal(all=True)
    (project.folder / "checks.py").write_text("# no checks yet\n")
    return project


@pytest.fixture
def plain(sqlite_project: LocalProject) -> LocalProject:
    """A project with a dataset of three versions, a protected branch, and metrics sealed and open."""
    project = sqlite_project
    for number in range(3):
        publish(project, "d", put=[entry(project, f"f-{number}", "x" * number * 1000)], message=f"day {number}")
    protect(project, "d")
    measure(project, 3)
    project.events.seal(all=True)
    measure(project, 2)
    return project


def measure(project: LocalProject, points: int) -> None:
    import headwater.track  # noqa: F401  # declares the stream

    row = {"run": "r", "key": "k", "value": 1.0, "writer": "w"}
    project.events.append("metrics", [{**row, "step": number, "seq": number} for number in range(points)])


def assert_same(a: LocalProject, b: LocalProject) -> None:
    found = compare_projects(a, b)
    assert found.differences == ()
    assert found.events["predictions"] == 120
    assert (a.id, a.name) == (b.id, b.name)
    assert a.ledger.export_head() == b.ledger.export_head()


def assert_works(project: LocalProject) -> None:
    assert verify(project) == []
    report = replay(project, sample_predictions(project, 100, seed=1))
    assert (report.asked, report.equal) == (100, 100)


def test_a_project_grows_to_postgres_and_s3_and_comes_back(
    lived_in: LocalProject, tmp_path: Path, postgres_url: str, s3: S3Place
) -> None:
    grown, back = tmp_path / "grown", tmp_path / "back"
    objects = f"s3://{s3.bucket}/{s3.prefix}"

    there = copy_project(lived_in, grown, ledger=postgres_url, objects=objects, credentials=keys(s3))

    assert (there.tables["versions"], there.tables["model_versions"], there.events) == (3, 1, 40)
    with open_copy(grown, credentials=keys(s3)) as large:
        assert large.ledger.dialect == "postgres"
        assert_same(lived_in, large)
        assert_works(large)
        assert [person.name for person in list_people(large)] == ["ann"]
        home = copy_project(large, back)
        assert home.tables == there.tables
        with open_copy(back) as small:
            assert small.ledger.dialect == "sqlite"
            assert_same(large, small)
            assert_works(small)
            assert [v.id for v in log(small, "d")] == [v.id for v in log(lived_in, "d")]
            assert (back / "checks.py").exists()
            # It lives on: ids, numbers and the chain go on from where they were.
            publish(small, "e", put=[entry(small, "new", "new")])
            predict(small, "delay", [row(1)])
            assert verify(small) == []


def test_a_folder_opens_as_the_project_that_was_copied_to_it(plain: LocalProject, tmp_path: Path) -> None:
    copy_project(plain, tmp_path / "copy")

    with open_project(tmp_path / "copy") as copy:
        assert copy.id == plain.id
        assert read_bytes(copy, "d", "f-1") == b"x" * 1000


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("UPDATE versions SET message = 'another' WHERE number = 2", "versions"),
        ("DELETE FROM pointer_moves WHERE seq = 1 AND kind = 'branch'", "pointer_moves"),
        ("INSERT INTO edges (child, role, parent) VALUES ('a', 'b', 'c')", "edges"),
        ("UPDATE chain SET hash = 'x' || substr(hash, 2) WHERE seq = (SELECT MAX(seq) FROM chain)", "chain"),
    ],
)
def test_one_changed_row_is_named(plain: LocalProject, tmp_path: Path, change: str, what: str) -> None:
    copy_project(plain, tmp_path / "copy")
    with open_copy(tmp_path / "copy") as copy:
        with copy.ledger.write() as tx:
            tx.execute(change)

        found = compare_projects(plain, copy)

        assert what in {each.what for each in found.differences}
        if what == "versions":
            assert [each.what for each in found.differences] == ["versions"]
            assert "message=day 1" in found.differences[0].message
            assert "message=another" in found.differences[0].message


def test_a_lost_event_is_named(plain: LocalProject, tmp_path: Path) -> None:
    copy_project(plain, tmp_path / "copy")
    next((tmp_path / "copy" / ".headwater" / "events" / "metrics").glob("*.seg")).unlink()

    with open_copy(tmp_path / "copy") as copy:
        [found] = compare_projects(plain, copy).differences

    assert found.kind == "compare.events" and "5 and 3 events" in found.message


def test_lost_packs_are_named_and_so_are_events_that_were_in_them(plain: LocalProject, tmp_path: Path) -> None:
    copy_project(plain, tmp_path / "copy")
    packs = list((tmp_path / "copy" / ".headwater" / "objects" / "packs").glob("*.pack"))
    for pack in packs:
        pack.unlink()

    with open_copy(tmp_path / "copy") as copy:
        found = compare_projects(plain, copy).differences

    assert {each.what for each in found if each.kind == "compare.pack"} == {pack.stem for pack in packs}
    assert next(each.message for each in found if each.kind == "compare.events").startswith(
        "the other project's events"
    )


def test_a_copy_goes_to_an_empty_place_only(plain: LocalProject, tmp_path: Path) -> None:
    with create_project(tmp_path / "other") as other:
        other.objects.put(b"theirs")
        with pytest.raises(ConflictError, match="holds the project"):
            copy_project(plain, tmp_path / "other")
    (tmp_path / "other" / ".headwater" / "ledger.sqlite").unlink()

    with pytest.raises(ConflictError, match="not of 'test'"):
        copy_project(plain, tmp_path / "other")


def test_what_is_written_meanwhile_stops_the_copy(
    plain: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headwater.project import copying

    def interfering(act: Callable[[], Any]) -> None:
        original = copying._write_files

        def write(*arguments: Any) -> None:
            act()
            original(*arguments)

        monkeypatch.setattr(copying, "_write_files", write)
        with pytest.raises(ConflictError, match="was written to while it was copied"):
            copy_project(plain, tmp_path / "copy")
        monkeypatch.undo()
        with pytest.raises(HeadwaterError):
            open_copy(tmp_path / "copy").close()

    interfering(lambda: publish(plain, "e", put=[entry(plain, "new", "new")]))
    interfering(lambda: measure(plain, 1))
    copy_project(plain, tmp_path / "copy")
    with open_copy(tmp_path / "copy") as copy:
        assert compare_projects(plain, copy).same


def test_a_row_that_came_over_wrongly_stops_the_copy(
    plain: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headwater.ledger import transfer

    original = transfer._copy_table

    def lossy(source: Any, target: Any, connection: Any, table: str, columns: list[str]) -> int:
        copied = original(source, target, connection, table, columns)
        if table == "audit":
            connection.execute("UPDATE audit SET actor = 'eve' WHERE id = (SELECT MIN(id) FROM audit)")
        return copied

    monkeypatch.setattr(transfer, "_copy_table", lossy)

    with pytest.raises(CorruptError, match="table 'audit'"):
        copy_project(plain, tmp_path / "copy")
    assert not (tmp_path / "copy" / ".headwater" / "ledger.sqlite").exists()


def test_a_damaged_pack_is_not_copied(plain: LocalProject, tmp_path: Path) -> None:
    pack = max((plain.state / "objects" / "packs").glob("*.pack"), key=lambda path: path.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[40] ^= 1
    pack.chmod(0o644)
    pack.write_bytes(data)

    with pytest.raises(CorruptError, match=f"pack {pack.stem} was not copied"):
        copy_project(plain, tmp_path / "copy")


COPIER = textwrap.dedent(
    """
    import os, sys
    import headwater.trace
    from headwater.durable import on_crash_point
    from headwater.project import open_project
    from headwater.project.copying import copy_project

    source, to, at = sys.argv[1:]
    passed = []

    def point(name):
        passed.append(name)
        if len(passed) == int(at):
            os._exit(9)

    with open_project(source) as project:
        on_crash_point(point)
        copy_project(project, to)
        on_crash_point(None)
    print(len(passed))
    """
)


def copying(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", COPIER, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_a_copy_that_is_killed_anywhere_never_opens_half_and_is_done_by_the_next(tmp_path: Path) -> None:
    with create_project(tmp_path / "p") as made:
        publish(made, "d", put=[entry(made, "f", "text")])
        measure(made, 1)
    whole = copying(tmp_path / "p", tmp_path / "whole", 0)
    assert whole.returncode == 0, whole.stderr
    points = int(whole.stdout)
    assert points >= 15

    for at in range(2, points + 1, 5):
        place = tmp_path / f"copy-{at}"
        assert copying(tmp_path / "p", place, at).returncode == 9
        complete = (place / ".headwater" / "ledger.sqlite").exists()
        if not complete:
            with pytest.raises(HeadwaterError):
                open_project(place)
            with open_project(tmp_path / "p") as source:
                assert isinstance(source, LocalProject)
                copy_project(source, place)
        with open_project(tmp_path / "p") as source, open_project(place) as copy:
            assert isinstance(source, LocalProject)
            assert isinstance(copy, LocalProject)
            assert compare_projects(source, copy).same, at
            assert resolve(copy, "d").id == resolve(source, "d").id


def test_settings_are_copied_with_other_stores_and_nothing_else_changed() -> None:
    text = '# ours\n[project]\nname = "x"\n\n[stores]\nledger = "env:L"\n[stores.s3]\nendpoint = "e"\n[checks]\na = 1\n'

    home = copied_settings(text, None, None)
    bucket = copied_settings(text, "env:OTHER", "s3://b/p")

    assert home == '# ours\n[project]\nname = "x"\n\n[checks]\na = 1\n'
    assert "[stores.s3]" in bucket
    assert 'ledger = "env:OTHER"\nobjects = "s3://b/p"' in bucket
    with pytest.raises(InvalidInputError, match="tables of their own"):
        copied_settings('stores = { ledger = "x" }\n', None, None)


def test_tables_that_refer_to_others_come_after_them() -> None:
    order = table_order(["verdicts", "versions", "datasets", "zebra"])

    assert order == ["datasets", "versions", "verdicts", "zebra"]
