"""The report of a candidate: what it says is on record, and other people's texts stay texts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from headwater.errors import NotFoundError
from headwater.evaluate import record_evidence
from headwater.model import ModelVersion
from headwater.project import Project
from headwater.release import request_release
from headwater.release.delivery import release_report
from headwater.release.delivery.report import MOST_CHARACTERS
from tests.release.champions import add_version, passed_parity


def measured(
    project: Project, version: ModelVersion, auc: float, brier: float, rows: str, slices: dict[str, float] | None = None
) -> None:
    body = {
        "metrics": {
            "auc": {"value": auc, "low": auc - 0.01, "high": auc + 0.01},
            "brier": {"value": brier, "low": brier - 0.01, "high": brier + 0.01},
            "oddity": {"value": auc, "low": auc, "high": auc},
        },
        "slices": [
            {"slice": name, "rows": 50, "metrics": {"auc": {"value": value, "low": value, "high": value}}}
            for name, value in (slices or {}).items()
        ],
        "rows": 1000, "window": "March", "rows_digest": rows, "level": 0.95,
    }  # fmt: skip
    record_evidence(project, version.ref, "evaluation", body)


def released(project: Project, **more: Any) -> ModelVersion:
    version = add_version(project, **more)
    passed_parity(project, version)
    request_release(project, version.label, "production", "the first")
    return version


def cells(report: str, first: str) -> list[str]:
    """Return the cells of the row whose first cell this is."""
    (line,) = [line for line in report.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


def test_a_candidate_stands_beside_what_production_points_to(project_folder: Path, project: Project) -> None:
    old = released(project, params={"depth": 8, "rate": 1})
    new = add_version(project, params={"depth": 12, "rate": 1})
    measured(project, old, 0.70, 0.20, "r1", {"carrier=AA": 0.70, "carrier=YX": 0.70})
    measured(project, new, 0.72, 0.21, "r1", {"carrier=AA": 0.75, "carrier=YX": 0.64})
    sentence = "delay@v2 is better than delay@v1: auc 0.72 against 0.7"
    record_evidence(
        project, new.ref, "comparison", {"champion": old.id, "better": True, "worse": False, "sentence": sentence}
    )

    report = release_report(project, "delay@v2")

    assert report.startswith("<!-- headwater report: delay -->\n## `delay@v2` against `delay@v1` (production)\n")
    assert f"**Better**: {sentence}." in report
    assert cells(report, "`auc`") == ["`auc`", "0.7", "0.72", "+0.02 ▲", "0.69 to 0.71", "0.71 to 0.73"]
    assert cells(report, "`brier`")[3] == "+0.01 ▼"  # a smaller one is better
    assert cells(report, "`oddity`")[3] == "+0.02"  # nobody knows which way it points
    places = [report.index(name) for name in ("`carrier=YX`", "`carrier=AA`")]
    assert places == sorted(places)  # what lost comes first
    assert cells(report, "parameter `depth`")[1:] == ["`8`", "`12`"] and "parameter `rate`" not in report


def test_figures_of_other_rows_are_not_set_side_by_side(sqlite_project: Project) -> None:
    old = released(sqlite_project)
    new = add_version(sqlite_project)
    measured(sqlite_project, old, 0.70, 0.2, "r1")
    measured(sqlite_project, new, 0.90, 0.2, "r2")

    report = release_report(sqlite_project, "delay@v2")

    assert "`delay@v1` was not measured on these rows" in report and "0.7" not in cells(report, "`auc`")[1:]
    assert "No comparison is recorded: `hw model compare delay@v1 delay@v2" in report


def test_a_comparison_with_another_version_is_not_shown_as_one_with_the_champion(sqlite_project: Project) -> None:
    released(sqlite_project)
    new = add_version(sqlite_project)
    body = {"champion": "somebody else's", "better": True, "sentence": "better than another"}
    record_evidence(sqlite_project, new.ref, "comparison", body)

    assert "better than another" not in release_report(sqlite_project, "delay@v2")


def test_the_first_version_and_missing_evidence_are_told(sqlite_project: Project) -> None:
    add_version(sqlite_project)
    report = release_report(sqlite_project, "delay@v1")

    assert "with nothing to compare with" in report
    assert "No evaluation is recorded: `hw model evaluate delay@v1 DATA --target COLUMN` makes one." in report
    with pytest.raises(NotFoundError):
        release_report(sqlite_project, "delay@v9")


def test_gates_say_what_they_found_and_what_would_help(project_folder: Path) -> None:
    from headwater.project import create_project

    (project_folder / "headwater.toml").write_text('[channels.production]\ngates = ["parity", "bar:auc>0.6"]\n')
    with create_project(project_folder, name="test", actor="ann") as project:
        version = add_version(project)
        measured(project, version, 0.72, 0.2, "r1")
        report = release_report(project, version.label)

    gates = [line for line in report.splitlines() if line[:3] in ("| ✅", "| ❌")]
    assert len(gates) == 2
    assert gates[0].startswith("| ❌ | `parity` |") and "`hw model parity delay@v1 DATA`" in gates[0]
    assert gates[1].startswith("| ✅ | `bar:auc>0.6` |")


HOSTILE = "<img src=x onerror=alert(1)> | `x` **b** @maria\n# title [a](http://evil.example)"


def test_what_others_wrote_is_shown_as_text_and_notifies_nobody(sqlite_project: Project) -> None:
    old = released(sqlite_project, params={HOSTILE: HOSTILE})
    new = add_version(sqlite_project, params={"x|y": "`", HOSTILE: 2})
    measured(sqlite_project, old, 0.7, 0.2, "r1", {HOSTILE: 0.5})
    measured(sqlite_project, new, 0.7, 0.2, "r1", {HOSTILE: 0.5})
    body = {"champion": old.id, "better": False, "worse": False, "sentence": HOSTILE}
    record_evidence(sqlite_project, new.ref, "comparison", body)
    record_evidence(
        sqlite_project,
        new.ref,
        "tests",
        {"passed": True, "commands": [{"command": HOSTILE, "passed": True, "seconds": 1.0}]},
    )

    report = release_report(sqlite_project, "delay@v2")

    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(report)
    assert "<img" not in page and "<strong>b</strong>" not in page and "<a " not in page
    assert not re.search(r"<h1|<h2>title", page)
    outside_code = re.sub(r"<code>.*?</code>", "", page)
    assert "@maria" not in outside_code and "@<!-- -->maria" in outside_code
    for table in re.findall(r"<table>.*?</table>", page, re.DOTALL):
        columns = len(re.findall(r"<th[ >]", table))
        assert {len(re.findall(r"<td[ >]", row)) for row in table.split("<tr>")[2:]} == {columns}


def test_the_text_that_would_break_a_report_is_seen_by_the_same_check() -> None:
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(f"| a |\n| --- |\n| {HOSTILE} |\n")

    assert "<img" in page


def test_a_report_of_very_many_slices_still_fits_a_comment(sqlite_project: Project) -> None:
    version = add_version(sqlite_project, params={f"p{number:04}" * 10: "x" * 100 for number in range(800)})
    measured(sqlite_project, version, 0.7, 0.2, "r1", {f"carrier={number}": 0.5 for number in range(500)})

    report = release_report(sqlite_project, version.label)

    assert len(report) <= MOST_CHARACTERS + 20 and report.endswith("… (cut)\n") and "15 of 500" in report
