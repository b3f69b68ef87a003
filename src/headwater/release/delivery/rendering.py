"""The files in which CI systems read a pipeline: GitHub Actions workflows, and GoCD's pipelines as code.

GitHub's form: https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax. GoCD's: the format
reference of its YAML configuration plugin, version 10.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from headwater.errors import InvalidInputError
from headwater.project import Settings

from .pipeline import STAGES, Pipeline

_TEMPLATES = Path(__file__).parent / "templates"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FOLDER = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
_BRANCH = re.compile(r"[A-Za-z0-9._/-]+")
_MOVING = ("staging", "approval", "production")
_ACTIONS = {
    # By commit, since a tag can be moved to other code.
    "checkout": "actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2",
    "python": "actions/setup-python@a309ff8b426b58ec0e2a45f0f869d46889d02405 # v6.2.0",
    "upload": "actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a # v7.0.1",
    "download": "actions/download-artifact@3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c # v8.0.1",
}
SYSTEMS = {
    "github": {
        ".github/workflows/delivery.yml": "github.yml",
        ".github/workflows/rollback.yml": "github-rollback.yml",
    },
    "gocd": {"delivery.gocd.yaml": "gocd.yaml"},
}
"""The CI systems there are; for each, its files from the root of the repository and their templates."""


class PipelineFile(NamedTuple):
    """A file of a CI system: its path from the root of the repository, and its text."""

    path: str
    text: str


def pipeline_files(
    system: str, pipeline: Pipeline, settings: Settings, *, folder: str = ".", branch: str = "main"
) -> list[PipelineFile]:
    """Return the files of a pipeline for ``github`` or ``gocd``.

    ``folder`` is where the project lies in its repository, ``branch`` what is delivered from. Secrets are named after
    the environment variables that ``settings`` name; where the project's stores are files of this machine, the
    pipeline opens it by URL with HEADWATER_PROJECT and HEADWATER_TOKEN.

    Raises:
        InvalidInputError: there is no such system, or a folder or branch that these files could not carry.
    """
    if system not in SYSTEMS:
        raise InvalidInputError(f"'{system}' is no CI system that is known. There are {', '.join(SYSTEMS)}.")
    for what, text, form in (("folder", folder, _FOLDER), ("branch", branch, _BRANCH)):
        if not form.fullmatch(text):
            raise InvalidInputError(f"the {what} '{text}' cannot stand in a pipeline: use letters, digits and . _ - /.")
    values = {
        "pipeline": pipeline,
        "stages": STAGES,
        "moving": _MOVING,
        "actions": _ACTIONS,
        "folder": folder,
        "inside": "" if folder == "." else f"{folder}/",
        "branch": branch,
        "install": " && ".join(line.strip() for line in pipeline.install.splitlines() if line.strip()),
        "environment": dict(_environment(system, settings)),
    }
    return [PipelineFile(path, _render(template, values)) for path, template in SYSTEMS[system].items()]


def _environment(system: str, settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the variables that opening the project takes, with where the CI system has their values."""
    secrets = sorted(set(_named(settings.tables.get("stores", {}))))
    if not _shared(settings):
        yield "HEADWATER_PROJECT", _value(system, "HEADWATER_PROJECT", secret=False)
        secrets = ["HEADWATER_TOKEN"]
    for name in secrets:
        yield name, _value(system, name, secret=True)


def _shared(settings: Settings) -> bool:
    """Tell whether both stores can be reached from another machine."""
    stores = settings.tables.get("stores", {})
    return bool(stores.get("ledger")) and bool(stores.get("objects"))


def _value(system: str, name: str, *, secret: bool) -> str:
    if system == "github":
        return f"${{{{ {'secrets' if secret else 'vars'}.{name} }}}}"
    return f"{{{{SECRET:[headwater][{name}]}}}}"


def _named(value: Any) -> Iterator[str]:
    """Yield the environment variables that settings name: ``env:NAME``."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _named(each)
    elif isinstance(value, str) and value.startswith("env:") and _VARIABLE.fullmatch(value[4:]):
        yield value[4:]


def _render(template: str, values: dict[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # YAML, not HTML; GitHub's own expressions are written ${{ }}, so ours are [[ ]].
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False,
        variable_start_string="[[", variable_end_string="]]", block_start_string="[%", block_end_string="%]",
        comment_start_string="[#", comment_end_string="#]",
    )  # fmt: skip
    made.filters["quoted"] = functools.partial(json.dumps, ensure_ascii=False)
    return made.get_template(template).render(values)
