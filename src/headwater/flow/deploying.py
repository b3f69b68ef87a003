"""Where steps and jobs run beyond one machine: manifests for Kubernetes, and a cloud-init file for a bare machine."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from headwater.errors import InvalidInputError

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,40}[a-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]{0,62}")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|[kMGTP]i?)?")


def render_cluster(
    *,
    image: str,
    objects: str,
    name: str = "headwater",
    secret: str = "headwater",
    region: str = "",
    endpoint: str = "",
    dask_workers: int = 2,
    threads: int = 2,
    cpu: str = "2",
    memory: str = "4Gi",
    workers: int = 1,
    labels: Sequence[str] = (),
) -> str:
    """Return manifests (YAML) of a Dask scheduler, Dask workers and Headwater workers on one Postgres and one bucket.

    ``objects`` is the bucket's URL. The secret of the name ``secret`` gives HEADWATER_LEDGER, AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY; it is not made here. ``cpu`` and ``memory`` are those of one worker.

    Raises:
        InvalidInputError: a name, quantity or label that Kubernetes or the shell would read otherwise.
    """
    _check(name, secret, labels, objects)
    for what, quantity in (("cpu", cpu), ("memory", memory)):
        if not _QUANTITY.fullmatch(quantity):
            raise InvalidInputError(f"{what} '{quantity}' is not a quantity. Write 2, 500m or 4Gi.")
    if not image or re.search(r"\s", image):
        raise InvalidInputError(f"'{image}' is not the name of an image.")
    if min(dask_workers, workers) < 0 or threads < 1:
        raise InvalidInputError("numbers of workers are 0 or more, threads are 1 or more.")
    scheduler = ["dask", "scheduler", "--host", "0.0.0.0", "--port", "8786", "--no-dashboard"]
    dask = ["dask", "worker", f"tcp://{name}-scheduler:8786", "--nthreads", str(threads), "--no-dashboard"]
    jobs = ["hw", "--project", "/project", "worker", *(word for label in labels for word in ("--label", label))]
    parts = [
        {"component": "scheduler", "replicas": 1, "args": scheduler, "cpu": "500m", "memory": "1Gi"},
        {"component": "dask-worker", "replicas": dask_workers, "args": dask, "cpu": cpu, "memory": memory},
        {"component": "worker", "replicas": workers, "args": jobs, "cpu": cpu, "memory": memory},
    ]
    settings = _settings(name, objects, region, endpoint)
    return _render("cluster.yaml", name=name, secret=secret, image=image, parts=parts, settings=settings)


def render_worker(
    *,
    objects: str,
    name: str = "headwater",
    region: str = "",
    endpoint: str = "",
    labels: Sequence[str] = (),
    package: str = "headwater[postgres]",
    code: str = "",
) -> str:
    """Return a cloud-init file (user data) that makes a Debian or Ubuntu machine a worker with these labels.

    No secret is in it, since a machine's user data can be read by whatever runs there: the worker starts when
    /etc/headwater/secrets.env is put on the machine. ``package`` is what pip installs, ``code`` the
    git repository of the project's code, which jobs that run flows need.

    Raises:
        InvalidInputError: a name or label that the shell would read otherwise.
    """
    _check(name, name, labels, objects)
    script = _render("setup.sh", package=shlex.quote(package), code=shlex.quote(code) if code else "")
    options = "".join(f" --label {label}" for label in labels)
    settings = _settings(name, objects, region, endpoint)
    return _render("worker.yaml", labels=list(labels), label_options=options, settings=settings, script=script)


def _check(name: str, secret: str, labels: Sequence[str], objects: str) -> None:
    for each in (name, secret):
        if not _NAME.fullmatch(each):
            raise InvalidInputError(f"'{each}' cannot be a name there: use a to z, 0 to 9 and -, a letter first.")
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise InvalidInputError(f"'{label}' is not a label: use letters, digits and . _ = -.")
    if not re.fullmatch(r"[a-z0-9]+://[^\s\"]+", objects):
        raise InvalidInputError(f"'{objects}' is not the URL of a bucket (s3://BUCKET/PREFIX): workers share one.")


def _settings(name: str, objects: str, region: str, endpoint: str) -> str:
    lines = [
        "[project]", f"name = {json.dumps(name)}", "", "[stores]", 'ledger = "env:HEADWATER_LEDGER"',
        f"objects = {json.dumps(objects)}",
    ]  # fmt: skip
    if objects.startswith("s3://"):
        lines += ["", "[stores.s3]"]
        lines += [f"region = {json.dumps(region)}"] if region else []
        lines += [f"endpoint = {json.dumps(endpoint)}"] if endpoint else []
        lines += ['access_key = "env:AWS_ACCESS_KEY_ID"', 'secret_key = "env:AWS_SECRET_ACCESS_KEY"']
    return "\n".join(lines)


def _render(template: str, **values: object) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # YAML and shell, not HTML: what goes in was checked above or is quoted by the template.
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    return made.get_template(template).render(values)
