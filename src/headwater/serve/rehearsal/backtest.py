"""Backtests: a version asked what a channel was asked, against what was answered then and what turned out true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from headwater.errors import InvalidInputError, NotFoundError
from headwater.evaluate import Evidence, record_evidence
from headwater.evaluate.values import LEVEL, RESAMPLES
from headwater.model import Contract, ModelVersion, get_model_version, load_to_measure
from headwater.operation import operation
from headwater.project import Project

from ..history import latest_outcomes
from .asking import ask
from .changes import input_changes, output_changes
from .recorded import Recorded, Traffic, champion_of, read_recorded

ROWS = 5000
"""How many of the newest recorded rows are asked again where nothing else is asked for."""

MOST_ROWS = 100_000
_NOTHING = {"metric": "", "value": None, "recorded_value": None, "gain": None, "better": False, "worse": False}


@operation("serve.backtest", needs="model:write")
def backtest(
    project: Project,
    model: str,
    channel: str = "production",
    *,
    rows: int = ROWS,
    start: int | None = None,
    end: int | None = None,
    metric: str = "",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Evidence:
    """Ask a version what a channel was asked, and record it as evidence of kind ``backtest`` (``rehearsal.kinds``).

    The newest ``rows`` (at most ``MOST_ROWS``) with ``occurred_at`` from ``start`` to ``end`` (excluded) are asked
    again. Where outcomes are known, the answers are compared with those that were given, on the same rows.

    Raises:
        NotFoundError: there is no such version, nothing was released to the channel, or nothing is recorded of it.
        InvalidInputError: too many rows, or the metric is not one of the task's.
    """
    if not 0 < rows <= MOST_ROWS:
        raise InvalidInputError(f"a backtest asks 1 to {MOST_ROWS:,} rows again, not {rows:,}.", rows=rows)
    version = get_model_version(project, model)
    champion = champion_of(project, version.model, channel)
    found = read_recorded(project, version.model, channel, start=start, end=end, rows=rows)
    traffic = Traffic(champion=champion, rows=found)
    _require_rows(traffic, version.model, channel)
    asked = ask(load_to_measure(project, version), [each.inputs for each in traffic.kept if each.inputs is not None])
    answered = [(row, answer) for row, answer in zip(traffic.kept, asked.answers, strict=True) if answer is not None]
    body = {
        "model": version.label,
        "channel": channel,
        "champion": champion.id,
        "champion_label": champion.label,
        "start": traffic.span[0],
        "end": traffic.span[1],
        "rows": len(traffic.kept),
        "not_kept": len(traffic.rows) - len(traffic.kept),
        "refused": asked.refused,
        "problems": asked.most_frequent(),
        "changes": [
            *input_changes(champion.contract, version.contract),
            *output_changes(champion.contract, version.contract),
        ],
        "answered_by": _answered_by(project, traffic),
        "differences": _differences(version.contract, answered),
        "level": LEVEL,
        "resamples": resamples,
        "seed": seed,
        **_outcomes(project, version, answered, metric, seed, resamples),
    }
    body["sentence"] = _sentence(body)
    return record_evidence(project, version.ref, "backtest", body, against=(champion.ref,))


def _require_rows(traffic: Traffic, model: str, channel: str) -> None:
    if not traffic.rows:
        raise NotFoundError(
            f"nothing that {model}@{channel} was asked is recorded for that time. Predictions made through the server, "
            "'hw.model' or 'serve.predict' are; wait for some, or widen the time."
        )
    if not traffic.kept:
        raise NotFoundError(
            f"of the {len(traffic.rows):,} recorded rows of {model}@{channel} none was kept whole (sampled out or "
            "masked), so none can be asked again. Let the serving policy keep some."
        )


def _answered_by(project: Project, traffic: Traffic) -> list[dict[str, Any]]:
    counted = Counter(each.version for each in traffic.kept)
    return [
        {"version": each, "label": get_model_version(project, each).label, "rows": count}
        for each, count in counted.most_common()
    ]


def _differences(contract: Contract, answered: Sequence[tuple[Recorded, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return how far each output is from what was answered then, over the rows that have it in both."""
    found = []
    for field in contract.outputs:
        pairs = [(row.outputs[field.name], new[field.name]) for row, new in answered if field.name in row.outputs]
        if not pairs:
            continue
        entry: dict[str, Any] = {
            "output": field.name,
            "changed": sum(a != b for a, b in pairs) / len(pairs),
            "mean_absolute": None,
            "largest": None,
        }
        numbers = [abs(float(a) - float(b)) for a, b in pairs if _number(a) and _number(b)]
        if field.type == "float" and numbers:
            entry |= {"mean_absolute": sum(numbers) / len(numbers), "largest": max(numbers)}
        found.append(entry)
    return found


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _outcomes(
    project: Project,
    version: ModelVersion,
    answered: Sequence[tuple[Recorded, dict[str, Any]]],
    metric: str,
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    """Return how the answers compare with those given then, on the rows whose outcome is known."""
    truths = latest_outcomes(project, [row.prediction for row, _ in answered])
    known = [(row, new, truths[row.prediction][0]) for row, new in answered if row.prediction in truths]
    if not known:
        return {"outcomes": 0, **_NOTHING}
    import numpy as np

    from headwater.evaluate.comparing import gain_of
    from headwater.evaluate.data import EvaluationSet
    from headwater.evaluate.measuring import task_metrics
    from headwater.evaluate.tasks import MAIN_METRIC, task_of
    from headwater.model.columns import as_column, columns_from_rows

    outputs = version.contract.outputs
    same = [each for each in known if all(field.name in each[0].outputs for field in outputs)]
    if not same:
        return {"outcomes": len(known), **_NOTHING}
    chosen = metric or MAIN_METRIC[task_of(version.contract)]
    rows = EvaluationSet({}, as_column([truth for _, _, truth in same]), target="outcome")
    try:
        old, new = (
            task_metrics(version.contract, rows, columns_from_rows(outputs, answers))
            for answers in ([row.outputs for row, _, _ in same], [new for _, new, _ in same])
        )
    except InvalidInputError:  # a ranking's rows do not say their query
        return {"outcomes": len(known), **_NOTHING}
    if chosen not in new:
        raise InvalidInputError(f"'{chosen}' is not measured for this task; there are {', '.join(new)}.")
    gain = gain_of(chosen, old[chosen], new[chosen], rows, seed, resamples)
    if gain["value"] != gain["value"]:  # not defined on these rows: one class alone has no AUC
        return {"outcomes": len(known), **_NOTHING}
    whole = np.ones(rows.rows)
    return {
        "outcomes": len(known),
        "metric": chosen,
        "value": new[chosen](whole),
        "recorded_value": old[chosen](whole),
        "gain": gain,
        "better": bool(gain["low"] > 0),
        "worse": bool(gain["high"] < 0),
    }


def _sentence(body: dict[str, Any]) -> str:
    first, last = (
        datetime.fromtimestamp(body[name] / 1e6, UTC).strftime("%Y-%m-%d %H:%M") for name in ("start", "end")
    )
    said = f"{body['model']} was asked {body['rows']:,} recorded rows of {body['channel']} ({first} to {last} UTC)"
    said += f" and refused {body['refused']:,}" if body["refused"] else " and refused none"
    if body["problems"]:
        worst = body["problems"][0]
        said += f" (most often {worst['field'] or 'the row'}: {worst['what']})"
    if body["not_kept"]:
        said += f"; {body['not_kept']:,} more were not kept"
    gain = body["gain"]
    if gain is None:
        return said + (
            f"; {body['outcomes']:,} outcomes, nothing comparable" if body["outcomes"] else "; no outcomes yet"
        )
    verdict = "better" if body["better"] else "worse" if body["worse"] else "neither better nor worse"
    return (
        f"{said}; on {body['outcomes']:,} outcomes {verdict} than what was answered: {body['metric']} "
        f"{body['value']:.4g} against {body['recorded_value']:.4g}, gain {gain['value']:+.4f}, "
        f"95 % interval {gain['low']:+.4f} to {gain['high']:+.4f}"
    )
