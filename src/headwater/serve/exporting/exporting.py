"""Exporting a model version as something that answers without the project.

Every form holds the same: the model file as it was registered, its contract, examples with their answers, and the
modules that answer here. A server's forms install the wheel, pin what it needs as it is installed here, and compute
the examples before they serve.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headwater.durable import disk_error, make_directory, sync_directory, sync_file
from headwater.errors import ConflictError, InvalidInputError
from headwater.evaluate import model_card
from headwater.model import ModelFile, ModelVersion, get_model_version, json_schema, load_version
from headwater.project import Project

from .examples import make_examples
from .packaged import ABOUT, EXAMPLES, about_version
from .servers import beanstalk_files, image_files, kubernetes_files
from .values import FORMS, Cluster, Export, Form
from .wheel import make_wheel, wheel_name, zipped

if TYPE_CHECKING:
    from collections.abc import Callable

    Making = Callable[["Made", Cluster], dict[str, bytes]]

FLAVOUR = "onnx"


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What every form is made of: the version, its folder of files (see ``packaged``), its card, and its wheel."""

    version: ModelVersion
    files: dict[str, bytes]
    card: str
    wheel_name: str
    wheel: bytes


def export_model(
    project: Project, ref: str, form: Form, out: str | Path = ".", *, cluster: Cluster | None = None
) -> Export:
    """Write a model version in a form below the folder ``out``, and return what was written; all of it or nothing.

    ``wheel`` is a file; ``elastic-beanstalk`` a zip file, its source bundle; ``onnx``, ``image`` and ``kubernetes``
    are folders. ``cluster`` is for ``kubernetes``, which needs the name of the image.

    Raises:
        NotFoundError: there is no such version.
        InvalidInputError: the version has no ONNX file, or a value that the form cannot carry.
        ConflictError: the file or folder is there already.
        MissingExtraError: onnxruntime is not installed here.
        StorageError: the disk is full or not writable.
    """
    if form not in FORMS:
        raise InvalidInputError(f"'{form}' is not a form of export; there are {', '.join(FORMS)}.", form=form)
    version = get_model_version(project, ref)
    made = _made(project, version)
    files = _FORMS[form](made, cluster or Cluster())
    place = Path(out) / _name(form, made)
    if place.exists():
        raise ConflictError(f"'{place}' exists already: remove it, or name another folder.", path=str(place))
    data = next(iter(files.values())) if form == "wheel" else zipped(files) if form == "elastic-beanstalk" else None
    _write(place, files if data is None else data)
    return Export(
        form=form,
        model=version.model,
        version=f"v{version.number}",
        model_version=version.id,
        path=str(place),
        files={name: len(content) for name, content in files.items()},
        next=_next(form, place, made, cluster or Cluster()),
    )


def _made(project: Project, version: ModelVersion) -> Made:
    served = _served_file(version)
    of_flavour = msgspec.structs.replace(version, flavour=FLAVOUR, files=(served,), trusted=())
    loaded = load_version(project, of_flavour)
    data = project.objects.get(served.digest)
    about = about_version(project.id, of_flavour, {served.digest: data}, f"headwater {metadata.version('headwater')}")
    examples = make_examples(project, of_flavour, loaded)
    files = {served.name: data, ABOUT: _json(about), EXAMPLES: _json(examples)}
    card = model_card(project, version.ref)
    return Made(
        version=of_flavour,
        files=files,
        card=card,
        wheel_name=wheel_name(version),
        wheel=make_wheel(of_flavour, files, card),
    )


def _served_file(version: ModelVersion) -> ModelFile:
    for file in version.files:
        if file.flavour == FLAVOUR:
            if Path(file.name).name != file.name:
                raise InvalidInputError(f"the model file '{file.name}' of {version.label} has a name with a folder.")
            return file
    offered = ", ".join(file.flavour for file in version.files if file.flavour)
    raise InvalidInputError(
        f"{version.label} has no ONNX file, which exports hold; it has {offered}. Register it with onnx=True (the "
        "message then says what keeps it from being ONNX), or serve it with 'hw serve'.",
        flavours=offered,
    )


def _wheel(made: Made, cluster: Cluster) -> dict[str, bytes]:
    return {made.wheel_name: made.wheel}


def _onnx(made: Made, cluster: Cluster) -> dict[str, bytes]:
    contract = made.version.contract
    return {
        **made.files,
        "input.schema.json": _json(json_schema(contract.inputs, title=f"One input of {made.version.model}")),
        "output.schema.json": _json(json_schema(contract.outputs, title=f"One answer of {made.version.model}")),
        "CARD.md": made.card.encode(),
    }


def _image(made: Made, cluster: Cluster) -> dict[str, bytes]:
    return image_files(made.version, made.wheel_name, made.wheel, made.card)


def _kubernetes(made: Made, cluster: Cluster) -> dict[str, bytes]:
    return kubernetes_files(made.version, made.wheel_name, made.wheel, made.card, cluster)


def _beanstalk(made: Made, cluster: Cluster) -> dict[str, bytes]:
    return beanstalk_files(made.version, made.wheel_name, made.wheel, made.card)


_FORMS: Mapping[Form, Making] = {
    "wheel": _wheel,
    "onnx": _onnx,
    "image": _image,
    "kubernetes": _kubernetes,
    "elastic-beanstalk": _beanstalk,
}


def _name(form: Form, made: Made) -> str:
    stem = f"{made.version.model}-v{made.version.number}-{form}"
    return {"wheel": made.wheel_name, "elastic-beanstalk": f"{stem}.zip"}.get(form, stem)


def _next(form: Form, place: Path, made: Made, cluster: Cluster) -> str:
    tag = f"{made.version.model.lower()}:{made.version.number}"
    return {
        "wheel": f"pip install {place}",
        "onnx": f"onnxruntime.InferenceSession('{place}/{next(iter(made.files))}')",
        "image": f"docker build -t {tag} {place}",
        "kubernetes": f"docker build -t {cluster.image} {place}/image && kubectl apply -f {place}/manifests.yaml",
        "elastic-beanstalk": f"aws s3 cp {place} s3://BUCKET/, then create an application version of it",
    }[form]


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _write(place: Path, content: bytes | Mapping[str, bytes]) -> None:
    """Write a file or a folder of files beside its name, sync, and give it the name: all of it or nothing."""
    beside = place.parent / f".{place.name}.{os.getpid()}.tmp"
    try:
        make_directory(place.parent, "export")
        files = {"": content} if isinstance(content, bytes) else content
        for name, data in files.items():
            path = beside / name if name else beside
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(data)
                file.flush()
                sync_file(file.fileno(), "export")
        for folder in [*(each for each in beside.rglob("*") if each.is_dir()), *([beside] if beside.is_dir() else [])]:
            sync_directory(folder, "export")
        beside.rename(place)
        sync_directory(place.parent, "export")
    except OSError as error:
        raise disk_error(error, place) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True) if beside.is_dir() else beside.unlink(missing_ok=True)
