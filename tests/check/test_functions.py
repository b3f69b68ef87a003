"""Checks as Python functions: what they may answer, and that a crash is never a pass."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from headwater.check import CheckResult, find_verdict, publish_tables, run_checks
from headwater.errors import NotPublishableError
from headwater.lake import set_branch
from headwater.project import LocalProject
from tests.check.flights import declare, month

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
"""A picture of one pixel."""


def write_checks(folder: Path, source: str) -> None:
    text = textwrap.dedent(source).replace("import hw", "import headwater as hw")
    (folder / "checks.py").write_text(text)


def results_of(project: LocalProject) -> dict[str, CheckResult]:
    publication = publish_tables(project, "flights", {"2013-01": month(1)})
    assert publication.verdict is not None
    return {result.name: result for result in publication.verdict.results}


def test_a_function_answers_by_truth_messages_or_assertions(sqlite_project: LocalProject, project_folder: Path) -> None:
    write_checks(
        project_folder,
        """
        import hw

        @hw.check("flights", owner="ann", do="Look.")
        def there_are_rows(table):
            '''No rows, no model.'''
            return len(table) > 0

        @hw.check("flights")
        def says_false(table):
            return False

        @hw.check("flights")
        def says_why(table):
            counts = table.sql("SELECT carrier, count(*) FROM data GROUP BY 1 ORDER BY 1")
            return [f"{count} flights of {carrier}" for carrier, count in counts.fetchall()]

        @hw.check("flights")
        def says_nothing(table):
            assert table.columns[0] == "flight"

        @hw.check("flights")
        def asserts(table):
            assert table.columns == ["x"], "columns differ"

        @hw.check("flights")
        def asserts_without_words(table):
            assert len(table) == 1

        @hw.check("flights", severity="warn")
        def only_warns(table):
            return False

        @hw.check("flights")
        def numpys(table):
            return (table.to_numpy()["delay"] < 100).all()

        @hw.check("flights")
        def answers_oddly(table):
            return 7

        @hw.check("another")
        def of_another_dataset(table):
            return False
        """,
    )

    found = results_of(sqlite_project)

    assert {name: result.outcome for name, result in found.items()} == {
        "there_are_rows": "passed",
        "says_false": "failed",
        "says_why": "failed",
        "says_nothing": "passed",
        "asserts": "failed",
        "asserts_without_words": "failed",
        "only_warns": "warned",
        "numpys": "passed",
        "answers_oddly": "failed",
    }
    assert (found["there_are_rows"].why, found["there_are_rows"].owner) == ("No rows, no model.", "ann")
    assert found["says_why"].found == "196 flights of AA; 364 flights of UA"
    assert found["asserts"].found == "columns differ"
    assert found["asserts_without_words"].found == "assertion failed: assert len(table) == 1"
    assert "it returned int" in found["answers_oddly"].found


PICTURES = """
    import base64
    import hw

    PNG = base64.b64decode("{png}")

    @hw.check("flights")
    def too_late(table):
        big = PNG + b"." * (1 << 16)
        found = table.sql("SELECT DISTINCT flight FROM data WHERE flight < {below} ORDER BY flight").to_dicts()
        rows = [(row["flight"], PNG if row["flight"] else big) for row in found]
        values = ", ".join(f"({{flight}}, from_hex('{{data.hex()}}'))" for flight, data in rows) or "(0, ''::BLOB)"
        made = table.sql(f"SELECT * FROM (VALUES {{values}}) AS made(flight, png)")
        return made if rows else table.sql("SELECT * FROM data WHERE false")

    @hw.check("flights")
    def names_what_is_not_there(table):
        return table.sql("SELECT * FROM data WHERE error('no such thing') IS NULL")
