"""``hw model contract``: what goes into a model and what comes out, shown, written, inferred and edited."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .context import Context, pass_context, table

if TYPE_CHECKING:
    from headwater.model import Contract, ModelVersion

FORMS = ("table", "toml", "json-schema", "openapi", "open-inference")


@click.group()
def contract() -> None:
    """Contracts of models: named, typed, bounded inputs and outputs with units and descriptions."""


@contract.command("show")
@click.argument("ref")
@click.option("--as", "form", type=click.Choice(FORMS), default="table", show_default=True, help="How it is written.")
@pass_context
def show(context: Context, ref: str, form: str) -> None:
    """Show the contract of a version: as a table, as TOML to edit, or as programs read it."""
    from headwater.model import get_model_version

    with context.open() as project:
        version = get_model_version(project, ref)
    written = _written(version, form)
    context.show(written, lambda: _text(version.contract, written))


@contract.command("infer")
@click.argument("data")
@click.option("--column", "columns", multiple=True, help="Only this column is an input (repeatable); default: all.")
@click.option("--without", multiple=True, help="This column is no input, such as the truth (repeatable).")
@click.option("--margin", type=float, help="Bound numbers to what is seen, widened by this share of it on each side.")
@click.option("--categories", type=int, default=0, help="List the values of text columns with at most so many.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write TOML here, to edit.")
@pass_context
def infer(
    context: Context,
    data: str,
    columns: tuple[str, ...],
    without: tuple[str, ...],
    margin: float | None,
    categories: int,
    out: Path | None,
) -> None:
    """Infer the inputs of a contract from a dataset, as TOML to edit; its outputs are yours to add."""
    from headwater.model.contract_files import contract_as_toml
    from headwater.model.editing import infer_data_contract

    with context.open() as project:
        found = infer_data_contract(
            project, data, columns=columns, without=without, margin=margin, categories=categories
        )
    text = contract_as_toml(found)
    if out is not None:
        out.write_text(text, encoding="utf-8")
    context.show(found, lambda: f"wrote {out}" if out is not None else text.rstrip())


@contract.command("edit")
@click.argument("ref")
@click.argument("field", required=False)
@click.option(
    "--from", "source", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A whole contract."
)
@click.option("--unit", help="What the number counts: hours, F.")
@click.option("--description", help="What the field is, in a sentence.")
@click.option("--min", "minimum", help="The least number; 'none' takes the bound away.")
@click.option("--max", "maximum", help="The greatest number; 'none' takes the bound away.")
@click.option("--least", help="The least length: characters, bytes or items; 'none' takes it away.")
@click.option("--most", help="The greatest length; 'none' takes it away.")
@click.option("--allow", "allowed", multiple=True, help="An allowed value, as JSON or text (repeatable).")
@click.option("--nullable/--required", default=None, help="Whether an input may be missing.")
@click.option("--personal/--not-personal", default=None, help="Whether it says something of a person.")
@pass_context
def edit(context: Context, /, ref: str, field: str | None, source: Path | None, **changes: Any) -> None:
    """Give a version another contract: a field changed, a whole file, or (without either) in your editor.

    The outcome is a new version with the same files; its name says what changed. The version before stays as it is.
    """
    from headwater.errors import InvalidInputError
    from headwater.model import get_model_version
    from headwater.model.contract_files import contract_as_toml, edited, read_contract
    from headwater.model.editing import replace_contract

    said = {key: value for key, value in changes.items() if value not in (None, ())}
    if (field is None) != (not said) or (field and source):
        raise InvalidInputError("name a field and what to change of it, or a whole contract with --from, or neither.")
    with context.open() as project:
        version = get_model_version(project, ref)
        if field is not None:
            wanted = edited(version.contract, {field: {key: _value(key, each) for key, each in said.items()}})
        elif source is not None:
            wanted = read_contract(source.read_text(encoding="utf-8"), f"'{source}'")
        else:
            text = click.edit(contract_as_toml(version.contract), extension=".toml")
            if text is None:
                raise InvalidInputError("nothing was saved in the editor: the contract stays as it is.")
            wanted = read_contract(text, "the edited contract")
        made = replace_contract(project, version.id, wanted)
    context.show(made, lambda: f"{made.label}: {made.description}")


@contract.command("diff")
@click.argument("before")
@click.argument("after")
@pass_context
def diff(context: Context, before: str, after: str) -> int:
    """Show what changes from one version's contract to another's, and what would break whoever relies on it.

    Exit code 1 says that something would.
    """
    from headwater.model import get_model_version
    from headwater.model.contract_changes import contract_changes

    with context.open() as project:
        old, new = (get_model_version(project, ref).contract for ref in (before, after))
    changes = contract_changes(old, new)
    rows = [(each.side, each.what, "breaks" if each.breaking else "") for each in changes]
    context.show(changes, lambda: table(("", "change", ""), rows) if rows else "the contracts are the same")
    return 1 if any(each.breaking for each in changes) else 0


def fields_table(contract: Contract) -> str:
    """Return a contract as aligned text, a line per field."""
    from headwater.model.value_checks import expectation

    rows = [
        (side, field.name, expectation(field), "personal" if field.personal else "", field.description)
        for side, group in (("in", contract.inputs), ("out", contract.outputs))
        for field in group
    ]
    return table(("", "field", "what", "", "description"), rows)


def _written(version: ModelVersion, form: str) -> Any:
    from headwater.model import json_schema, open_inference_metadata, openapi_components
    from headwater.model.contract_files import contract_as_toml

    kept = version.contract
    if form == "table":
        return kept
    if form == "toml":
        return contract_as_toml(kept)
    if form == "json-schema":
        return json_schema(kept.inputs, title=f"One input of {version.label}")
    if form == "openapi":
        return openapi_components(version.model, kept)
    return open_inference_metadata(version.model, kept, versions=[str(version.number)], platform=version.flavour)


def _text(contract: Contract, written: Any) -> str:
    import msgspec

    if isinstance(written, str):
        return written.rstrip()
    if written is contract:
        return fields_table(contract)
    return msgspec.json.format(msgspec.json.encode(written), indent=2).decode()


def _value(key: str, given: Any) -> Any:
    """Return an option's text as the value of a field."""
    import msgspec

    from headwater.errors import InvalidInputError

    if key == "allowed":
        return [_json_or_text(each) for each in given]
    if key not in ("minimum", "maximum", "least", "most"):
        return given
    if given == "none":
        return None
    try:
        return msgspec.convert(given, int if key in ("least", "most") else float, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"'{given}' is no number, nor 'none'.", name=key) from error


def _json_or_text(text: str) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
