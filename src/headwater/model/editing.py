"""Contracts beside models: one inferred from a dataset, and another one for a version that is there."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.errors import InvalidInputError
from headwater.lake import scan
from headwater.operation import operation
from headwater.project import Project

from .contract import Contract
from .contract_files import check_contract
from .inference import infer_contract
from .registry import get_model_version, register
from .values import ModelVersion

_LOOKED_AT = 200_000


@operation("model.contract.infer", needs="data:read")
def infer_data_contract(
    project: Project,
    data: str,
    *,
    columns: Sequence[str] = (),
    without: Sequence[str] = (),
    margin: float | None = None,
    categories: int = 0,
) -> Contract:
    """Return the contract that a dataset's columns suggest as inputs, of 200,000 rows at most; it has no outputs yet.

    ``columns`` names those that are inputs (all, unless given), ``without`` those that are not (the truth). ``margin``
    and ``categories`` bound the inputs by what is seen, as ``infer_contract`` says.

    Raises:
        NotFoundError: there is no such data.
        InvalidInputError: there is no such column, or a column is of a kind that contracts do not have.
    """
    from .columns import as_columns

    found = as_columns(scan(project, data, sql=f"SELECT * FROM data LIMIT {_LOOKED_AT}"))
    missing = [name for name in (*columns, *without) if name not in found]
    if missing:
        raise InvalidInputError(f"the data has no column '{missing[0]}'; it has {', '.join(list(found)[:30])}.")
    wanted = {name: found[name] for name in (columns or found) if name not in without}
    return infer_contract(wanted, margin=margin, categories=categories)


@operation("model.contract.replace", needs="model:write")
def replace_contract(project: Project, ref: str, contract: Contract) -> ModelVersion:
    """Record a version with the same files and another contract, and return it; the version before stays as it is.

    Raises:
        NotFoundError: there is no such version.
        InvalidInputError: the contract is not sound, is the same, or has other inputs than the files take.
    """
    check_contract(contract)
    version = get_model_version(project, ref)
    if contract == version.contract:
        raise InvalidInputError(f"{version.label} has this contract already.")
    before, after = ({field.name for field in each.inputs} for each in (version.contract, contract))
    if before != after:
        raise InvalidInputError(
            f"the files of {version.label} take {', '.join(sorted(before))}: a contract with other inputs "
            f"({', '.join(sorted(before ^ after))}) needs another model."
        )
    return register(
        project,
        version.model,
        files=version.files,
        contract=contract,
        flavour=version.flavour,
        params=version.params,
        metrics=version.metrics,
        run=version.run,
        trained_on=[f"version:{each}" for each in version.trained_on],
        reference=version.reference,
        parent=version.id,
        trusted=version.trusted,
        card=version.card,
    )
