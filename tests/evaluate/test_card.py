from __future__ import annotations

import pytest

from headwater.errors import InvalidInputError
from headwater.evaluate import model_card, record_evidence
from headwater.evaluate.words import LEDGER_TITLES, card_words, words_of_markdown, write_card
from headwater.model import CardText, get_model_version
from headwater.project import LocalProject, Project
from tests.release.champions import add_version

INTERVAL = {"value": 0.25, "low": 0.2, "high": 0.3}


def test_a_card_that_was_edited_gives_back_the_authors_words_alone(project: Project) -> None:
    version = add_version(project, card=CardText(intended_use="To warn passengers.", owner="delays team"))
    text = model_card(project, version.label)
    edited = text.replace(
        "## Limits\n\n_The author has not said._", "## Limits\n\nNot for crews.\n\n### Why\n\nWeather."
    )

    write_card(project, version.label, words_of_markdown(edited))

    words = card_words(project, version.label)
    assert words.words == CardText(
        intended_use="To warn passengers.", owner="delays team", limits="Not for crews.\n\n### Why\n\nWeather."
    )
    assert words.author == "ann"
    again = model_card(project, version.label)
    assert "## Limits\n\nNot for crews.\n\n### Why\n\nWeather.\n" in again
    assert "| Words last written | " in again
    assert get_model_version(project, version.label).card.limits == ""
    assert words_of_markdown(again) == words_of_markdown(edited)


def test_some_words_written_leave_the_others_and_a_name_that_is_none_is_refused(sqlite_project: LocalProject) -> None:
    version = add_version(sqlite_project, card=CardText(limits="None known."))

    write_card(sqlite_project, version.id, {"owner": "bob"})

    assert card_words(sqlite_project, version.id).words == CardText(limits="None known.", owner="bob")
    with pytest.raises(InvalidInputError, match="'use' is not one of the author's parts"):
        write_card(sqlite_project, version.id, {"use": "all"})


def test_a_heading_whose_words_would_be_lost_is_refused_and_one_in_code_is_none() -> None:
    with pytest.raises(InvalidInputError, match="'## Ethics' is no section of a card"):
        words_of_markdown("## Limits\n\nfew\n\n## Ethics\n\nmuch\n")
    with pytest.raises(InvalidInputError, match="none of the author's sections"):
        words_of_markdown("# delay v1\n\nwords\n")

    assert words_of_markdown("## Notes\n\n```\n## Ethics\n```\n") == {"notes": "```\n## Ethics\n```"}


def test_every_kind_of_evidence_has_its_section_and_every_section_is_known(sqlite_project: LocalProject) -> None:
    version = add_version(sqlite_project)
    bodies: dict[str, dict[str, object]] = {
        "evaluation": {"rows": 900, "window": "May", "level": 0.95, "metrics": {"auc": INTERVAL}, "slices": []},
        "calibration": {"sentence": "it is calibrated", "error": INTERVAL},
        "slices": {"sentence": "one is worse", "found": [{"slice": "hour>=17", "rows": 9, "gap": INTERVAL}]},
        "fairness": {
            "attribute": "sex",
            "sentence": "the groups differ",
            "differences": {"auc": {**INTERVAL, "highest": "f", "lowest": "m"}},
            "proxies": [{"input": "height", "auc": INTERVAL}],
        },
        "explanation": {"sentence": "x matters", "metric": "auc", "inputs": [{"input": "x", "drop": INTERVAL}]},
        "baselines": {"sentence": "it beats each", "baselines": [{"name": "constant", "value": 0.5, "gain": INTERVAL}]},
        "comparison": {"sentence": "delay@v2 is better"},
        "staleness": {
            "sentence": "it holds for 60 days",
            "points": [{"label": "delay@v1", "age_days": 30.0, "rows": 5, "metric": INTERVAL}],
        },
        "parity": {"passed": False, "why": "3 differ", "worst": {"row": {"x": 1e30}, "original": 1, "exported": 2}},
        "feature_costs": {"passed": True, "sentence": "cheap"},
    }
    bare = model_card(sqlite_project, version.id)
    for kind, body in bodies.items():
        record_evidence(sqlite_project, version.ref, kind, body)

    text = model_card(sqlite_project, version.id, address="https://lake.example")

    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert set(titles) <= {*LEDGER_TITLES, "Intended use", "Limits", "Owner", "Licence"}
    assert "## Not measured" not in text
    assert "`hw model fairness delay@v1 DATA" in bare
    for said in (
        "| auc | 0.25 | 0.2 to 0.3 |",
        "| hour>=17 | 9 | 0.25 | 0.2 to 0.3 | no |",
        "| auc | 0.25 | 0.2 to 0.3 | f | m |",
        "| `height` | 0.25 | 0.2 to 0.3 |",
        "| `x` | 0.25 | 0.2 to 0.3 |",
        "| constant | 0.5 | 0.25 | 0.2 to 0.3 | no |",
        "delay@v2 is better (evidence [",
        "| delay@v1 | 30 | 5 | 0.25 | 0.2 to 0.3 |",
        "**Not passed**: 3 differ",
        "| feature_costs | yes | cheap |",
        "](<https://lake.example/trace?ref=evidence:",
    ):
        assert said in text, said


def test_what_users_wrote_cannot_end_a_table_cell(sqlite_project: LocalProject) -> None:
    version = add_version(sqlite_project, params={"note": "a | b\nc"})

    assert "| `note` | `a \\| b c` |" in model_card(sqlite_project, version.id)
