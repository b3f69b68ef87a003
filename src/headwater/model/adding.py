"""Adding a model that was made elsewhere: its file or folder, recognised, proved to open, stored and registered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headwater.errors import InvalidInputError, RefusedError
from headwater.project import Project

from .contract import Contract
from .flavours import FLAVOURS, get_flavour
from .flavours.files import PICKLES, Files, read_files, refuse_pickle
from .proving import Proof, prove
from .registry import register
from .saving import CODE, store_files
from .values import CardText, ModelVersion

_BY_NAME = (
    ("MLmodel", "mlflow"),
    ("api.json", "api"),
    ("tokenizer.json", "huggingface"),
)
_ONNX, _SAFETENSORS = ".onnx", ".safetensors"
_BY_ENDING = (
    (".onnx", "onnx"),
    (".skops", "sklearn"),
    (".traineddata", "tesseract"),
    (".ubj", "xgboost"),
    (".xgb", "xgboost"),
    (".lgb", "lightgbm"),
    (".lgb.txt", "lightgbm"),
)
_PICKLE_ENDINGS = tuple(f".{name}" for name in (*PICKLES, "pt", "pth", "bin"))


def add_model(
    project: Project,
    name: str,
    path: Path,
    *,
    flavour: str = "",
    contract: Contract | None = None,
    trusted: Sequence[str] = (),
    params: dict[str, Any] | None = None,
    metrics: dict[str, float] | None = None,
    trained_on: Sequence[str] = (),
    parent: str | None = None,
    card: CardText | None = None,
) -> ModelVersion:
    """Register the file or folder of a model that was made elsewhere, and return its version.

    ``flavour`` is recognised from the files unless given, ``contract`` is what the files suggest unless given. A child
    process opens the files first, so that one that crashes its engine is refused. ``code`` in ``trusted`` trusts the
    code among them, as it is.

    Raises:
        CorruptError: the files cannot be read, or crash or hang their engine; a pickle is never read.
        InvalidInputError: their flavour is not recognised, or they suggest no contract and none is given.
        RefusedError: they hold what is never loaded.
    """
    files = read_files(path)
    known = flavour or recognise(files)
    proof, kept, agreed = _proved(files, known, contract, trusted)
    stored, _ = store_files(project, {known: kept})
    named = dict.fromkeys((*(each for each in trusted if each != CODE), *(proof.untrusted if CODE in trusted else ())))
    return register(
        project,
        name,
        files=stored,
        contract=agreed,
        params=params,
        metrics=metrics,
        trained_on=trained_on,
        parent=parent,
        trusted=tuple(named),
        card=card,
    )


def recognise(files: Files) -> str:
    """Return the flavour of some files, by their names and how they begin.

    Raises:
        RefusedError: they are a pickle.
        InvalidInputError: no flavour is recognised; the message lists them.
    """
    endings = {ending for name in files for ending in (_ONNX, _SAFETENSORS) if name.endswith(ending)}
    if "tokenizer.json" in files and endings == {_SAFETENSORS}:
        return "transformers"
    for name, flavour in _BY_NAME:
        if name in files:
            return flavour
    if "model.json" in files and any(each.startswith("code/") for each in files):
        return "pytorch" if "state.safetensors" in files else "python"
    for ending, flavour in _BY_ENDING:
        if any(name.endswith(ending) for name in files):
            return flavour
    for data in files.values():
        if data.startswith(b"tree\nversion="):
            return "lightgbm"
        if data[:64].lstrip().startswith(b'{"learner"'):
            return "xgboost"
        refuse_pickle(data, "any model")
    pickled = [name for name in files if name.endswith(_PICKLE_ENDINGS)]
    if pickled:
        raise RefusedError(
            f"'{pickled[0]}' is the kind of file that holds a pickle, which is never loaded as a model, since reading "
            "one runs whatever code it holds: save the model in its library's own format, or export it to ONNX."
        )
    raise InvalidInputError(
        f"no flavour is recognised in {', '.join(sorted(files)[:10]) or 'an empty folder'}. Name one with --flavour: "
        f"{'; '.join(f'{name} ({what})' for name, what in FLAVOURS.items())}."
    )


def _proved(
    files: Files, flavour: str, contract: Contract | None, trusted: Sequence[str]
) -> tuple[Proof, dict[str, bytes], Contract]:
    """Return the proof of some files, those that are kept of them, and the contract."""
    first = prove(files, flavour, contract)
    agreed = contract or first.contract
    if agreed is None or not agreed.inputs or not agreed.outputs:
        raise InvalidInputError(
            f"the files of the flavour '{flavour}' do not say their inputs and outputs: give a contract with "
            "--contract FILE ('hw model contract infer DATA' writes one from a dataset)."
        )
    if first.doubt:
        raise InvalidInputError(f"the model does not answer an example row of the contract: {first.doubt}")
    kept = get_flavour(flavour).save(files, agreed) if flavour in _KEEPING else dict(files)
    return first, kept, agreed


_KEEPING = frozenset({"huggingface", "transformers", "mlflow", "api", "tesseract"})
"""Flavours whose ``save`` takes the files of a folder, and leaves out what is not needed."""
