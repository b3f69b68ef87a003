"""``hw deploy``: files with which workers are started elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from .context import Context, pass_context

_OBJECTS = click.option(
    "--objects", required=True, metavar="URL", help="The bucket of the project: s3://BUCKET/PREFIX."
)
_NAME = click.option("--name", default="headwater", show_default=True, help="What everything is called after.")
_REGION = click.option("--region", default="", help="The region of the bucket.")
_ENDPOINT = click.option("--endpoint", default="", help="The address of an S3 service other than AWS.")
_LABEL = click.option("--label", "labels", multiple=True, help="What the workers are fit for (gpu); repeat for more.")
_OUTPUT = click.option("--output", "-o", type=click.Path(path_type=Path), help="Write to this file; default: print.")


@click.group()
def deploy() -> None:
    """Files with which workers are started elsewhere: on Kubernetes, or on a bare machine."""


@deploy.command("cluster")
@click.option("--image", required=True, help="The container image with Headwater and what your steps import.")
@_OBJECTS
@_NAME
@click.option("--secret", default="headwater", show_default=True, help="The Kubernetes secret with the credentials.")
@_REGION
@_ENDPOINT
@click.option("--dask-workers", type=click.IntRange(0), default=2, show_default=True, help="Dask workers.")
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="Steps at once per Dask worker.")
@click.option("--cpu", default="2", show_default=True, help="CPU of one worker.")
@click.option("--memory", default="4Gi", show_default=True, help="Memory of one worker.")
@click.option("--workers", type=click.IntRange(0), default=1, show_default=True, help="Headwater workers, for jobs.")
@_LABEL
@_OUTPUT
@pass_context
def cluster(context: Context, /, output: Path | None, **options: object) -> None:
    """Render Kubernetes manifests of a Dask cluster and workers that share Postgres and a bucket.

    Make the secret first: kubectl create secret generic headwater --from-literal HEADWATER_LEDGER=postgresql://... .
    Then: hw deploy cluster ... | kubectl apply -f -
    """
    from headwater.flow.deploying import render_cluster

    _show(context, render_cluster(**options), output)  # type: ignore[arg-type]  # click checks the options


@deploy.command("worker")
@_OBJECTS
@_NAME
@_REGION
@_ENDPOINT
@_LABEL
@click.option("--code", default="", metavar="URL", help="The git repository of the project's code, to be cloned.")
@click.option("--package", default="headwater[postgres]", show_default=True, help="What pip installs.")
@_OUTPUT
@pass_context
def worker(context: Context, /, output: Path | None, **options: object) -> None:
    """Write a cloud-init file that makes a bare Debian or Ubuntu machine a labelled 'hw worker'.

    Give it to the machine as user data; then put the credentials into /etc/headwater/secrets.env there.
    """
    from headwater.flow.deploying import render_worker

    _show(context, render_worker(**options), output)  # type: ignore[arg-type]  # click checks the options


def _show(context: Context, text: str, output: Path | None) -> None:
    if output is not None:
        output.write_text(text, encoding="utf-8")
        context.show({"path": str(output)}, lambda: f"wrote {output}")
    else:
        context.show({"text": text}, lambda: text.rstrip("\n"))
