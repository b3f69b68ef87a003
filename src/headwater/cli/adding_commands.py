"""``hw model add``, ``trust``, ``untrusted``, ``record`` and ``flavours``: models that were made elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from .context import Context, pass_context, table


@click.command("add")
@click.argument("name")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--flavour", default="", help="What the files are; recognised from them unless given.")
@click.option("--contract", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="TOML or JSON.")
@click.option("--trained-on", multiple=True, help="The dataset version it was trained on (repeatable): flights@v12.")
@click.option("--parent", help="The version that it comes from.")
@click.option(
    "--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter of its training (repeatable)."
)
@click.option(
    "--trust-code", is_flag=True, help="Trust the code that loading runs, or the API that is asked (an admin's word)."
)
@pass_context
def add(
    context: Context,
    name: str,
    path: Path,
    flavour: str,
    contract: Path | None,
    trained_on: tuple[str, ...],
    parent: str | None,
    params: tuple[str, ...],
    trust_code: bool,
) -> None:
    """Register the file or folder of a model that was made elsewhere.

    A process of its own opens it first: a file that crashes its engine is refused, and so is every pickle.
    """
    from headwater.model.adding import add_model
    from headwater.model.contract_files import read_contract
    from headwater.model.saving import CODE

    agreed = read_contract(contract.read_text(encoding="utf-8"), f"'{contract}'") if contract else None
    with context.open() as project:
        version = add_model(
            project,
            name,
            path,
            flavour=flavour,
            contract=agreed,
            trained_on=trained_on,
            parent=parent,
            params=dict(map(_param, params)),
            trusted=(CODE,) if trust_code else (),
        )
    context.show(version, lambda: f"{version.label} ({version.flavour}): {version.description}")


@click.command("untrusted")
@click.argument("ref")
@pass_context
def untrusted_command(context: Context, ref: str) -> int:
    """List what loading a version would run and nobody trusted; exit code 1 says that there is something."""
    from headwater.model.trusting import untrusted

    with context.open() as project:
        names = untrusted(project, ref)
    context.show(names, lambda: "\n".join(names) or "nothing: it loads as it is")
    return 1 if names else 0


@click.command("trust")
@click.argument("ref")
@click.argument("names", nargs=-1)
@click.option("--reason", required=True, help="Who read the code, and where it comes from.")
@pass_context
def trust_command(context: Context, ref: str, names: tuple[str, ...], reason: str) -> None:
    """Let a version be loaded although that runs its code: all of it, or the NAMES given. Only an admin may."""
    from headwater.model.trusting import trust

    with context.open() as project:
        version = trust(project, ref, reason=reason, names=names)
    context.show(version, lambda: f"{version.label} is trusted with {', '.join(version.trusted)}")


@click.command("record")
@click.argument("ref")
@click.argument("data")
@click.option("--where", help="An SQL condition on the rows.")
@click.option("--limit", type=int, default=10_000, show_default=True, help="At most so many rows.")
@pass_context
def record_command(context: Context, ref: str, data: str, where: str | None, limit: int) -> int:
    """Ask the HTTP API of a version for each row of a dataset, and keep the answers in a new version.

    An admin trusts the API first (hw model trust). Rows that are recorded are not asked again; the API's rate and
    most_cost hold. What was answered is kept also when the cost, the vendor or ^C ends it early: exit code 1.
    """
    from headwater.model.recording import record_answers

    from .progress import row_progress

    with context.open() as project, row_progress("recording") as told:
        found = record_answers(project, ref, data, where=where, limit=limit, tell=told)
    context.show(
        found,
        lambda: (
            f"{found.label}: {found.recorded:,} answers are recorded, {found.calls:,} of them asked now"
            f" for {found.cost:g} {found.currency}".rstrip()
            + (f"\nended early: {found.ended}" if found.ended else "")
        ),
    )
    return 1 if found.ended else 0


@click.command("flavours")
@pass_context
def flavours_command(context: Context) -> None:
    """List the flavours of models and what each keeps."""
    from headwater.model.flavours import FLAVOURS

    context.show(FLAVOURS, lambda: table(("flavour", "what it keeps"), list(FLAVOURS.items())))


def _param(text: str) -> tuple[str, object]:
    import msgspec

    from headwater.errors import InvalidInputError

    name, sign, value = text.partition("=")
    if not sign or not name:
        raise InvalidInputError(f"'{text}' is no parameter: write NAME=VALUE.")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value