"""


def test_a_function_answers_with_the_rows_that_break_it_and_pictures_are_kept_as_pictures(
    sqlite_project: LocalProject, project_folder: Path
) -> None:
    write_checks(project_folder, PICTURES.format(png=PNG, below=12))
    broken = results_of(sqlite_project)
    assert (broken["too_late"].outcome, broken["too_late"].found) == ("failed", "12 rows break it")
    assert [row["flight"] for row in broken["too_late"].sample] == list(range(10))
    large, *small = [row["png"] for row in broken["too_late"].sample]
    assert large == "89504e470d0a1a0a" + large[16:] and len(large) == 64  # only the first bytes of a large one
    assert small == [f"data:image/png;base64,{PNG}"] * 9
    assert broken["names_what_is_not_there"].outcome == "failed" and "no such thing" in str(broken)


def test_a_function_that_answers_with_no_rows_holds(sqlite_project: LocalProject, project_folder: Path) -> None:
    alone = PICTURES.replace("table.sql(\"SELECT * FROM data WHERE error('no such thing') IS NULL\")", "True")
    write_checks(project_folder, alone.format(png=PNG, below=0))
    assert [(each.outcome, each.found) for each in results_of(sqlite_project).values()] == [("passed", "it holds")] * 2


@pytest.mark.parametrize("raised", ["1 / 0", "raise SystemExit(0)", "table.sql('SELECT nothing FROM data')"])
def test_a_crash_is_a_failed_check_with_the_users_own_traceback(
    sqlite_project: LocalProject, project_folder: Path, raised: str
) -> None:
    write_checks(
        project_folder,
        f"""
        import hw

        @hw.check("flights", severity="warn")
        def crashes(table):
            {raised}
        """,
    )

    result = results_of(sqlite_project)["crashes"]

    assert result.outcome == "failed"
    assert result.found.startswith("it crashed: ")
    first = result.traceback.splitlines()[1]
    assert "checks.py" in first
    assert "in crashes" in first


def test_a_file_that_cannot_be_loaded_fails_for_every_dataset(
    sqlite_project: LocalProject, project_folder: Path
) -> None:
    write_checks(project_folder, "def broken(:\n    pass\n")

    result = results_of(sqlite_project)["checks.py"]

    assert result.outcome == "failed"
    assert "SyntaxError" in result.found


def test_a_check_may_use_modules_beside_it(sqlite_project: LocalProject, project_folder: Path) -> None:
    (project_folder / "limits_of_flights.py").write_text("MOST = 560\n")
    write_checks(
        project_folder,
        """
        import hw
        from limits_of_flights import MOST

        @hw.check("flights")
        def few(table):
            return len(table) <= MOST
        """,
    )

    assert results_of(sqlite_project)["few"].outcome == "passed"


def test_a_check_that_hides_when_run_does_not_pass(sqlite_project: LocalProject, project_folder: Path) -> None:
    write_checks(
        project_folder,
        """
        import hw

        if False:
            @hw.check("flights")
            def hidden(table):
                return True
        """,
    )

    assert results_of(sqlite_project)["checks.py"].outcome == "failed"


def test_a_function_named_in_the_settings_must_be_there(sqlite_project: LocalProject, project_folder: Path) -> None:
    declare(
        project_folder,
        'kind = "python"\nname = "few"\nwhy = "From the settings."',
        'kind = "python"\nname = "gone"',
    )
    write_checks(project_folder, 'import hw\n@hw.check("flights")\ndef few(table):\n    return True\n')

    found = results_of(sqlite_project)

    assert (found["few"].outcome, found["few"].why) == ("passed", "From the settings.")
    assert found["gone"].outcome == "failed"
    assert "checks.py declares no such function" in found["gone"].found


def test_a_verdict_over_other_checks_than_todays_does_not_open_the_branch(
    sqlite_project: LocalProject, project_folder: Path
) -> None:
    write_checks(project_folder, 'import hw\n@hw.check("flights")\ndef few(table):\n    return True\n')
    first = publish_tables(sqlite_project, "flights", {"2013-01": month(1)})
    second = publish_tables(sqlite_project, "flights", {"2013-02": month(2)})
    assert second.published
    write_checks(project_folder, 'import hw\n@hw.check("flights")\ndef few(table):\n    return 1 == 1\n')

    with pytest.raises(NotPublishableError, match="over other checks than are declared now"):
        set_branch(sqlite_project, "flights", "main", first.version.id, expected=second.version.id)

    run_checks(sqlite_project, first.version.id)
    set_branch(sqlite_project, "flights", "main", first.version.id, expected=second.version.id)
    verdict = find_verdict(sqlite_project, "flights")
    assert verdict is not None
    assert verdict.version == first.version.id
