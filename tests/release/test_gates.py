from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import InvalidInputError, NotFoundError
from headwater.evaluate import record_evidence
from headwater.project import LocalProject, Project, Settings
from headwater.release import GateResult, channel_rules, check_gates, request_release
from tests.release.champions import add_version, compared, evaluated, passed_parity


@pytest.fixture
def declare(sqlite_project: LocalProject) -> Callable[..., None]:
    """Declare the gates of production."""

    def change(*gates: Any, **rules: Any) -> None:
        sqlite_project.settings.tables["channels"] = {"production": {"gates": list(gates), **rules}}

    return change


def ask(project: Project, version: str) -> GateResult:
    [result] = check_gates(project, version, "production")
    return result


def test_a_channel_that_is_not_declared_has_no_gates(sqlite_project: LocalProject) -> None:
    add_version(sqlite_project)

    assert check_gates(sqlite_project, "delay@v1", "production") == []


@pytest.mark.parametrize(
    ("gate", "command"),
    [
        ("parity", "hw model parity delay@v1 DATA"),
        ("bar:auc>0.6", "hw model evaluate delay@v1 DATA --target COLUMN"),
        ("fresh:evaluation<30d", "hw model evaluate delay@v1 DATA --target COLUMN"),
    ],
)
def test_a_gate_without_evidence_is_closed_and_names_the_command_that_makes_it(
    sqlite_project: LocalProject, declare: Callable[..., None], gate: str, command: str
) -> None:
    declare(gate)
    add_version(sqlite_project)

    found = ask(sqlite_project, "delay@v1")

    assert (found.open, found.looked_at, found.do) == (False, (), command)
    assert "recorded" in found.found


def test_parity_is_open_where_the_newest_search_passed(
    sqlite_project: LocalProject, declare: Callable[..., None]
) -> None:
    declare("parity")
    version = add_version(sqlite_project)

    passed_parity(sqlite_project, version, False)
    assert not ask(sqlite_project, "delay@v1").open
    evidence = passed_parity(sqlite_project, version)
    assert ask(sqlite_project, "delay@v1").open
    assert ask(sqlite_project, "delay@v1").looked_at == (evidence.ref,)
    passed_parity(sqlite_project, version, False)
    assert not ask(sqlite_project, "delay@v1").open


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"tolerance": 10.0}, "a tolerance of 10"),
        ({"tolerance": float("nan")}, "a tolerance of nan"),
        ({"exported": "sklearn"}, "it is about sklearn, and onnx is served"),
        ({"passed": 1}, "as the search found"),
    ],
)
def test_a_parity_of_another_form_or_with_a_wide_tolerance_opens_nothing(
    sqlite_project: LocalProject, declare: Callable[..., None], body: dict[str, Any], said: str
) -> None:
    declare("parity")
    version = add_version(sqlite_project)
    passed_parity(sqlite_project, version)
    assert ask(sqlite_project, "delay@v1").open

    record_evidence(
        sqlite_project,
        version.ref,
        "parity",
        {"passed": True, "why": "as the search found", "exported": "onnx", "tolerance": 1e-4, **body},
    )

    assert (ask(sqlite_project, "delay@v1").open, said in ask(sqlite_project, "delay@v1").found) == (False, True)
    declare({"kind": "parity", "tolerance": 10.0})
    assert ask(sqlite_project, "delay@v1").open is (body.get("tolerance") == 10.0)


def test_a_version_served_as_the_original_needs_no_parity(
    sqlite_project: LocalProject, declare: Callable[..., None]
) -> None:
    declare("parity")
    add_version(sqlite_project, flavour="sklearn")

    assert ask(sqlite_project, "delay@v1").open


