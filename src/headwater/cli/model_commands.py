"""``hw model``: the registry."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .context import Context, pass_context, size, table, when
from .contract_commands import fields_table
from .evidence_text import evidence_text
from .lazy import LazyGroup

ELSEWHERE: dict[str, tuple[str, str]] = {
    "add": ("adding_commands:add", "Register a model that was made elsewhere: its file or folder."),
    "flavours": ("adding_commands:flavours_command", "The flavours of models, and what each keeps."),
    "contract": ("contract_commands:contract", "Contracts: show, infer, edit, diff."),
    "untrusted": ("adding_commands:untrusted_command", "What loading a version would run and nobody trusted."),
    "trust": ("adding_commands:trust_command", "Let a version be loaded although that runs its code."),
    "record": ("adding_commands:record_command", "Keep what an HTTP API answers to a dataset."),
    "evaluate": ("evaluation_commands:evaluate", "Measure a version on a dataset, with intervals."),
    "compare": ("evaluation_commands:compare", "Measure two versions on the same rows."),
    "baselines": ("evaluation_commands:baselines", "Compare a version with simpler models and the last release."),
    "slices": ("evaluation_commands:slices", "Search for parts of the data on which a version is worse."),
    "fairness": ("evaluation_commands:fairness", "How a version treats groups, and which inputs stand in for them."),
    "calibration": ("evaluation_commands:calibration", "Whether what it says comes as often as it says."),
    "explain": ("evaluation_commands:explain", "What each input is worth: importance, Shapley values."),
    "staleness": ("evaluation_commands:staleness", "Versions on later data: when to train again."),
    "card": ("card_commands:card", "The card of a version as Markdown, with the author's words merged in."),
    "readiness": ("card_commands:readiness", "ML Test Score, readiness level, phases: from the ledger's evidence."),
    "drill": ("card_commands:drill", "Try out what readiness asks for: checks, spec, example."),
}


@click.group(cls=LazyGroup, lazy=ELSEWHERE)
def model() -> None:
    """Models and their versions. A ref names one: delay@v3, delay@production, delay@latest."""


@model.command("list")
@click.argument("name", required=False)
@click.option("--limit", default=50, show_default=True)
@pass_context
def list_command(context: Context, name: str | None, limit: int) -> None:
    """Show the models, or the versions of one."""
    from headwater.model import channels, list_model_versions, list_models

    with context.open() as project:
        if name is None:
            models = list_models(project)
            context.show(
                models,
                lambda: table(
                    ("model", "versions", "channels"), [(m.name, m.versions, ", ".join(m.channels)) for m in models]
                ),
            )
            return
        versions = list_model_versions(project, name, limit=limit)
        places = channels(project, name)
    where = {each.id: channel for channel, each in places.items()}
    context.show(
        versions,
        lambda: table(
            ("version", "in", "when", "author", "what it is"),
            [(f"v{v.number}", where.get(v.id, ""), when(v.created_at), v.author, v.description) for v in versions],
        ),
    )


@model.command("show")
@click.argument("ref")
@pass_context
def show(context: Context, ref: str) -> None:
    """Show one version: contract, parameters, files, evidence."""
    from headwater.evaluate import list_evidence
    from headwater.model import get_model_version

    with context.open() as project:
        version = get_model_version(project, ref)
        evidence = list_evidence(project, version.ref)

    def render() -> str:
        parts = [
            f"{version.label}  {version.id}",
            version.description,
            f"by {version.author} at {when(version.created_at)}",
            "",
            fields_table(version.contract),
            "",
            table(("parameter", "value"), sorted(version.params.items())),
            "",
            table(
                ("file", "flavour", "size", "digest"),
                [(f.name, f.flavour, size(f.size), f.digest) for f in version.files],
            ),
            "",
            table(("evidence", "kind", "when"), [(e.id, e.kind, when(e.created_at)) for e in evidence]),
        ]
        return "\n".join(parts)

    context.show({"version": version, "evidence": evidence}, render)


@model.command("parity")
@click.argument("ref")
@click.argument("data")
@click.option("--where", help="An SQL condition on the rows.")
@click.option("--tolerance", type=float, default=1e-4, show_default=True, help="How far two answers may be apart.")
@click.option("--original", default="", help="The flavour of the original. Default: the form that is not ONNX.")
@click.option("--exported", default="", help="The flavour of the export. Default: onnx.")
@pass_context
def parity(
    context: Context, ref: str, data: str, where: str | None, tolerance: float, original: str, exported: str
) -> int:
    """Search for inputs on which a version's export disagrees with its original, and record the evidence."""
    from headwater.evaluate import parity as check

    with context.open() as project:
        evidence = check(project, ref, data, original=original, exported=exported, where=where, tolerance=tolerance)
    context.show(evidence, lambda: evidence_text(evidence))
    return 0 if evidence.body["passed"] else 1


@model.command("predict")
@click.argument("ref")
@click.argument("rows", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@pass_context
def predict(context: Context, ref: str, rows: Path) -> None:
    """Predict the rows of a JSON file (a list of objects, or - for standard input) here, recording nothing."""
    import msgspec

    from headwater.errors import InvalidInputError
    from headwater.model import load as load_model

    text = sys.stdin.buffer.read() if rows == Path("-") else rows.read_bytes()
    try:
        given = msgspec.json.decode(text, type=list[dict[str, object]])
    except msgspec.DecodeError as error:
        raise InvalidInputError(f"'{rows}' is not a JSON list of objects: {error}") from error
    with context.open() as project:
        answers = load_model(project, ref).predict(given)
    context.show(answers, lambda: msgspec.json.encode(answers).decode())
