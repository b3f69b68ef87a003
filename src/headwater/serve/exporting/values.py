"""What exporting hands out: the forms there are, and what was written."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

Form = Literal["wheel", "onnx", "image", "kubernetes", "elastic-beanstalk"]
FORMS: tuple[Form, ...] = get_args(Form)


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """An export that was written: ``path`` is its file or folder, ``files`` maps names in it to sizes in bytes.

    ``model_version`` is the id of the version inside, ``next`` the command that uses the export.
    """

    form: Form
    model: str
    version: str
    model_version: str
    path: str
    files: dict[str, int]
    next: str


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """What Kubernetes is told: the image to run, how many of it, and what each may use."""

    image: str = ""
    namespace: str = "default"
    replicas: int = 2
    cpu: str = "500m"
    memory: str = "256Mi"
