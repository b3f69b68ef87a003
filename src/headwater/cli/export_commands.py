"""``hw export``: a model version as something that answers without the project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .context import Context, pass_context, size

if TYPE_CHECKING:
    from headwater.serve.exporting import Form

# As headwater.serve.exporting.FORMS, which would import that room for the help alone; a test holds them together.
FORMS = ("wheel", "onnx", "image", "kubernetes", "elastic-beanstalk")


@click.command()
@click.argument("ref")
@click.option("--as", "form", required=True, type=click.Choice(FORMS), help="What to write.")
@click.option(
    "--out", "-o", default=".", type=click.Path(file_okay=False, path_type=Path), help="Write into this folder."
)
@click.option("--image", default="", help="kubernetes: the image's name as the cluster finds it, registry/name:tag.")
@click.option("--namespace", default="default", show_default=True, help="kubernetes: where it runs.")
@click.option("--replicas", default=2, show_default=True, type=click.IntRange(1), help="kubernetes: how many.")
@click.option("--cpu", default="500m", show_default=True, help="kubernetes: CPU of one.")
@click.option("--memory", default="256Mi", show_default=True, help="kubernetes: memory of one.")
@pass_context
def export(
    context: Context,
    ref: str,
    form: Form,
    out: Path,
    image: str,
    namespace: str,
    replicas: int,
    cpu: str,
    memory: str,
) -> None:
    """Write the version REF (delay@production, delay@v3) as something that answers without this project.

    \b
    wheel              pip installs it; 'import delay_model' predicts, 'python -m delay_model serve' answers HTTP
    onnx               a folder: the ONNX file as registered, JSON Schemas, examples with answers, the card
    image              a folder to build an image of: docker build
    kubernetes         manifests of a Deployment, and the image's folder
    elastic-beanstalk  a zip file: the source bundle of an application

    Each holds the contract, which every answer is held against, and examples that 'check' computes again.
    """
    from headwater.serve.exporting import Cluster, export_model

    cluster = Cluster(image=image, namespace=namespace, replicas=replicas, cpu=cpu, memory=memory)
    with context.open() as project:
        written = export_model(project, ref, form, out, cluster=cluster)

    def render() -> str:
        total = sum(written.files.values())
        return (
            f"{written.model} {written.version} in {written.path}: {len(written.files)} "
            f"file{'' if len(written.files) == 1 else 's'}, {size(total)}\nnext: {written.next}"
        )

    context.show(written, render)
