"""The files that 'hw ci init' writes: valid by each system's own checkers, which catch what is planted."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it has no types

from headwater.errors import ConflictError, InvalidInputError
from headwater.project import Settings
from headwater.release.delivery import (
    ROLLBACK,
    STAGES,
    Delivery,
    Pipeline,
    as_toml,
    declare,
    pipeline_files,
    read_pipeline,
    write_delivery,
    write_files,
)
from tests.cli.running import done, hw
from tests.release.delivery.shop import git
from tests.release.delivery.validators import actionlint, gocd, published_schema, scripts, shell_problem, zizmor

PIPELINE = Pipeline(model="buyers", flow="train", data="visits@main", target="bought")
SHARED = {
    "stores": {
        "ledger": "env:HEADWATER_LEDGER",
        "objects": "s3://team/shop",
        "s3": {"access_key": "env:AWS_ACCESS_KEY_ID", "secret_key": "env:AWS_SECRET_ACCESS_KEY"},
    }
}
KINDS = pytest.mark.parametrize("settings", [{}, SHARED], ids=["by-url", "shared-stores"])


def files(system: str, settings: dict[str, Any], **more: Any) -> dict[str, str]:
    return dict(pipeline_files(system, PIPELINE, Settings(settings), **more))


def workflow() -> str:
    return files("github", SHARED)[".github/workflows/delivery.yml"]


def gocd_file() -> str:
    return files("gocd", SHARED)["delivery.gocd.yaml"]


def gocd_scripts() -> list[str]:
    [stage] = [
        each for each in yaml.safe_load(gocd_file())["pipelines"]["buyers-delivery"]["stages"] if "production" in each
    ]
    tasks = stage["production"]["jobs"]["production"]["tasks"]
    return [task["exec"]["arguments"][1] for task in tasks if "exec" in task]


def test_workflows_pass_every_checker() -> None:
    written = [
        text
        for settings in ({}, SHARED) for folder in (".", "apps/shop")
        for text in files("github", settings, folder=folder, branch="release/1").values()
    ]  # fmt: skip

    assert (actionlint(*written), zizmor(*written), published_schema(*written)) == ("", "", "")
    assert [problem for text in written for script in scripts(text) if (problem := shell_problem(script))] == []


@pytest.mark.parametrize(
    ("old", "new", "checker", "said"),
    [
        ("runs-on: ubuntu-24.04", "runs_on: ubuntu-24.04", actionlint, "runs_on"),
        ("needs: source", "needs: sauce", actionlint, "sauce"),
        ("timeout-minutes: 30", "timeout-minutes: soon", published_schema, "soon"),
        ("github.event_name ==", "github.event_nane ==", actionlint, "event_nane"),
        ('--reason "$REASON"', "--reason '${{ github.head_ref }}'", actionlint, "untrusted"),
        ('--reason "$REASON"', "--reason '${{ github.head_ref }}'", zizmor, "template-injection"),
        (r"(actions/checkout)@\w+ # v[\d.]+", r"\1@v6", zizmor, "unpinned-uses"),
        (r"        with:\n          persist-credentials: false\n", "", zizmor, "artipacked"),
        (r"permissions: \{\}", "permissions: write-all", zizmor, "excessive-permissions"),
        ("  pull_request:\n", "  pull_request_target:\n", zizmor, "dangerous-triggers"),
    ],
)
def test_what_is_planted_in_a_workflow_is_caught(old: str, new: str, checker: Any, said: str) -> None:
    planted = re.sub(old if "\\" in old else re.escape(old), new, workflow(), count=1)

    assert planted != workflow() and said in checker(planted)


def test_a_script_that_a_shell_does_not_accept_is_caught() -> None:
    planted = [shell_problem(script.replace("fi", "")) for script in scripts(workflow()) if "fi\n" in script]

    assert planted and all(planted)


@KINDS
@pytest.mark.parametrize("folder", [".", "apps/shop"])
def test_gocd_pipelines_have_the_form_that_gocd_reads(settings: dict[str, Any], folder: str) -> None:
    text = files("gocd", settings, folder=folder)["delivery.gocd.yaml"]
    document = yaml.safe_load(text)

    assert gocd(text) == []
    assert [next(iter(stage)) for stage in document["pipelines"]["buyers-delivery"]["stages"]] == list(STAGES)
    tasks = [
        task["exec"]["arguments"][1]
        for pipeline in document["pipelines"].values() for stage in pipeline["stages"]
        for body in stage.values() for job in body["jobs"].values() for task in job["tasks"] if "exec" in task
    ]  # fmt: skip
    assert len(tasks) == 2 * len(STAGES) + 3 and [shell_problem(task) for task in tasks] == [""] * len(tasks)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("format_version: 10", "format_version: 3", "10 was expected"),
        ("          jobs:\n", "          jobz:\n", "jobz"),
        ("type: manual", "type: by-hand", "by-hand"),
        ("run_if: failed", "run_if: broken", "broken"),
        ("timeout: 30", "timeout: soon", "soon"),
        ("command: sh", "comand: sh", "comand"),
        ("stage: build\n", "stage: approval\n", "keeps none before"),
        ("                    source: report.md\n", "", "report"),
        ("      - staging:\n", "      - test:\n", "comes twice"),
        ("lock_behavior: none", "lock_behavior: never", "never"),
    ],
)
def test_what_is_planted_in_a_gocd_file_is_caught(old: str, new: str, said: str) -> None:
    planted = gocd_file().replace(old, new, 1)
    if old == "                    source: report.md\n":
        planted = gocd_file().replace("source: report.md", "sauce: report.md", 1)
        said = "sauce"

    assert planted != gocd_file() and said in "\n".join(gocd(planted))


def test_both_systems_run_the_same_commands_as_hw_ci_run() -> None:
    wanted = [f"hw ci run {stage} --delivery delivery.json --reason" for stage in STAGES]

    for text in (workflow(), gocd_file()):
        found = re.findall(r"hw ci run (?!rollback)\w+ --delivery delivery\.json --reason", text)
        assert found == wanted
        assert len(re.findall(r"hw ci run rollback", text)) == 1


@pytest.mark.parametrize(("failed", "taken_back"), [("production", True), ("staging", False), ("", False)])
def test_both_systems_take_back_what_failed_and_nothing_that_waits(
    tmp_path: Path, failed: str, taken_back: bool
) -> None:
    """Their own lines are run by a shell, with an ``hw`` that leaves a trace, on a file as 'hw ci run' writes it."""
    write_delivery(tmp_path / "delivery.json", Delivery(candidate="buyers@v2", failed=failed))
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text('hw() { echo "$@" >> "$TRACE"; }\n')
    [gocd_line] = [task for task in gocd_scripts() if "hw ci run rollback" in task]
    steps = {
        step.get("id", step.get("name")): step for step in yaml.safe_load(workflow())["jobs"]["production"]["steps"]
    }

    def run(script: str, **environment: str) -> None:
        given = {"PATH": os.environ["PATH"], "TRACE": str(tmp_path / "trace"), **environment}
        subprocess.run(["sh", "-e", "-c", script], cwd=tmp_path, env=given, check=True)

    run(gocd_line)
    run(steps["seen"]["run"], GITHUB_OUTPUT=str(tmp_path / "output"))

    assert (tmp_path / "trace").exists() is taken_back
    output = (tmp_path / "output").read_text() if (tmp_path / "output").exists() else ""
    assert output == ("failed=production\n" if taken_back else "")
    assert steps["rollback"]["if"] == "failure() && steps.seen.outputs.failed == 'production'"


def test_the_command_line_knows_the_stages_there_are() -> None:
    from headwater.cli.ci_commands import _STAGES

    assert (*STAGES, ROLLBACK) == _STAGES


def test_secrets_are_named_and_never_written() -> None:
    for settings, names in (
        (SHARED, {"HEADWATER_LEDGER", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}),
        ({}, {"HEADWATER_TOKEN"}),
        ({"stores": {"ledger": "postgresql://ann:hunter2@db/shop", "objects": "s3://team/shop"}}, set()),
    ):
        for text in files("github", settings).values():
            assert set(re.findall(r"secrets\.(\w+)", text)) == names and "hunter2" not in text
        assert "hunter2" not in gocd_file()
    # They reach the steps that open the project, and no other: not what is installed, nor the comment.
    steps = [step for job in yaml.safe_load(workflow())["jobs"].values() for step in job["steps"]]
    assert {step["run"].split()[0] for step in steps if "secrets." in str(step.get("env"))} == {"hw"}


def test_a_pull_request_moves_no_channel_and_one_from_elsewhere_gets_no_secrets() -> None:
    jobs = yaml.safe_load(workflow())["jobs"]

    assert [name for name, job in jobs.items() if job.get("if") == "github.event_name != 'pull_request'"] == [
        "staging", "approval", "production",
    ]  # fmt: skip
    assert "head.repo.full_name == github.repository" in jobs["source"]["if"]
    assert [job["needs"] for name, job in jobs.items() if name in STAGES[1:]] == list(STAGES[:-1])
    assert {name for name, job in jobs.items() if "write" in job["permissions"].values()} == {"report"}


@pytest.mark.parametrize("values", [{"folder": "a b"}, {"branch": "main; reboot"}, {"folder": "../up: x"}])
def test_what_these_files_could_not_carry_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError, match="cannot stand in a pipeline"):
        files("github", {}, **values)


def test_a_pipeline_is_read_as_it_was_written(tmp_path: Path) -> None:
    pipeline = Pipeline(
        model="buyers", flow="train", data="visits@main", target="bought", slices=("device", 'a"b'), where="x = 'ü\\'",
        arguments={"rate": 0.5, "deep": {"a": [1, True]}, "text": "1"}, tests=("pytest -q",), install="a\nb",
    )  # fmt: skip
    assert read_pipeline(Settings(tomllib.loads(as_toml(pipeline)))) == pipeline

    (tmp_path / "headwater.toml").write_text('[project]\nname = "shop"\n')
    declare(tmp_path, pipeline)
    assert read_pipeline(Settings.read(tmp_path / "headwater.toml")) == pipeline
    with pytest.raises(ConflictError, match="already"):
        declare(tmp_path, pipeline)


def test_init_writes_into_the_repository_and_replaces_no_edited_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "apps" / "shop"
    root.mkdir(parents=True)
    git(tmp_path, "init", "-q")
    (root / "headwater.toml").write_text('[project]\nname = "shop"\n')
    (root / "requirements.txt").write_text("headwater\n")
    monkeypatch.chdir(root)
    monkeypatch.delenv("HEADWATER_PROJECT", raising=False)

    assert "--model, --flow, --data, --target" in hw("ci", "init", "github").err
    done("ci", "init", "github", "--model", "buyers", "--flow", "train", "--data", "visits@main", "--target", "bought")
    path = tmp_path / ".github" / "workflows" / "delivery.yml"
    assert "working-directory: apps/shop" in path.read_text()
    assert "pip install -r requirements.txt" in path.read_text()
    assert "unchanged" in done("ci", "init", "github").out

    path.write_text(path.read_text() + "# ours\n")
    refused = hw("ci", "init", "github")
    assert refused.code != 0 and "--force" in refused.err and path.read_text().endswith("# ours\n")
    done("ci", "init", "github", "--force")
    assert not path.read_text().endswith("# ours\n")
    assert hw("ci", "init", "gocd", "--model", "others").code == 2
    assert [each.path for each in write_files(root, "gocd")] == ["delivery.gocd.yaml"]