@pytest.mark.parametrize(
    ("gate", "is_open"),
    [
        ("bar:auc>0.69", True),
        ("bar:auc>0.70", False),
        ("bar:auc>=0.70", True),
        ("bar:auc<0.71", True),
        ("bar:auc.low>0.69", False),
        ("bar:auc.high>0.70", True),
        ("bar:brier<0.2", False),
        ({"kind": "bar", "metric": "auc", "at_least": 0.7}, True),
        ({"kind": "bar", "metric": "auc", "at_most": 0.6}, False),
        ({"kind": "bar", "metric": "auc", "at_least": 0.7, "of": "low"}, False),
    ],
)
def test_a_bar_holds_a_metric_against_a_number(
    sqlite_project: LocalProject, declare: Callable[..., None], gate: Any, is_open: bool
) -> None:
    declare(gate)
    evaluated(sqlite_project, add_version(sqlite_project), 0.7)

    assert ask(sqlite_project, "delay@v1").open is is_open


def test_a_metric_that_is_not_a_number_passes_no_bar(
    sqlite_project: LocalProject, declare: Callable[..., None]
) -> None:
    evaluated(sqlite_project, add_version(sqlite_project), float("nan"))

    for gate in ("bar:auc>0", "bar:auc<1"):
        declare(gate)
        assert not ask(sqlite_project, "delay@v1").open


def test_a_challenger_must_gain_over_the_version_that_the_channel_points_to(
    sqlite_project: LocalProject, declare: Callable[..., None]
) -> None:
    declare("better_than_champion")
    first, second, third = (add_version(sqlite_project) for _ in range(3))

    assert ask(sqlite_project, "delay@v1").open  # there is no champion yet
    request_release(sqlite_project, "delay@v1", "production", "the first")
    missing = ask(sqlite_project, "delay@v2")
    compared(sqlite_project, third, second, 0.5)  # of another champion
    elsewhere = ask(sqlite_project, "delay@v2")
    evidence = compared(sqlite_project, first, second, -0.001)
    refused = ask(sqlite_project, "delay@v2")
    compared(sqlite_project, first, second, 0.001)

    assert missing.do == "hw model compare delay@v1 delay@v2 DATA --target COLUMN"
    assert not elsewhere.open
    assert (refused.open, refused.looked_at) == (False, (evidence.ref,))
    assert "October" in refused.found
    assert ask(sqlite_project, "delay@v2").open


def test_a_margin_lets_a_challenger_pass_that_is_hardly_worse(
    sqlite_project: LocalProject, declare: Callable[..., None]
) -> None:
    declare({"kind": "better_than_champion", "margin": 0.002})
    first, second = add_version(sqlite_project), add_version(sqlite_project)
    request_release(sqlite_project, "delay@v1", "production", "the first")

    compared(sqlite_project, first, second, -0.001)
    assert ask(sqlite_project, "delay@v2").open
    compared(sqlite_project, first, second, -0.003)
    assert not ask(sqlite_project, "delay@v2").open


def test_evidence_grows_stale(sqlite_project: LocalProject, declare: Callable[..., None]) -> None:
    declare("fresh:evaluation<30d")
    evaluated(sqlite_project, add_version(sqlite_project), 0.7)
    later = sqlite_project.as_actor("ann")

    later.clock = lambda: sqlite_project.clock() + 31 * 86_400_000_000

    assert ask(sqlite_project, "delay@v1").open
    assert "31.0 days old" in ask(later, "delay@v1").found
    assert not ask(later, "delay@v1").open


def write_gates(folder: Path) -> None:
    (folder / "gates.py").write_text(
        "from headwater.release import gate\n\n"
        "@gate\ndef reviewed(reader):\n"
        '    """Somebody reviewed it."""\n'
        '    note = reader.newest("review")\n'
        '    return note is not None, f"{reader.version.label}: {note and note.body}"\n\n'
        "@gate\ndef broken(reader):\n    return 1 / 0\n\n"
        "def helper(reader):\n    return True\n"
    )


