"""From a fitted model to stored files: what a registration then names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headwater.errors import InvalidInputError, RefusedError
from headwater.project import Project

from . import documents
from .contract import Contract
from .flavours import get_flavour
from .flavours.files import Files
from .inference import infer_contract, outputs_of
from .values import ModelFile

CODE = "code"
"""Among the names to trust, it stands for the code that is kept with a model of a class of your own."""

_ANSWERED = 20_000
_LIBRARIES = {"xgboost": "xgboost", "lightgbm": "lightgbm", "torch": "pytorch"}
_WITH_CODE = frozenset({"pytorch", "python"})


class SavedModel(msgspec.Struct, frozen=True, kw_only=True):
    """Stored files with their contract and training profile; ``refused`` says why there is no ONNX file."""

    files: tuple[ModelFile, ...]
    contract: Contract
    reference: str
    trusted: tuple[str, ...] = ()
    refused: str = ""


def save_estimator(
    project: Project,
    estimator: Any,
    sample: Any,
    *,
    contract: Contract | None = None,
    trusted: Sequence[str] = (),
    onnx: bool | None = None,
) -> SavedModel:
    """Store a fitted model: scikit-learn as skops and, where it can be exported, as ONNX; others in their own flavour.

    ``sample`` is the frame it was trained on, inputs only: the contract is inferred from it unless given, and the
    training profile is made of it. ``onnx`` True demands the export, False leaves it out. ``trusted`` names types
    beyond scikit-learn's own that loading may construct; ``code`` in it trusts the code of a class of your own, as it
    is kept now.

    Raises:
        RefusedError: the estimator holds types that ``trusted`` does not name; the message lists them.
        InvalidInputError: ``onnx`` is True and the estimator has no ONNX form; or it is of no flavour.
    """
    flavour = flavour_of(estimator)
    agreed = _agreed_contract(estimator, sample, contract)
    original = get_flavour(flavour).save(estimator, agreed)
    found = tuple(get_flavour(flavour).describe(original).get("untrusted", ()))
    if flavour not in _WITH_CODE:
        _require_trusted(found, trusted)
    data = {flavour: original}
    exported, refused = _exported(estimator, flavour, agreed, onnx)
    if exported is not None:
        data["onnx"] = exported
    profile = documents.dump(_profile(flavour, original, agreed, sample, found)).encode()
    named = dict.fromkeys((*(each for each in trusted if each != CODE), *(found if CODE in trusted else ())))
    files = store_files(project, data, profile)
    return SavedModel(files=files[0], contract=agreed, reference=files[1], trusted=tuple(named), refused=refused)


def store_files(
    project: Project, data: Mapping[str, Files], profile: bytes | None = None
) -> tuple[tuple[ModelFile, ...], str]:
    """Store the files of some flavours, and a training profile; return their names, and the profile's digest or ''."""
    with project.objects.batch() as batch:
        files = tuple(
            ModelFile(name=name, digest=batch.put(each), size=len(each), flavour=flavour)
            for flavour, given in sorted(data.items())
            for name, each in sorted(given.items())
        )
        reference = batch.put(profile) if profile is not None else ""
    return files, reference


def flavour_of(estimator: Any) -> str:
    """Return the flavour that keeps a fitted model: its library's, or ``python`` for a class of your own.

    A class of your own is one with ``predict``, ``to_files`` and ``from_files``; whatever else is scikit-learn's.
    """
    for cls in type(estimator).__mro__:
        found = _LIBRARIES.get(cls.__module__.partition(".")[0])
        if found is not None:
            return found
    own = all(callable(getattr(estimator, name, None)) for name in ("predict", "to_files", "from_files"))
    return "python" if own else "sklearn"


def _exported(
    estimator: Any, flavour: str, contract: Contract, wanted: bool | None
) -> tuple[dict[str, bytes] | None, str]:
    """Return the ONNX file, or why there is none."""
    if wanted is False:
        return None, ""
    try:
        if flavour != "sklearn":
            raise InvalidInputError(
                f"a model of the flavour '{flavour}' is not exported to ONNX here: export it with its own library's "
                "tools and add that file with 'hw model add'."
            )
        return get_flavour("onnx").save(estimator, contract), ""
    except InvalidInputError as error:
        if wanted:
            raise
        return None, error.message


def _agreed_contract(estimator: Any, sample: Any, contract: Contract | None) -> Contract:
    if contract is None:
        return infer_contract(sample, estimator)
    return contract if contract.outputs else msgspec.structs.replace(contract, outputs=outputs_of(estimator))


def _require_trusted(found: Sequence[str], trusted: Sequence[str]) -> None:
    unknown = [name for name in found if name not in trusted]
    if unknown:
        raise RefusedError(
            f"the estimator holds {', '.join(unknown)}, which loading would construct. Look at these types; if you "
            f"trust them, register with trusted={unknown!r}.",
            types=unknown,
        )


def _profile(flavour: str, files: Files, contract: Contract, sample: Any, trusted: Sequence[str]) -> dict[str, Any]:
    from .columns import input_columns, take
    from .reference import profile_reference

    columns = input_columns(contract.inputs, sample)
    rows = len(next(iter(columns.values())))
    # Answers are profiled on rows spread evenly: 20,000 place every bin's edge well within a percent.
    some = take(columns, slice(None, None, max(1, rows // _ANSWERED)))
    # The code of a model in hand runs in this process already; loading it from its files proves that none is missing.
    answers = get_flavour(flavour).load(files, contract, trusted).predict(some)
    plain = {field.name for field in (*contract.inputs, *contract.outputs) if field.type in _PROFILED}
    return profile_reference(
        {name: values for name, values in columns.items() if name in plain},
        {name: values for name, values in answers.items() if name in plain},
    )


_PROFILED = frozenset({"float", "int", "bool", "str"})
