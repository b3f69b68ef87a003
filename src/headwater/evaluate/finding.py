"""Finding parts of the data on which a version is worse than elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headwater.errors import InvalidInputError
from headwater.model import get_model_version, load_to_measure
from headwater.operation import operation
from headwater.project import Project

from .evidence import record_evidence
from .frames import or_frame
from .values import Evidence


@or_frame
@operation("evaluate.slices", needs="model:write")
def find_bad_slices(
    project: Project,
    model: str,
    data: str,
    target: str,
    *,
    columns: Sequence[str] = (),
    loss: str = "",
    most: int = 10,
    least_rows: int = 30,
    where: str | None = None,
    part: str = "",
    time: str | None = None,
    window: str = "",
    data_refs: Sequence[str] = (),
    run: str | None = None,
    seed: int = 0,
) -> Evidence:
    """Search for slices on which a version is worse, and record them as evidence of kind ``slices``.

    ``columns`` are what slices may be told by: by default the model's inputs; others of the data may be named. ``loss``
    is by default what a row costs (log_loss, error, absolute_error, cer); ``bias`` looks instead for slices whose mean
    prediction is too high or too low, which tells a model at fault from rows that nobody can predict. At most ``most``
    slices of one or two conditions come back, each found on half of the rows and confirmed on the other half.

    Raises:
        InvalidInputError: a column is missing, ``most`` is below 1 or ``least_rows`` below 2, or the task gives rows no
            loss of their own (detection, ranking).
    """
    from .data import evaluation_set
    from .measuring import about, answers_of
    from .slice_search import search_slices

    if most < 1 or least_rows < 2:
        raise InvalidInputError(
            f"a search returns at least 1 slice of at least 2 rows, not {most} of {least_rows}: give other numbers.",
            most=most,
            least_rows=least_rows,
        )
    version = get_model_version(project, model)
    rows = evaluation_set(
        project, data, target, where=where, part=part, time=time, window=window, refs=tuple(data_refs)
    )
    answers = answers_of(version, load_to_measure(project, version), rows)
    name, losses = _losses(version.contract, rows, answers, loss)
    told_by = _told_by(version.contract, rows.columns, columns)
    found = search_slices(
        {each: rows.columns[each] for each in told_by},
        losses,
        signed=name == "bias",
        most=most,
        least_rows=least_rows,
        seed=seed,
    )
    confirmed = [each for each in found["found"] if each["confirmed"]]
    body = {
        "model": version.label,
        **about(version.contract, rows, seed, 0),
        "loss": name,
        "columns": told_by,
        **found,
        "confirmed": len(confirmed),
        "worst": confirmed[0]["slice"] if confirmed else "",
        "worst_gap": confirmed[0]["gap"]["value"] if confirmed else 0.0,
    }
    body["sentence"] = _sentence(body, confirmed)
    return record_evidence(project, version.ref, "slices", body, data=rows.refs, run=run)


def _losses(contract: Any, rows: Any, answers: Any, loss: str) -> tuple[str, Any]:
    from .data import truth_as_boolean
    from .measuring import row_losses
    from .tasks import positive_class, task_of

    task = task_of(contract)
    if loss == "bias" and task == "binary":
        return "bias", answers["probability"].astype(float) - truth_as_boolean(rows.truth, positive_class(contract))
    if loss == "bias" and task == "regression":
        return "bias", answers["value"].astype(float) - rows.truth.astype(float)
    name, losses = row_losses(contract, rows, answers)
    if loss not in ("", name):
        raise InvalidInputError(f"'{loss}' is no loss of {task}: it has {name}, and bias for numbers.", loss=loss)
    return name, losses


def _told_by(contract: Any, columns: Any, wanted: Sequence[str]) -> list[str]:
    plain = ("float", "int", "bool", "str")
    chosen = list(wanted) or [field.name for field in contract.inputs if field.type in plain]
    for name in chosen:
        if name not in columns:
            raise InvalidInputError(f"the data has no column '{name}'; it has {', '.join(list(columns)[:30])}.")
    return chosen


def _sentence(body: dict[str, Any], confirmed: Sequence[dict[str, Any]]) -> str:
    tried = f"of {body['searched']:,} slices of {body['rows']:,} rows"
    if not confirmed:
        return f"{tried} none was confirmed as worse than the rest by {body['loss']}"
    worst = confirmed[0]
    gap = worst["gap"]
    return (
        f"{tried} {len(confirmed)} confirmed as worse; the worst is {worst['slice']} ({worst['rows']:,} rows): "
        f"{body['loss']} {worst['value']:.4g} against {worst['rest']:.4g} elsewhere, "
        f"gap {gap['value']:+.4g}, 95 % interval {gap['low']:+.4g} to {gap['high']:+.4g}"
    )
