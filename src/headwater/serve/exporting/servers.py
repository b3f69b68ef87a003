"""An exported version as something that is started elsewhere: an image, a Deployment, an Elastic Beanstalk bundle.

All three run one command of the wheel, ``python -m PACKAGE serve``, on pinned requirements.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.errors import InvalidInputError

from .pins import pinned, python_version
from .values import Cluster

if TYPE_CHECKING:
    from headwater.model import ModelVersion

PORT = 8080
BEANSTALK_PORT = 8000
"""Where the proxy of Elastic Beanstalk's Python platform looks for the application."""

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,40}[a-z0-9])?")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|[kMGTP]i?)?")
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/@-]*")


def image_files(version: ModelVersion, wheel_name: str, wheel: bytes, card: str) -> dict[str, bytes]:
    """Return the context of a Dockerfile, by path."""
    package = wheel_name.partition("-")[0]
    words = {
        "package": package,
        "wheel": wheel_name,
        "label": version.label,
        "version_id": version.id,
        "python": python_version(),
        "port": PORT,
        "command": json.dumps(["python", *command(package, "0.0.0.0", PORT)]),
        "health": json.dumps(["python", "-m", package, "health", "--port", str(PORT)]),
    }
    return {
        "Dockerfile": _render("Dockerfile", **words),
        ".dockerignore": b"*\n!requirements.txt\n!*.whl\n",
        "requirements.txt": "".join(f"{line}\n" for line in pinned()).encode(),
        wheel_name: wheel,
        "CARD.md": card.encode(),
    }


def kubernetes_files(
    version: ModelVersion, wheel_name: str, wheel: bytes, card: str, cluster: Cluster
) -> dict[str, bytes]:
    """Return manifests, and below ``image/`` the context of the image that they run.

    Raises:
        InvalidInputError: a name, quantity or image that Kubernetes would refuse or read otherwise.
    """
    _check(cluster)
    package = wheel_name.partition("-")[0]
    name = re.sub(r"[^a-z0-9]+", "-", version.model.lower()).strip("-")
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"'{version.model}' gives no name for Kubernetes ('{name}'): a letter first, then at most 41 letters, "
            "digits and '-'. Register the model under such a name."
        )
    words = {
        "name": name,
        "number": version.number,
        "version_id": version.id,
        "label": version.label,
        "cluster": cluster,
        "port": PORT,
        "command": json.dumps(["python", *command(package, "0.0.0.0", PORT)]),
    }
    context = image_files(version, wheel_name, wheel, card)
    return {
        "manifests.yaml": _render("deployment.yaml", **words),
        **{f"image/{path}": data for path, data in context.items()},
    }


def beanstalk_files(version: ModelVersion, wheel_name: str, wheel: bytes, card: str) -> dict[str, bytes]:
    """Return the source bundle of an application on Elastic Beanstalk's Python platform, by path."""
    package = wheel_name.partition("-")[0]
    web = " ".join(["python", *command(package, "127.0.0.1", BEANSTALK_PORT)])
    return {
        "Procfile": f"web: {web}\n".encode(),
        "requirements.txt": "".join(f"{line}\n" for line in [*pinned(), f"./{wheel_name}"]).encode(),
        wheel_name: wheel,
        ".ebextensions/health.config": _render("health.config"),
        "CARD.md": card.encode(),
    }


def command(package: str, host: str, port: int) -> list[str]:
    """Return the arguments of Python that every server is started with."""
    return ["-m", package, "serve", "--host", host, "--port", str(port)]


def _check(cluster: Cluster) -> None:
    if not _IMAGE.fullmatch(cluster.image):
        what = f"'{cluster.image}' is not the name of an image" if cluster.image else "the image has no name"
        raise InvalidInputError(f"{what}: say under which one the cluster finds it, registry/name:tag.")
    if not _NAME.fullmatch(cluster.namespace):
        raise InvalidInputError(f"'{cluster.namespace}' is no namespace: use a to z, 0 to 9 and -, a letter first.")
    for what, quantity in (("cpu", cluster.cpu), ("memory", cluster.memory)):
        if not _QUANTITY.fullmatch(quantity):
            raise InvalidInputError(f"{what} '{quantity}' is not a quantity. Write 2, 500m or 256Mi.")
    if cluster.replicas < 1:
        raise InvalidInputError(f"{cluster.replicas} replicas answer nobody: ask for 1 or more.")


def _render(template: str, **values: object) -> bytes:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Dockerfile and YAML, not HTML: what goes in was checked before or is JSON.
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    return made.get_template(template).render(values).encode()
