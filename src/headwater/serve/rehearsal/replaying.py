"""Replaying consumers' recorded calls against a version: would each still be answered in the form it relies on?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headwater.evaluate import Evidence, record_evidence
from headwater.model import Contract, get_model_version, load_to_measure
from headwater.operation import operation
from headwater.project import Project

from .asking import ask
from .changes import input_changes, output_changes
from .consumers import list_callers, list_consumers
from .recorded import champion_of, read_recorded

if TYPE_CHECKING:
    from headwater.model import Loaded, ModelVersion

    from .recorded import Recorded

ROWS = 200
"""How many of a consumer's newest recorded rows are replayed where nothing else is asked for."""

_NAMED = 5
_FORMS: dict[type, str] = {str: "text", bytes: "bytes", list: "a list", dict: "an object"}


@operation("serve.consumers.replay", needs="model:write")
def replay_calls(
    project: Project,
    model: str,
    channel: str = "production",
    *,
    rows: int = ROWS,
    start: int | None = None,
    end: int | None = None,
) -> Evidence:
    """Ask a version what each consumer of a channel asked before, and record as evidence of kind ``consumers``.

    A consumer has a problem where the version refuses a recorded row, answers without an output that it reads, or in
    another form than the contract it relied on allows. One with nothing recorded is held against the two contracts.
    Callers that nobody registered are replayed and named too. ``rows`` of each are replayed, the newest.

    Raises:
        NotFoundError: there is no such version, or nothing was released to the channel.
    """
    version = get_model_version(project, model)
    champion = champion_of(project, version.model, channel)
    loaded = load_to_measure(project, version)
    consumers = list_consumers(project, version.model, channel=channel)
    seen = list_callers(project, version.model, channel=channel, start=start, end=end)
    spans: list[int] = []

    def replay(callers: Sequence[str], reads: Sequence[str]) -> dict[str, Any]:
        recorded = read_recorded(project, version.model, channel, start=start, end=end, rows=rows, callers=callers)
        spans.extend(each.occurred_at for each in recorded)
        return _replay(loaded, champion, recorded, reads)

    registered = [
        {
            "name": each.name,
            "callers": list(each.callers),
            "reads": list(each.reads),
            **replay(each.callers, each.reads),
        }
        for each in consumers
    ]
    undeclared = [{"caller": each.caller, **replay([each.caller], ())} for each in seen if each.consumer is None]
    body = {
        "model": version.label,
        "channel": channel,
        "champion": champion.id,
        "champion_label": champion.label,
        "start": min(spans, default=0),
        "end": max(spans, default=0),
        "not_kept": sum(each["not_kept"] for each in (*registered, *undeclared)),
        "changes": _changes(champion.contract, version.contract),
        "consumers": registered,
        "undeclared": undeclared,
        "passed": not any(each["problems"] for each in registered),
    }
    body["sentence"] = _sentence(version.label, channel, registered, undeclared)
    return record_evidence(project, version.ref, "consumers", body, against=(champion.ref,))


def _replay(
    loaded: Loaded, champion: ModelVersion, recorded: Sequence[Recorded], reads: Sequence[str]
) -> dict[str, Any]:
    kept = [each for each in recorded if each.inputs is not None]
    asked = ask(loaded, [each.inputs for each in kept if each.inputs is not None])
    problems = [
        f"{each['rows']:,} of {len(kept):,} recorded rows are refused: {each['field'] or 'the row'} {each['what']}"
        for each in asked.most_frequent(_NAMED)
    ]
    old, new = champion.contract, loaded.contract
    problems += output_changes(old, new, reads)
    problems += _forms(old, kept, asked.answers, reads)
    if not kept:
        # Nothing shows what it sends, so whatever the contract takes less of may be what it sends.
        problems += [f"nothing recorded to replay, and {each}" for each in input_changes(old, new)]
    return {
        "rows": len(kept),
        "not_kept": len(recorded) - len(kept),
        "refused": asked.refused,
        "problems": list(dict.fromkeys(problems)),
    }


def _forms(
    old: Contract, kept: Sequence[Recorded], answers: Sequence[dict[str, Any] | None], reads: Sequence[str]
) -> list[str]:
    """Return where an answer is in another form than was answered then: another type, or null where nothing was."""
    promised = [field for field in old.outputs if not reads or field.name in reads]
    odd: Counter[str] = Counter()
    for row, answer in zip(kept, answers, strict=True):
        if answer is None:
            continue
        for field in promised:
            if field.name not in row.outputs or field.name not in answer:
                continue
            before, now = _form(row.outputs[field.name]), _form(answer[field.name])
            if before != now and not (now == "null" and field.nullable) and before != "null":
                odd[f"output '{field.name}' is {now} where it was {before}"] += 1
    return [f"{what} ({count:,} rows)" for what, count in odd.most_common(_NAMED)]


def _form(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number" if value == value and abs(value) != float("inf") else "not a finite number"
    return _FORMS.get(type(value), type(value).__name__)


def _changes(old: Contract, new: Contract) -> list[str]:
    return [*input_changes(old, new), *output_changes(old, new)]


def _sentence(
    label: str, channel: str, registered: Sequence[dict[str, Any]], undeclared: Sequence[dict[str, Any]]
) -> str:
    broken = [each for each in registered if each["problems"]]
    if not registered:
        said = f"{channel} has no registered consumer"
    elif broken:
        listed = "; ".join(f"{each['name']}: {each['problems'][0]}" for each in broken[:_NAMED])
        said = f"{label} breaks {len(broken)} of {len(registered)} registered consumers of {channel}: {listed}"
    else:
        rows = sum(each["rows"] for each in registered)
        silent = [each["name"] for each in registered if not each["rows"]]
        said = f"{label} answers {rows:,} recorded rows of {len(registered)} registered consumers of {channel}"
        said += f"; nothing recorded of {', '.join(silent)}, held against the contracts" if silent else ""
    if undeclared:
        names = ", ".join(each["caller"] or "(nobody named)" for each in undeclared[:_NAMED])
        failing = sum(bool(each["problems"]) for each in undeclared)
        said += f"; not registered but seen to ask: {names}"
        said += f", {failing} of them with problems" if failing else ""
    return said
