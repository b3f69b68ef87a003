"""``hw data sample`` and ``hw data simulate``: data to develop with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .context import Context, pass_context
from .progress import file_progress


@click.command("sample")
@click.argument("ref")
@click.option("--project", "place", metavar="PLACE", help="Where the data is: a folder, a URL, a name of [places].")
@click.option("--rows", default=10_000, show_default=True, help="About how many rows of REF.")
@click.option("--by", metavar="COLUMN", help="Take whole groups: all rows of a customer, or none.")
@click.option("--mask", "masks", multiple=True, metavar="COLUMNS", help="email,name or born=date,items.note=text.")
@click.option("--with", "related", multiple=True, metavar="RELATION", help="items@main:order_id=id: rows that belong.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same sample.")
@click.option("--leave", multiple=True, metavar="COLUMN", help="May hold in clear what is masked elsewhere.")
@click.option("--name", "dataset", default="", metavar="DATASET", help="What the sample is called here.")
@click.option("--branch", default="main", show_default=True)
@pass_context
def sample_command(
    context: Context,
    ref: str,
    place: str | None,
    rows: int,
    by: str | None,
    masks: tuple[str, ...],
    related: tuple[str, ...],
    seed: int,
    leave: tuple[str, ...],
    dataset: str,
    branch: str,
) -> int:
    """Take a masked sample of REF, here or in another project, as a new dataset whose lineage names its origin.

    The sample is drawn and masked where the data is, with a key that stays there; only pseudonyms travel. Kinds of
    masks: email, name, given_name, family_name, phone, card, iban, text, number, date, drop; without one the column's
    name and type choose.
    """
    from headwater.ingest.drawing import parse_related
    from headwater.ingest.masks import parse_masks
    from headwater.ingest.sampling import sample
    from headwater.project.places import open_place

    options: dict[str, Any] = {"rows": rows, "by": by, "mask": parse_masks(masks), "seed": seed, "leave": leave}
    options["related"] = [parse_related(text) for text in related]
    with context.open() as project:
        if place is None:
            made = sample(project, project, ref, dataset=dataset, branch=branch, **options)
        else:
            with open_place(project, place) as source, file_progress("fetching") as progress:
                made = sample(
                    project,
                    source,
                    ref,
                    dataset=dataset,
                    branch=branch,
                    progress=progress,
                    **options,
                )
    for warning in made.drawn.warnings:
        click.echo(click.style("note: ", fg="yellow") + warning, err=True)

    def render() -> str:
        counts = ", ".join(f"{rows:,} rows of {name}" for name, rows in made.drawn.rows.items())
        masked = ", ".join(
            f"{table}.{column} ({kind})" for table, kinds in made.drawn.masks.items() for column, kind in kinds.items()
        )
        return (
            f"{made.version.ref}: {counts}\nfrom {made.drawn.origin.name}; masked: {masked or 'nothing'}"
            f"\n{made.publication.message}"
        )

    context.show(made, render)
    return 0 if made.publication.published else 1


@click.command("simulate")
@click.argument("theory", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("dataset")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same bytes.")
@click.option("--branch", default="main", show_default=True)
@click.option("--message", "-m", default="")
@pass_context
def simulate_command(context: Context, theory: Path, dataset: str, seed: int, branch: str, message: str) -> int:
    """Make the rows that a THEORY (a TOML file: distributions, relations, keys) gives, as a version of DATASET."""
    from headwater.ingest.simulating import simulate

    with context.open() as project, file_progress("simulating") as progress:
        published = simulate(project, theory, dataset, seed=seed, branch=branch, message=message, progress=progress)
    from .check_commands import show_publication

    return show_publication(context, published)
