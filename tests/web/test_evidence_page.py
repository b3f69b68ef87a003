from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from headwater.evaluate import (
    compare_baselines,
    evaluate_model,
    explain_model,
    find_bad_slices,
    make_split,
    measure_calibration,
    measure_fairness,
    measure_staleness,
)
from headwater.lake import add_table
from headwater.model import get_model_version, register
from headwater.project import Project
from tests.web.populated import flights
from tests.web.serving import Site, drawn, violations

if TYPE_CHECKING:
    from playwright.sync_api import Page


def dated(seed: int, start: str) -> Any:
    frame = flights(seed, 900)
    at = pd.Timestamp(start) + pd.to_timedelta(np.arange(len(frame)) * 2, unit="h")
    area = np.where(frame["distance"] > 900, "south", "north")
    return frame.assign(at=at, area=area.astype(object))


def measure_everything(project: Project) -> None:
    """Measure the newest version in each way there is, and one before it on later data."""
    made = make_split(project, "parts", add_table(project, "year", "rows.parquet", dated(5, "2026-01-01")).ref)
    older = get_model_version(project, "delay@v2")
    for start in ("2025-09-01", "2025-11-01"):
        data = add_table(project, "history", "rows.parquet", dated(6, start))
        register(project, "delay", files=older.files, contract=older.contract, trained_on=[data.id])
    model, rows = "delay@latest", (made.ref, "late")
    evaluate_model(project, model, *rows, part="test", slices=["area", "hour>=17"], resamples=50)
    compare_baselines(project, model, *rows, part="test", train="year@v1", resamples=50)
    find_bad_slices(project, model, "year@v1", "late", columns=["area", "hour", "dep_delay"], least_rows=20)
    measure_fairness(project, model, "year@v1", "late", attribute="area", resamples=50)
    measure_calibration(project, model, "year@v1", "late", resamples=50)
    explain_model(project, model, *rows, part="test", repeats=1)
    measure_staleness(project, model, dated(9, "2026-02-01"), "late", time="at", days=20, resamples=30)


def test_every_measurement_has_its_chart_and_what_is_missing_its_command(
    fresh: Callable[[], Site], browser_page: Page
) -> None:
    site = fresh()
    said: list[str] = []
    browser_page.on("console", lambda line: said.append(line.text) if line.type in ("error", "warning") else None)
    browser_page.goto(f"{site.url}/models/delay/v1/evidence")
    assert "hw model fairness delay@v1 DATA" in browser_page.inner_text("main")
    measure_everything(site.project)

    newest = get_model_version(site.project, "delay@latest").number
    browser_page.goto(f"{site.url}/models/delay/v{newest}/evidence")

    # evaluation, baselines, fairness and its proxies, calibration, importance and Shapley values, staleness
    assert drawn(browser_page) >= 8
    text = browser_page.inner_text("main")
    for question in ("Is it good?", "Whom does it treat otherwise? By area", "How long does it last?", "parts@v1"):
        assert question in text
    assert "Is it better than another version?" in text.partition("Not measured yet")[2]
    assert said == []
    assert violations(browser_page) == []
    browser_page.set_viewport_size({"width": 390, "height": 800})
    assert browser_page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