def test_a_python_function_is_a_gate(sqlite_project: LocalProject, declare: Callable[..., None]) -> None:
    write_gates(sqlite_project.folder)
    declare("python:gates.py:reviewed")
    add_version(sqlite_project)

    found = ask(sqlite_project, "delay@v1")

    assert (found.open, found.wants) == (False, "Somebody reviewed it.")
    assert found.found == "delay@v1: None"


def test_a_python_gate_that_raises_is_closed_and_says_where(
    sqlite_project: LocalProject, declare: Callable[..., None]
) -> None:
    write_gates(sqlite_project.folder)
    declare("python:gates.py:broken")
    add_version(sqlite_project)

    found = ask(sqlite_project, "delay@v1")

    assert not found.open
    assert "ZeroDivisionError" in found.found
    assert "gates.py:11" in found.found


YES = (
    "True",
    "np.float64(0.7) > 0.6",
    "(True, 'as it should be')",
    "GateResult(name='x', open=np.bool_(True), found='x', wants='x')",
)
NO = ("False", "(False, 'it is not')", "(True,)")
NEITHER = (
    "'no'",
    "1",
    "None",
    "float('nan')",
    "('no', 'it is not')",
    "()",
    "(lambda: True)",
    "GateResult(name='x', open='no', found='x', wants='x')",
    "waiting(reader)",
)


def test_true_alone_opens_a_python_gate(sqlite_project: LocalProject, declare: Callable[..., None]) -> None:
    add_version(sqlite_project)

    for place, said in enumerate((*YES, *NO, *NEITHER)):
        (sqlite_project.folder / f"gates{place}.py").write_text(
            "import numpy as np\nfrom headwater.release import GateResult, gate\n\n"
            "async def waiting(reader):\n    return True\n\n"
            f"@gate\ndef said(reader):\n    return {said}\n"
        )
        declare(f"python:gates{place}.py:said")
        found = ask(sqlite_project, "delay@v1")
        assert found.open is (said in YES), said
        assert ("neither True nor False" in found.found) is (said in NEITHER), found.found

    assert request_release(sqlite_project, "delay@v1", "production", "go").status == "closed"  # as the last one said


@pytest.mark.parametrize(
    ("gate", "error", "said"),
    [
        ("beter_than_champion", InvalidInputError, "cannot be read"),
        ("bar:auc", InvalidInputError, "cannot be read"),
        ({"kind": "bar", "metric": "auc"}, InvalidInputError, "cannot be read"),
        ("python:gates.py:helper", InvalidInputError, "not marked"),
        ("python:gates.py:nothing", NotFoundError, "no function"),
        ("python:other.py:gate", NotFoundError, "not in the project's folder"),
        ("python:../gates.py:reviewed", InvalidInputError, "inside the project's folder"),
    ],
)
def test_a_gate_that_cannot_be_read_is_an_error_and_never_open(
    sqlite_project: LocalProject,
    declare: Callable[..., None],
    gate: Any,
    error: type[Exception],
    said: str,
) -> None:
    write_gates(sqlite_project.folder)
    declare(gate)
    add_version(sqlite_project)

    with pytest.raises(error, match=said):
        check_gates(sqlite_project, "delay@v1", "production")
    with pytest.raises(error):
        request_release(sqlite_project, "delay@v1", "production", "try")


def test_a_models_own_rules_override_the_channels() -> None:
    settings = Settings(
        {
            "channels": {"production": {"approvals": 1, "gates": ["parity"]}},
            "models": {"delay": {"channels": {"production": {"approvals": 2}}}},
        }
    )

    assert channel_rules(settings, "fare", "production").approvals == 1
    assert channel_rules(settings, "delay", "production").approvals == 2
    assert channel_rules(settings, "delay", "production").gates == ("parity",)
    assert channel_rules(settings, "delay", "staging").approvals == 0


def test_a_misspelt_rule_is_an_error_and_not_a_channel_without_rules() -> None:
    settings = Settings({"channels": {"production": {"aprovals": 1}}})

    with pytest.raises(InvalidInputError, match="aprovals"):
        channel_rules(settings, "delay", "production")
