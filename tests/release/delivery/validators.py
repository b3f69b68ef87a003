"""What checks the files of CI systems: GitHub's by actionlint, zizmor and the published schema, GoCD's by its format.

GoCD publishes no schema of its YAML: the one here follows the format reference of its plugin, version 10, as far as
our pipelines go; what names something else in the file is checked beside it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it has no types

BINS = Path(sys.executable).parent
NAME = {"type": "string", "pattern": r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$"}
TEXT = {"type": "string", "minLength": 1}
VARIABLES = {"type": "object", "additionalProperties": {"type": "string"}}


def _only(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_EXEC = _only(
    ("command",), command=TEXT, arguments={"type": "array", "items": {"type": "string"}}, working_directory=TEXT,
    run_if={"enum": ["passed", "failed", "any"]},
)  # fmt: skip
_FETCH = _only(
    ("stage", "job", "source"), stage=NAME, job=NAME, source=TEXT, destination=TEXT, is_file={"type": "boolean"},
    pipeline=NAME, artifact_origin={"enum": ["gocd", "external"]}, run_if={"enum": ["passed", "failed", "any"]},
)  # fmt: skip
_ONE = {"minProperties": 1, "maxProperties": 1}
_TASK = {**_only(exec=_EXEC, fetch=_FETCH), **_ONE}
_ARTIFACT = {**_only(build=_only(("source",), source=TEXT, destination=TEXT)), **_ONE}
_JOB = _only(
    ("tasks",), timeout={"type": "integer", "minimum": 0}, tasks={"type": "array", "items": _TASK, "minItems": 1},
    artifacts={"type": "array", "items": _ARTIFACT}, tabs={"type": "object", "additionalProperties": TEXT},
    resources={"type": "array", "items": TEXT}, environment_variables=VARIABLES,
)  # fmt: skip
_APPROVAL = _only(("type",), type={"enum": ["manual", "success"]}, allow_only_on_success={"type": "boolean"})
_STAGE = _only(
    ("jobs",), clean_workspace={"type": "boolean"}, fetch_materials={"type": "boolean"}, approval=_APPROVAL,
    keep_artifacts={"type": "boolean"}, environment_variables=VARIABLES,
    jobs={"type": "object", "propertyNames": NAME, "additionalProperties": _JOB, "minProperties": 1},
)  # fmt: skip
_PIPELINE = _only(
    ("group", "materials", "stages"),
    group={"type": "string", "pattern": r"^[A-Za-z0-9_.\-]+$"},
    lock_behavior={"enum": ["none", "lockOnFailure", "unlockWhenFinished"]},
    materials={
        "type": "object",
        "minProperties": 1,
        "additionalProperties": _only(("type",), type={"const": "configrepo"}),
    },
    environment_variables=VARIABLES,
    stages={"type": "array", "minItems": 1, "items": {"type": "object", "additionalProperties": _STAGE, **_ONE}},
)
GOCD = _only(
    ("format_version", "pipelines"),
    format_version={"const": 10},
    pipelines={"type": "object", "propertyNames": NAME, "additionalProperties": _PIPELINE, "minProperties": 1},
)


def actionlint(*texts: str) -> str:
    """Return what actionlint says of workflows, "" for nothing."""
    return "".join(_said("actionlint", "-no-color", "-", text=text) for text in texts)


def zizmor(*texts: str) -> str:
    """Return what zizmor's audits find in workflows, "" for nothing."""
    with _written(texts) as files:
        found = _said("zizmor", "--quiet", "--offline", "--no-config", "--persona=pedantic", "--format=json", *files)
    return "" if not found else ", ".join(sorted({each["ident"] for each in json.loads(found)}))


def published_schema(*texts: str) -> str:
    """Return what is wrong with workflows by the published schema, "" for nothing."""
    with _written(texts) as files:
        return _said("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files)


@contextmanager
def _written(texts: tuple[str, ...]) -> Iterator[list[str]]:
    """Yield the paths of workflows as they lie in a repository."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / ".github" / "workflows" / f"{place}.yml" for place in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        yield [str(file) for file in files]


def scripts(text: str) -> list[str]:
    """Return the shell scripts of a workflow's steps."""
    jobs = yaml.safe_load(text)["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def gocd(text: str) -> list[str]:
    """Return what is wrong with the pipelines of a GoCD file."""
    import jsonschema  # type: ignore[import-untyped]  # it has no types

    document = yaml.safe_load(text)
    found = [error.message for error in jsonschema.Draft202012Validator(GOCD).iter_errors(document)]
    if not found:
        for pipeline in document["pipelines"].values():
            found += _gone(pipeline["stages"])
    return found


def _gone(stages: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what a stage fetches that no stage before it keeps, and the names that come twice."""
    kept: set[tuple[str, str, str]] = set()
    names: set[str] = set()
    for stage in stages:
        ((name, body),) = stage.items()
        if name in names:
            yield f"stage {name} comes twice"
        names.add(name)
        for job in body["jobs"].values():
            for task in job["tasks"]:
                fetch = task.get("fetch")
                if fetch and (fetch["stage"], fetch["job"], fetch["source"]) not in kept:
                    yield f"stage {name} fetches {fetch['source']} of {fetch['stage']}, which keeps none before"
        for title, job in body["jobs"].items():
            kept |= {(name, title, Path(each["build"]["source"]).name) for each in job.get("artifacts", ())}


def shell_problem(script: str) -> str:
    """Return what a shell says of a script that it does not run; GitHub's own expressions count as words."""
    plain = re.sub(r"\$\{\{.*?\}\}", "expression", script)
    return subprocess.run(["bash", "-n"], input=plain, text=True, capture_output=True, check=False).stderr


def _said(program: str, *words: str, text: str | None = None) -> str:
    done = subprocess.run([BINS / program, *words], input=text, text=True, capture_output=True, check=False)
    assert done.returncode in range(20), done.stderr
    return "" if done.returncode == 0 else done.stdout or done.stderr
