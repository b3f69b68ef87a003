"""Each kind of check, with the fault planted that it is there to find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
import pytest

from headwater.check import CheckResult, Publication, publish_tables, run_checks
from headwater.errors import InvalidInputError
from headwater.lake import resolve
from headwater.project import LocalProject
from tests.check.flights import PER_DAY, changed, declare, month

START_US = 1_356_998_400_000_000  # 2013-01-01
DAY_US = 86_400_000_000


def publish_months(project: LocalProject, *months: Any) -> list[Publication]:
    """Publish months one after another, from January on, each as its own table."""
    return [publish_tables(project, "flights", {f"2013-{n:02d}": m}) for n, m in enumerate(months, 1)]


def only(publication: Publication, outcome: str = "failed") -> CheckResult:
    """Return the one result of a publication, which must have this outcome."""
    assert publication.verdict is not None
    [result] = publication.verdict.results
    assert result.outcome == outcome, result
    return result


def test_a_renamed_column_is_found_in_the_file_it_is_in_and_guessed(
    sqlite_project: LocalProject, project_folder: Path
) -> None:
    declare(project_folder, 'kind = "schema"\ncolumns = ["flight", "at", "carrier", "delay"]')
    renamed = month(2)
    renamed["dep_delay"] = renamed.pop("delay")

    good, bad = publish_months(sqlite_project, month(1), renamed)

    assert only(good, "passed").found == "every file has the 4 columns"
    result = only(bad)
    assert "2013-02.parquet': column 'delay' is missing (renamed to 'dep_delay'?)" in result.found
    assert "2013-01" not in result.found
    assert result.sample[0]["file"] == "2013-02.parquet"
    assert not bad.published


def test_a_changed_type_and_an_unexpected_column_are_found(sqlite_project: LocalProject, project_folder: Path) -> None:
    columns = '{ flight = "int64", at = "timestamp", carrier = "text", delay = "double" }'
    declare(project_folder, f'kind = "schema"\ncolumns = {columns}\nextra = "forbid"')
    other = changed(month(2), delay=[str(d) for d in month(2)["delay"]], note=["x"] * len(month(2)["flight"]))

    good, bad = publish_months(sqlite_project, month(1), other)

    assert good.published
    found = only(bad).found
    assert "column 'delay' is VARCHAR, not DOUBLE" in found
    assert "unexpected column 'note'" in found


def test_a_schema_without_columns_is_that_of_the_version_before(
    sqlite_project: LocalProject, project_folder: Path
) -> None:
    declare(project_folder, 'kind = "schema"')
    without = month(2)
    del without["carrier"]

    first, second = publish_months(sqlite_project, month(1), without)

    assert "no earlier version" in only(first, "passed").found
    assert "column 'carrier' is missing" in only(second).found


def test_a_changed_unit_is_found_by_its_range_with_samples(sqlite_project: LocalProject, project_folder: Path) -> None:
    declare(
        project_folder,
        'kind = "range"\ncolumn = "delay"\nmin = -60\nmax = 1440\nwhy = "Delays are minutes."\n'
        'owner = "ops@example.org"\ndo = "Ask for minutes."',
    )
    seconds = changed(month(2), delay=[d * 60 for d in month(2)["delay"]])

    good, bad = publish_months(sqlite_project, month(1), seconds)

    assert good.published
    result = only(bad)
    outside = sum(not -60 <= d <= 1440 for d in seconds["delay"])
    assert result.value == outside
    assert f"{outside:,} of 1,120 values of 'delay' lie outside (from -600.0 to 1620.0)" in result.found
    assert len(result.sample) == 10
    assert all(not -60 <= row["delay"] <= 1440 for row in result.sample)
    assert result.message.endswith(
        "Why it matters: Delays are minutes. · Ask: ops@example.org · What to do: Ask for minutes."
    )


def test_values_that_are_not_allowed_are_found_and_a_share_is_forgiven(
    sqlite_project: LocalProject, project_folder: Path
) -> None:
    declare(
        project_folder,
        'kind = "range"\ncolumn = "carrier"\nallowed = ["UA", "AA"]',
        'name = "mostly"\nkind = "range"\ncolumn = "carrier"\nallowed = ["UA", "AA"]\nmax_share = 0.01',
    )
    other = month(1)
    other["carrier"][:5] = ["ZZ"] * 5

    [bad] = publish_months(sqlite_project, other)

    assert bad.verdict is not None
    assert [(r.name, r.outcome) for r in bad.verdict.results] == [("range(carrier)", "failed"), ("mostly", "passed")]


def test_bounds_may_be_dates_and_nulls_and_nan_are_left_to_another_check(
    sqlite_project: LocalProject, project_folder: Path
) -> None:
    declare(
        project_folder,
        'kind = "range"\ncolumn = "at"\nmin = 2013-01-01\nmax = 2013-12-31T23:59:59',
        'kind = "range"\ncolumn = "delay"\nmax = 100',
    )
    holes = month(1)
    holes["delay"][0] = float("nan")
    late = month(2)
    late["at"][0] = late["at"][0].replace(year=2014)

    good, bad = publish_months(sqlite_project, holes, late)

    assert good.published
    assert bad.verdict is not None
    assert [r.outcome for r in bad.verdict.results] == ["failed", "passed"]
    assert bad.verdict.results[0].sample[0]["at"] == "2014-02-01T00:00:00"


def test_nulls_and_nan_are_found_beyond_the_share(sqlite_project: LocalProject, project_folder: Path) -> None:
    declare(project_folder, 'kind = "nulls"\ncolumns = ["carrier", "delay"]\nmax_share = 0.01')
    holes = month(1)
    holes["carrier"][:5] = [None] * 5  # 5 of 560 are within one per cent
    holes["delay"][:6] = [float("nan")] * 3 + [None] * 3  # 6 are not

    [bad] = publish_months(sqlite_project, pyarrow.table(holes))

    result = only(bad)
    assert result.found == "6 of 560 values of 'delay' are missing (1.07%)"
    assert len(result.sample) == 6
    assert [row["delay"] for row in result.sample] == ["nan"] * 3 + [None] * 3


def test_a_duplicated_day_is_found_by_its_key(sqlite_project: LocalProject, project_folder: Path) -> None:
    declare(project_folder, 'kind = "unique"\ncolumns = ["flight", "at"]')
    twice = {name: values + values[:PER_DAY] for name, values in month(2).items()}

    good, bad = publish_months(sqlite_project, month(1), twice)

    assert good.published
    result = only(bad)
    assert (result.value, result.found) == (PER_DAY, "20 of 1,140 rows repeat another in flight, at")
    assert result.sample[0] == {"flight": 0, "at": "2013-02-01T00:00:00", "times": 2}


def test_a_month_sent_again_is_found_across_files(sqlite_project: LocalProject, project_folder: Path) -> None:
    declare(project_folder, 'kind = "unique"\ncolumns = ["flight", "at"]')

    _, bad = publish_months(sqlite_project, month(1), month(1))

    assert only(bad).value == 560


def test_rows_that_went_away_or_doubled_are_found(sqlite_project: LocalProject, project_folder: Path) -> None:
    declare(project_folder, 'kind = "row_count_change"\nmax_drop = 0.1\nmax_growth = 0.5\nmin = 100')
    half = {name: values[:280] for name, values in month(1).items()}
    first = publish_tables(sqlite_project, "flights", {"all": month(1)})

    fewer = publish_tables(sqlite_project, "flights", {"all": half})
    more = publish_tables(sqlite_project, "flights", {"more": month(2)})
    few = publish_tables(sqlite_project, "flights", {"all": {name: v[:50] for name, v in month(1).items()}})

    assert "no earlier version" in only(first, "passed").found
    assert only(fewer).found == "280 rows after 560: 50.0% fewer"
    assert only(more).found == "1,120 rows after 560: 100.0% more"
    assert only(few).found == "50 rows are fewer than 100; 50 rows after 560: 91.1% fewer"


def test_rows_of_a_new_file_are_compared_with_those_per_file_before(
    sqlite_project: LocalProject, project_folder: Path
) -> None:
    declare(project_folder, 'kind = "row_count_change"\nscope = "new"\nmax_growth = 0.2\nmax_drop = 0.2')
    twice = {name: values + values for name, values in month(3).items()}

    _, good, bad = publish_months(sqlite_project, month(1), month(2), twice)

    assert good.published
    assert only(bad).found == "1,120 rows per file after 560: 100.0% more"


def test_stale_data_is_found_by_the_clock_and_by_what_came_before(
    sqlite_project: LocalProject, project_folder: Path
) -> None:
    declare(
        project_folder,
        'kind = "freshness"\ncolumn = "at"\nmax_age_days = 3',
        'name = "later"\nkind = "freshness"\ncolumn = "at"\nscope = "new"\nafter_previous = true',
    )
    sqlite_project.clock = lambda: START_US + 30 * DAY_US  # 2013-01-31; the newest row is of 01-28 09:30
    first = publish_tables(sqlite_project, "flights", {"2013-02": month(1)})
    old = publish_tables(sqlite_project, "flights", {"older": month(1)})
    sqlite_project.clock = lambda: START_US + 40 * DAY_US
    stale = publish_tables(sqlite_project, "flights", {"2013-02": changed(month(1), delay=[1.0] * 560)})

    assert first.published
    assert old.verdict is not None
    assert [r.outcome for r in old.verdict.results] == ["passed", "failed"]
    assert "not later than before (2013-01-28 09:30)" in old.verdict.results[1].found
    assert stale.verdict is not None
    assert stale.verdict.results[0].found == "the newest 'at' is 2013-01-28 09:30, 12.6 days old"


def test_a_shifted_distribution_is_found_and_its_place_named(
    sqlite_project: LocalProject, project_folder: Path
) -> None:
    declare(project_folder, 'kind = "distribution_change"\ncolumns = ["delay", "carrier"]\nscope = "new"')
    shifted = changed(month(3), delay=[d + 25 for d in month(3)["delay"]])
    other = changed(month(3), carrier=["UA"] * 560)

    first, same, late, moved = publish_months(sqlite_project, month(1), month(2), shifted, other)

    assert "no earlier version" in only(first, "passed").found
    assert same.published
    assert float(only(same, "passed").value or 0) < 0.01
    assert only(late).found.startswith("'delay' is distributed otherwise than before: PSI ")
    assert "'AA' went from 35.0% to 0.0%" in only(moved).found


def test_missing_values_are_a_bin_and_few_rows_are_not_judged(
    sqlite_project: LocalProject, project_folder: Path
) -> None:
    declare(project_folder, 'kind = "distribution_change"\ncolumns = ["delay"]\nscope = "new"')
    holes = changed(month(2), delay=[float("nan") if i % 2 else d for i, d in enumerate(month(2)["delay"])])
    few = {name: [values[0]] * 50 for name, values in month(3).items()}

    _, bad, skipped = publish_months(sqlite_project, month(1), holes, few)

    assert "(missing values went from 0.0% to 50.0%)" in only(bad).found
    assert "too few rows to compare (50)" in only(skipped, "passed").found


def test_a_column_that_is_not_there_fails_each_check_that_needs_it(
    sqlite_project: LocalProject, project_folder: Path
) -> None:
    declare(
        project_folder,
        'kind = "nulls"\ncolumns = ["dely"]',
        'kind = "range"\ncolumn = "delay"\nmin = -100',
        'kind = "range"\ncolumn = "carrier"\nmin = 3',
    )

    [bad] = publish_months(sqlite_project, month(1))

    assert bad.verdict is not None
    missing, fine, odd = bad.verdict.results
    assert "column 'dely' is missing (renamed to 'delay'?)" in missing.found
    assert fine.outcome == "passed"  # the check that cannot be evaluated does not take the others with it
    assert odd.outcome == "failed"
    assert "could not be evaluated" in odd.found


def test_a_warning_is_recorded_and_lets_the_branch_move(sqlite_project: LocalProject, project_folder: Path) -> None:
    declare(project_folder, 'kind = "range"\ncolumn = "delay"\nmax = 5\nseverity = "warn"')

    [publication] = publish_months(sqlite_project, month(1))

    assert only(publication, "warned").value
    assert publication.published
    assert publication.verdict is not None
    assert publication.verdict.outcome == "warned"


def test_all_failures_are_collected_never_the_first_only(sqlite_project: LocalProject, project_folder: Path) -> None:
    declare(
        project_folder,
        'kind = "range"\ncolumn = "delay"\nmax = 5',
        'kind = "unique"\ncolumns = ["flight"]',
        'kind = "nulls"\ncolumns = ["carrier"]',
        'kind = "row_count_change"\nmin = 1000',
    )

    [bad] = publish_months(sqlite_project, changed(month(1), carrier=[None] * 560))

    assert bad.verdict is not None
    assert [r.outcome for r in bad.verdict.results] == ["failed"] * 4
    assert "4 of 4 checks failed (range(delay), unique(flight), nulls(carrier), row_count_change)" in bad.message


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('kind = "odd"', "has kind = 'odd'. There are schema, range"),
        ('kind = "range"\ncolumn = "delay"', "needs min, max or allowed"),
        ('kind = "range"\nmin = 1', "needs columns"),
        ('kind = "nulls"\ncolumns = ["delay"]\nmax_shar = 0.1', "does not know 'max_shar'"),
        ('kind = "nulls"\ncolumns = ["delay"]\nmax_share = -1', "give a number of at least 0"),
        ('kind = "unique"\ncolumns = ["delay"]\nseverity = "bad"', "has severity 'bad'"),
        ('kind = "freshness"\ncolumn = "at"', "needs max_age_days, max_age_hours or after_previous"),
        ('kind = "row_count_change"', "needs min, max, max_drop or max_growth"),
        ('kind = "schema"\ncolumns = { a = "x; DROP" }', "has no type"),
    ],
)
def test_a_declaration_that_cannot_be_used_is_said_and_nothing_moves(
    sqlite_project: LocalProject, project_folder: Path, table: str, message: str
) -> None:
    declare(project_folder, table)

    with pytest.raises(InvalidInputError, match=message):
        publish_tables(sqlite_project, "flights", {"2013-01": month(1)})

    with pytest.raises(InvalidInputError, match=message):
        run_checks(sqlite_project, "flights@v1")
    assert resolve(sqlite_project, "flights@v1").number == 1
    with sqlite_project.ledger.read() as tx:
        assert tx.pointer("branch", "flights/main") is None
