"""``hw predict``: a whole dataset answered by a model, as a new version."""

from __future__ import annotations

import click

from .context import Context, pass_context
from .progress import row_progress
from .refs import DATASET, REF


@click.command()
@click.argument("model")
@click.argument("data", type=REF)
@click.option("--into", default="", type=DATASET, help="The dataset of the answers; default: MODEL-predictions.")
@click.option("--column", "columns", multiple=True, help="Keep this column of DATA (repeat); default: all of them.")
@click.option("--where", help="An SQL condition on the rows.")
@click.option("--keep-refused", is_flag=True, help="Rows beyond the contract get the reason instead of an answer.")
@click.option("--branch", default="main", show_default=True, help="The branch of the answers' dataset that moves.")
@pass_context
def predict(
    context: Context,
    model: str,
    data: str,
    into: str,
    columns: tuple[str, ...],
    where: str | None,
    keep_refused: bool,
    branch: str,
) -> int:
    """Answer every row of DATA with MODEL (delay@production, delay@v3), and publish the answers as a new version.

    DATA may have any number of rows. The version has DATA's columns and 'predicted_NAME' for each output; its lineage
    names the model version and the data. The same model and data give the same bytes, and then no new version.
    Exit code 1: a check failed, and the version waits in quarantine.
    """
    from headwater.serve.dataset_predicting import predict_dataset

    with context.open() as project, row_progress("predicting") as progress:
        made = predict_dataset(
            project,
            model,
            data,
            into,
            columns=columns or None,
            where=where,
            keep_refused=keep_refused,
            branch=branch,
            progress=progress,
        )
    version = made.publication.version
    refused = f", {made.refused:,} refused: see the column 'refused'" if made.refused else ""
    said = f"{version.ref}: {made.rows:,} rows{refused}\n{made.publication.message}"
    context.show(made, lambda: said)
    return 0 if made.publication.published else 1
