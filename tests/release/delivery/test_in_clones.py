"""The files of CI systems walked as these do: each stage in a fresh clone, with only what was handed on and secrets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import yaml  # type: ignore[import-untyped]  # it has no types

from headwater.check import publish_tables
from headwater.model import get_model_version
from headwater.project import create_project, open_project
from headwater.release import approve, release_log
from headwater.release.delivery import STAGES, read_delivery, write_files
from tests.release.delivery.shop import as_arrow, git, visits, write_code
from tests.servers.s3 import S3Place

STORES = """
[stores]
ledger = "env:HEADWATER_LEDGER"
objects = "env:HEADWATER_OBJECTS"

[stores.s3]
endpoint = "env:S3_ENDPOINT"
access_key = "env:S3_KEY"
secret_key = "env:S3_SECRET"
region = "us-east-1"
"""
LEARNING = """
import headwater as hw

INPUTS = ["pages", "minutes"]


@hw.step
def fit(data):
    from sklearn.linear_model import LinearRegression

    rows = hw.data(data).to_pandas()
    inputs = rows[INPUTS].astype("float32")
    model = LinearRegression().fit(inputs, rows["spent"])
    return hw.register_model("spending", model, inputs, trained_on=[data]).id


@hw.flow
def train(data: str = "visits@main"):
    return fit(data)
"""


class Job(NamedTuple):
    """A job of a CI system: its scripts that run hw, with their environment."""

    name: str
    scripts: list[tuple[str, dict[str, str]]]


def github_jobs(text: str) -> Iterator[Job]:
    for name, job in yaml.safe_load(text)["jobs"].items():
        steps = [step for step in job["steps"] if step.get("run", "").startswith("hw ") and "if" not in step]
        if name != "report":
            yield Job(name, [(step["run"], step["env"]) for step in steps])


def gocd_jobs(text: str) -> Iterator[Job]:
    pipeline = yaml.safe_load(text)["pipelines"]["spending-delivery"]
    for stage in pipeline["stages"]:
        ((name, body),) = stage.items()
        tasks = [task["exec"] for task in body["jobs"][name]["tasks"] if "exec" in task]
        scripts = [task["arguments"][1] for task in tasks if "hw ci" in task["arguments"][1] and "run_if" not in task]
        yield Job(name, [(script, pipeline["environment_variables"]) for script in scripts])


def resolved(text: str, secrets: dict[str, str]) -> str:
    """Return a value with what the CI system would put in the place of its expressions."""
    text = re.sub(r"\$\{\{ (?:secrets|vars)\.(\w+) \}\}", lambda found: secrets[found[1]], text)
    text = re.sub(r"\{\{SECRET:\[headwater\]\[(\w+)\]\}\}", lambda found: secrets[found[1]], text)
    return re.sub(r"\$\{\{ github\.(\w+) \}\}", lambda found: {"actor": "ann"}.get(found[1], found[1]), text)


@pytest.mark.long
@pytest.mark.parametrize("system", ["github", "gocd"])
def test_every_stage_passes_in_a_clone_of_its_own(
    system: str, tmp_path: Path, postgres_url: str, s3: S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {
        "HEADWATER_LEDGER": postgres_url, "HEADWATER_OBJECTS": f"s3://{s3.bucket}/{s3.prefix}",
        "S3_ENDPOINT": s3.endpoint, "S3_KEY": s3.access_key, "S3_SECRET": s3.secret_key,
    }  # fmt: skip
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    origin = tmp_path / "origin"
    origin.mkdir()
    (origin / "headwater.toml").write_text(f'[project]\nname = "shop"\n{STORES}')
    write_code(origin)
    (origin / "flows.py").write_text(LEARNING)
    with create_project(origin, name="shop", actor="ann") as project:
        publish_tables(project, "visits", {"visits": as_arrow(visits())}, message="the first visits")
    git(origin, "init", "-q")
    (written, *_) = write_files(origin, system)
    git(origin, "add", "flows.py", "headwater.toml", "sample.json", written.path)
    git(origin, "commit", "-qm", "first")
    jobs = list({"github": github_jobs, "gocd": gocd_jobs}[system]((origin / written.path).read_text()))
    assert [job.name for job in jobs] == list(STAGES) and all(len(job.scripts) == 1 for job in jobs)

    handed_on = b""
    for job in jobs:
        clone = tmp_path / job.name
        git(tmp_path, "clone", "-q", str(origin), job.name)
        if handed_on:
            (clone / "delivery.json").write_bytes(handed_on)
        code, said = run(job, clone, secrets)
        if job.name == "production":
            assert code == 1 and "needs 1 more person" in said
            waiting = read_delivery(clone / "delivery.json")
            assert waiting is not None
            with open_project(clone, actor="maria") as project:
                approve(project, waiting.request, "good on visits")
            code, said = run(job, clone, secrets)
        assert code == 0, said
        handed_on = (clone / "delivery.json").read_bytes()
        if job.name == "test":
            assert "hw model parity spending@v1 visits@v1" in said and (clone / "report.md").stat().st_size > 500

    with open_project(origin, actor="ann") as project:
        (released,) = release_log(project, "spending", "production")
        assert get_model_version(project, released.version).author == ("ann" if system == "github" else "gocd")
    assert [each.by for each in released.approvals] == ["maria"]
    assert msgspec.json.decode(handed_on)["candidate"] == "spending@v1"


def run(job: Job, clone: Path, secrets: dict[str, str]) -> tuple[int, str]:
    """Run a job's scripts as its CI system does: a shell, the secrets that the file asks for, and nothing else."""
    said = ""
    for script, given in job.scripts:
        bins = clone / ".venv" / "bin"
        bins.mkdir(parents=True, exist_ok=True)
        (bins / "activate").write_text("")  # what was installed is on the path already
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": os.environ.get("HOME", ""),
            **{name: resolved(str(value), secrets) for name, value in given.items()},
        }  # fmt: skip
        done = subprocess.run(
            ["sh", "-c", script], cwd=clone, env=environment, capture_output=True, text=True, check=False
        )
        said += done.stdout + done.stderr
        if done.returncode:
            return done.returncode, said
    return 0, said
