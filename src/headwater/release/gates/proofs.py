"""Gates over what was tried out: the export's parity, consumers' calls, latency and memory, readiness."""

from __future__ import annotations

from typing import Any

from headwater.evaluate.values import TOLERANCE
from headwater.serve.rehearsal import Consumer

from ..values import GateResult
from .commands import maker_of
from .limits import Limit, limit_of, number_at
from .reader import Gate, GateReader, Judgement, judged

BUDGET = {
    "p50_ms": "the median latency of one row",
    "p99_ms": "the 99th percentile of the latency of one row",
    "load_s": "the time to load",
    "memory_mib": "the peak memory of a process that answers",
    "size_mib": "the size of the files",
}
"""What a budget may hold a limit against, with what it is called."""


def parity_gate(*, tolerance: float = TOLERANCE) -> Gate:
    """Open where the served export answers as the original does; a version served as the original needs no proof.

    Closed where another form was compared than the served one, or with a wider tolerance than the gate's.
    """
    wants = f"the export to answer as the original, within {tolerance:g}"

    def look(reader: GateReader) -> GateResult:
        version = reader.version
        if version.flavour != "onnx":
            found = f"it is served as the original ({version.flavour})"
            return GateResult(name="parity", open=True, found=found, wants=wants)

        def judge(body: dict[str, Any]) -> Judgement:
            if body["exported"] != version.flavour:
                return False, f"it is about {body['exported']}, and {version.flavour} is served"
            if not float(body["tolerance"]) <= tolerance:
                return False, f"it was measured with a tolerance of {body['tolerance']:g}: {body.get('why', '')}"
            return body.get("passed") is True, str(body.get("why", ""))

        newest, do = reader.newest("parity"), maker_of("parity", version)
        return judged("parity", newest, judge, wants=wants, missing="no parity is recorded", do=do)

    return look


def consumers_gate(*, undeclared: str = "named") -> Gate:
    """Open where the recorded calls of each registered consumer were replayed and each could go on.

    The replay must be against what the channel points to now, and of each consumer as it is registered now.
    Consumers that traffic shows and nobody registered are named; with ``undeclared = "refused"`` they close it. Open
    when the channel points to nothing.
    """
    if undeclared not in ("named", "refused"):
        raise TypeError("undeclared is named or refused")
    more = ", and nobody unregistered to call" if undeclared == "refused" else ""
    wants = f"each registered consumer's recorded calls to be answered in the form it relies on{more}"

    def look(reader: GateReader) -> GateResult:
        if reader.champion is None:
            found = f"{reader.channel} points to no version yet, so nobody relies on one"
            return GateResult(name="consumers", open=True, found=found, wants=wants)
        registered, champion = reader.consumers(), reader.champion
        tried = [e for e in reader.evidence("consumers") if e.body.get("channel") == reader.channel]

        def judge(body: dict[str, Any]) -> Judgement:
            if body["champion"] != champion.id:
                return False, f"it was replayed before {reader.channel} pointed to {champion.label}: replay it again"
            return _consumers(body, registered, undeclared == "refused")

        return judged(
            "consumers",
            tried[0] if tried else None,
            judge,
            wants=wants,
            missing=f"no replay of the calls to {reader.channel} is recorded",
            do=maker_of("consumers", reader.version, reader.channel),
        )

    return look


def _consumers(body: dict[str, Any], registered: list[Consumer], strict: bool) -> Judgement:
    replayed = {each["name"]: each for each in body["consumers"]}
    new = [each.name for each in registered if not _is_same(each, replayed.get(each.name))]
    broken = [each.name for each in registered if each.name in replayed and replayed[each.name]["problems"]]
    unknown = [str(each["caller"]) or "(nobody named)" for each in body["undeclared"]]
    said = [str(body["sentence"])]
    if new:
        said.append(f"registered, or changed, since the replay: {', '.join(new)}")
    return not new and not broken and not (strict and unknown), "; ".join(said)


def _is_same(consumer: Consumer, replayed: dict[str, Any] | None) -> bool:
    """Tell whether what was replayed is the consumer as it is registered: its calls, and what it reads of them."""
    if replayed is None:
        return False
    return set(replayed["callers"]) == set(consumer.callers) and set(replayed["reads"]) == set(consumer.reads)


def budget_gate(limit: tuple[str, Limit] | None = None, **at_most: float) -> Gate:
    """Open where a version keeps a budget of latency, loading time, memory and size, as measured in a fresh process.

    The names are those of ``BUDGET``.
    """
    limits = {name: limit_of(None, value) for name, value in at_most.items()}
    if limit is not None:
        limits[limit[0]] = limit[1]
    if not limits or limits.keys() - BUDGET.keys():
        raise TypeError(f"a budget names some of {', '.join(BUDGET)}")

    def judge(body: dict[str, Any]) -> Judgement:
        measured = {name: number_at(body[name], "value") for name in limits}
        said = ", ".join(f"{name} {value:.3g}" for name, value in measured.items())
        is_open = all(each.holds(measured[name]) for name, each in limits.items())
        return is_open, f"{said} with {body['source']} on {body['machine']}"

    def look(reader: GateReader) -> GateResult:
        wants = ", ".join(f"{BUDGET[name]} {each}" for name, each in limits.items())
        newest, do = reader.newest("budget"), maker_of("budget", reader.version)
        return judged("budget", newest, judge, wants=wants, missing="no budget is recorded", do=do)

    return look


def readiness_gate(field: str = "level", *, at_least: float | None = None, limit: Limit | None = None) -> Gate:
    """Open where the newest recorded readiness reaches a ``level`` (0 to 9) or a ``score`` (of the ML Test Score).

    Closed once points in it have expired: it must be computed again.
    """
    wanted = limit or limit_of(at_least, None)

    def look(reader: GateReader) -> GateResult:
        def judge(body: dict[str, Any]) -> Judgement:
            value = number_at(body[field], "value")
            said = f"{field} is {value:g}: {body.get('sentence', '')}".rstrip(": ")
            until = body.get("valid_until")
            if until is not None and until < reader.now:
                return False, f"{said}; evidence in it has expired since"
            return wanted.holds(value), said

        return judged(
            "readiness",
            reader.newest("readiness"),
            judge,
            wants=f"a readiness whose {field} is {wanted}, not expired",
            missing="no readiness is recorded",
            do=f"hw model readiness {reader.version.label}",
        )

    return look
