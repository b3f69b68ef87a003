"""From a fitted estimator to stored files: what a registration then names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from headwater.errors import InvalidInputError, RefusedError
from headwater.project import Project

from . import documents
from .contract import Contract
from .flavours import FLAVOURS, get_flavour
from .inference import infer_contract, outputs_of
from .values import ModelFile

_ANSWERED = 20_000


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
    """Store a fitted scikit-learn estimator as skops and, where it can be exported, as ONNX.

    ``sample`` is the frame it was trained on, inputs only: the contract is inferred from it unless given, and the
    training profile is made of it. ``onnx`` True demands the export, False leaves it out. ``trusted`` names types
    beyond scikit-learn's own that loading may construct.

    Raises:
        RefusedError: the estimator holds types that ``trusted`` does not name; the message lists them.
        InvalidInputError: ``onnx`` is True and the estimator has no ONNX form.
    """
    agreed = _agreed_contract(estimator, sample, contract)
    skops = get_flavour("sklearn").save(estimator, agreed)
    _require_trusted(skops, trusted)
    data = {"sklearn": skops}
    refused = ""
    if onnx is not False:
        try:
            data["onnx"] = get_flavour("onnx").save(estimator, agreed)
        except InvalidInputError as error:
            if onnx:
                raise
            refused = error.message
    profile = documents.dump(_profile(skops, agreed, sample, trusted)).encode()
    with project.objects.batch() as batch:
        files = tuple(
            ModelFile(name=FLAVOURS[flavour], digest=batch.put(each), size=len(each), flavour=flavour)
            for flavour, each in sorted(data.items())
        )
        reference = batch.put(profile)
    return SavedModel(files=files, contract=agreed, reference=reference, trusted=tuple(trusted), refused=refused)


def _agreed_contract(estimator: Any, sample: Any, contract: Contract | None) -> Contract:
    if contract is None:
        return infer_contract(sample, estimator)
    return contract if contract.outputs else msgspec.structs.replace(contract, outputs=outputs_of(estimator))


def _require_trusted(data: bytes, trusted: Sequence[str]) -> None:
    found = get_flavour("sklearn").describe(data)["untrusted"]
    unknown = [name for name in found if name not in trusted]
    if unknown:
        raise RefusedError(
            f"the estimator holds {', '.join(unknown)}, which loading would construct. Look at these types; if you "
            f"trust them, register with trusted={unknown!r}.",
            types=unknown,
        )


def _profile(skops: bytes, contract: Contract, sample: Any, trusted: Sequence[str]) -> dict[str, Any]:
    from .columns import input_columns, take
    from .reference import profile_reference

    columns = input_columns(contract.inputs, sample)
    rows = len(next(iter(columns.values())))
    # Answers are profiled on rows spread evenly: 20,000 place every bin's edge well within a percent.
    some = take(columns, slice(None, None, max(1, rows // _ANSWERED)))
    answers = get_flavour("sklearn").load(skops, contract, trusted).predict(some)
    return profile_reference(columns, answers)
