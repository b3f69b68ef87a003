"""An erasure finds what serving kept of a subject, in each of its streams."""

from __future__ import annotations

from typing import Any

import pytest

from headwater import canonical
from headwater.check.publishing import publish_tables
from headwater.lake.erasing import ERASERS, Subject
from headwater.project import LocalProject
from headwater.trace.erasing import erase
from headwater.trace.finding import find_text

NAME = "Zebulon Quarterstaff"
SUBJECT = Subject(datasets=("people",), key={"name": NAME})
WHY = "request 17"
ABOUT, OTHER = "0" * 25 + "1", "0" * 25 + "2"


def common(prediction: str) -> dict[str, Any]:
    return {"prediction": prediction, "model": "delay", "version": "v", "channel": "production", "occurred_at": 1}


def shadowed(prediction: str, outputs: dict[str, Any], error: str = "") -> dict[str, Any]:
    return {**common(prediction), "outputs": canonical.encode(outputs), "error": error, "agrees": False}


def plant(project: LocalProject) -> None:
    """Put the subject into a dataset, a prediction, what a shadow said of others, failures and refusals."""
    publish_tables(project, "people", {"all": {"name": [NAME, "Ann"], "n": [1, 2]}})
    project.events.append(
        "predictions",
        [
            {**common(ABOUT), "inputs": canonical.encode({"who": NAME}), "outputs": canonical.encode({"y": 0.25})},
            {**common(OTHER), "inputs": canonical.encode({"who": "Ann"}), "outputs": canonical.encode({"y": 0.5})},
        ],
    )
    project.events.append(
        "serve_shadows",
        [
            shadowed(ABOUT, {"y": 0.75}, error="of that very row"),
            shadowed(OTHER, {"like": NAME}),
            shadowed(OTHER, {"y": 0.5}, error=f"KeyError: {NAME} is unknown"),
            shadowed(OTHER, {"y": 0.5}),
        ],
    )
    failed = {"model": "delay", "version": "v", "channel": "production", "occurred_at": 1, "kind": "KeyError"}
    project.events.append(
        "serve_failures", [{**failed, "message": f"{NAME} is unknown"}, {**failed, "message": "Ann is unknown"}]
    )


def test_what_canaries_and_shadows_said_of_a_subject_is_erased_and_the_rest_stays(
    sqlite_project: LocalProject,
) -> None:
    project = sqlite_project
    plant(project)
    found = {each.what for each in find_text(project, text=NAME)}
    assert {"stream:predictions", "stream:serve_shadows", "stream:serve_failures"} <= found

    done = erase(project, SUBJECT, why=WHY, carry_out=True)

    assert done.left == ()
    assert find_text(project, text=NAME) == []
    shadows = [(each["outputs"], each["error"]) for each in project.events.rows("serve_shadows")]
    assert shadows == [
        (None, None),  # computed from the subject's row, though it names nobody
        (None, ""),
        (canonical.encode({"y": 0.5}), "KeyError: [erased] is unknown"),
        (canonical.encode({"y": 0.5}), ""),
    ]
    messages = [each["message"] for each in project.events.rows("serve_failures")]
    assert messages == ["[erased] is unknown", "Ann is unknown"]
    kept = {each["prediction"]: each["inputs"] for each in project.events.rows("predictions")}
    assert kept == {ABOUT: None, OTHER: canonical.encode({"who": "Ann"})}
    with project.ledger.read() as tx:
        gone = [row.ref for row in tx.all("SELECT ref FROM gone WHERE how = 'erased'")]
    assert gone == [f"prediction:{ABOUT}"]  # the other was not touched, only what a shadow said of it


def test_without_its_eraser_what_a_shadow_computed_from_the_subject_would_stay(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(sqlite_project)
    monkeypatch.setitem(ERASERS, "shadows", lambda *_: iter(()))

    erase(sqlite_project, SUBJECT, why=WHY, carry_out=True)

    said = [each["outputs"] for each in sqlite_project.events.rows("serve_shadows") if each["prediction"] == ABOUT]
    assert said == [canonical.encode({"y": 0.75})]


def test_shadows_are_erased_before_the_predictions_that_tell_which() -> None:
    names = list(ERASERS)

    assert names.index("shadows") < names.index("events")
