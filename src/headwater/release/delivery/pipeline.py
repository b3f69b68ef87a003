"""What a team delivers and how: ``[ci]`` in headwater.toml."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from headwater.errors import InvalidInputError
from headwater.model.refs import check_channel, check_name
from headwater.project import Settings

STAGES = ("source", "build", "test", "staging", "approval", "production")
"""The stages in their order; ``rollback`` stands beside them."""
ROLLBACK = "rollback"


class Pipeline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the stages of a delivery work on.

    ``flow`` trains ``model`` on the dataset ``data``, whose version is pinned when a delivery begins and given to the
    flow as its argument ``argument``, beside ``arguments``. A candidate is measured on ``test_data`` (else ``data``)
    against the column ``target``, by ``slices``, on the rows of ``where``. ``tests`` are the team's own commands,
    ``sample`` a JSON file of rows that a released version must answer. With ``canary`` production is
    reached by a share of requests that grows. ``install`` and ``python`` prepare a machine.
    """

    model: str
    flow: str
    data: str
    target: str
    argument: str = "data"
    arguments: dict[str, Any] = {}
    test_data: str = ""
    slices: tuple[str, ...] = ()
    where: str = ""
    metric: str = ""
    tests: tuple[str, ...] = ()
    sample: str = ""
    staging: str = "staging"
    production: str = "production"
    canary: bool = False
    install: str = "pip install headwater"
    python: str = "3.12"

    def __post_init__(self) -> None:
        check_name(self.model, "model")
        for channel in (self.staging, self.production):
            check_channel(channel)
        for name in ("flow", "data", "target", "argument", "install", "python"):
            if not getattr(self, name).strip():
                raise InvalidInputError(f"[ci] needs '{name}'.", key=name)


def read_pipeline(settings: Settings) -> Pipeline:
    """Return the pipeline of a project's settings.

    Raises:
        InvalidInputError: there is no ``[ci]``, or a key of it is missing, unknown or of another type.
    """
    declared = settings.table("ci")
    if not declared:
        raise InvalidInputError(
            "headwater.toml has no [ci] table, which says what is delivered. 'hw ci init github' or 'hw ci init gocd' "
            "writes it, with --model, --flow, --data and --target."
        )
    try:
        return msgspec.convert(declared, Pipeline)
    except msgspec.ValidationError as error:
        known = ", ".join(Pipeline.__struct_fields__)
        raise InvalidInputError(f"[ci] in headwater.toml cannot be read: {error}. Its keys are {known}.") from error


def as_toml(pipeline: Pipeline) -> str:
    """Return a pipeline as the ``[ci]`` table of headwater.toml, defaults left out."""
    given = msgspec.to_builtins(pipeline)
    return "\n".join(["[ci]", *(f"{key} = {_value(value)}" for key, value in given.items())]) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)
