"""``hw model``: the registry."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .context import Context, pass_context, size, table, when

if TYPE_CHECKING:
    from headwater.evaluate import Evidence


@click.group()
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
        fields = [
            (side, f.name, f.type, f.minimum, f.maximum, ", ".join(map(str, f.allowed or ())), f.unit, f.description)
            for side, group in (("in", version.contract.inputs), ("out", version.contract.outputs))
            for f in group
        ]
        parts = [
            f"{version.label}  {version.id}",
            version.description,
            f"by {version.author} at {when(version.created_at)}",
            "",
            table(("", "field", "type", "min", "max", "allowed", "unit", "description"), fields),
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


@model.command("card")
@click.argument("ref")
@pass_context
def card(context: Context, ref: str) -> None:
    """Print the card of a version as Markdown."""
    from headwater.evaluate import model_card

    with context.open() as project:
        text = model_card(project, ref)
    context.show({"card": text}, lambda: text)


@model.command("evaluate")
@click.argument("ref")
@click.argument("data")
@click.option("--target", required=True, help="The column that holds the truth.")
@click.option("--slice", "slices", multiple=True, help="Also by the values of this column (repeatable).")
@click.option("--where", help="An SQL condition on the rows.")
@click.option("--time", help="The column whose span names the window.")
@pass_context
def evaluate(
    context: Context, ref: str, data: str, target: str, slices: tuple[str, ...], where: str | None, time: str | None
) -> None:
    """Measure a version on a dataset, with intervals, and record it as evidence."""
    from headwater.evaluate import evaluate_model

    with context.open() as project:
        evidence = evaluate_model(project, ref, data, target, slices=slices, where=where, time=time)
    context.show(evidence, lambda: evidence_text(evidence))


@model.command("compare")
@click.argument("champion")
@click.argument("challenger")
@click.argument("data")
@click.option("--target", required=True, help="The column that holds the truth.")
@click.option("--metric", default="", help="Default: AUC for classifiers, RMSE for regressors.")
@click.option("--where", help="An SQL condition on the rows.")
@click.option("--time", help="The column whose span names the window.")
@pass_context
def compare(
    context: Context,
    champion: str,
    challenger: str,
    data: str,
    target: str,
    metric: str,
    where: str | None,
    time: str | None,
) -> None:
    """Measure two versions on the same rows and record the paired difference as evidence."""
    from headwater.evaluate import compare_models

    with context.open() as project:
        evidence = compare_models(project, champion, challenger, data, target, metric=metric, where=where, time=time)
    context.show(evidence, lambda: evidence_text(evidence))


@model.command("parity")
@click.argument("ref")
@click.argument("data")
@click.option("--where", help="An SQL condition on the rows.")
@click.option("--tolerance", type=float, default=1e-4, show_default=True, help="How far two answers may be apart.")
@pass_context
def parity(context: Context, ref: str, data: str, where: str | None, tolerance: float) -> int:
    """Search for inputs on which a version's export disagrees with its original, and record the evidence."""
    from headwater.evaluate import parity as check

    with context.open() as project:
        evidence = check(project, ref, data, where=where, tolerance=tolerance)
    context.show(evidence, lambda: evidence_text(evidence))
    return 0 if evidence.body["passed"] else 1


@model.command("predict")
@click.argument("ref")
@click.argument("rows", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
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


def evidence_text(evidence: Evidence) -> str:
    """Return a measurement as people read it: its sentence, and its metrics with intervals."""
    body = evidence.body
    lines = [str(body[key]) for key in ("sentence", "why") if body.get(key)]
    metrics = body.get("metrics", {})
    rows = [(name, f["value"], f.get("low"), f.get("high")) for name, f in metrics.items() if isinstance(f, dict)]
    if rows:
        shown = [(name, *("" if x is None else f"{x:.4f}" for x in numbers)) for name, *numbers in rows]
        lines.append(table(("metric", "value", "low", "high"), shown, right=(1, 2, 3)))
    lines.append(f"recorded as {evidence.ref}")
    return "\n".join(lines)
