"""Gates that hold a version against what the channel points to now: on the same rows, and on recorded traffic."""

from __future__ import annotations

from typing import Any

from ..values import GateResult
from .commands import maker_of
from .limits import number_at, too_few
from .reader import Gate, GateReader, Judgement, judged


def champion_gate(*, metric: str = "", margin: float = 0.0) -> Gate:
    """Open where the version is better than the channel's present one by the paired interval on the same rows.

    The gain's lower end must be above 0, or with a ``margin`` not below its negative (no worse than). Open when the
    channel points to nothing.
    """
    name = "better_than_champion"

    def judge(body: dict[str, Any]) -> Judgement:
        if too_few(body):
            return False, too_few(body)
        low = number_at(body["gain"], "low")
        is_open = low >= -margin if margin else low > 0
        return is_open, str(body.get("sentence", f"gain {low:+.4f} at least"))

    def look(reader: GateReader) -> GateResult:
        champion = reader.champion
        if champion is None:
            return _first(name, reader, "a gain over the present version, if any")
        floor = f"at least {-margin:g}" if margin else "above 0"
        about = [e for e in reader.evidence("comparison") if e.body.get("champion") == champion.id]
        chosen = next((e for e in about if metric in ("", e.body.get("metric"))), None)
        return judged(
            name,
            chosen,
            judge,
            wants=f"a gain over {champion.label} whose interval's lower end is {floor}",
            missing=f"no comparison with {champion.label}{f' by {metric}' if metric else ''} is recorded",
            do=maker_of("comparison", reader.version).replace("CHAMPION", champion.label),
        )

    return look


def backtest_gate(*, rows: int = 100, margin: float | None = None, refused: float = 0.0) -> Gate:
    """Open where the version answers the channel's recorded traffic, and is not worse than what was answered then.

    The newest backtest must be against what the channel points to now, over at least ``rows`` rows, of which the
    version may refuse the share ``refused``. Where outcomes are known it must not be worse by the paired interval; with
    a ``margin`` the gain's lower end must be at least its negative, so that outcomes are demanded. Open when the
    channel points to nothing.
    """
    name = "backtest"

    def judge(body: dict[str, Any]) -> Judgement:
        said = str(body["sentence"])
        if body["rows"] < rows:
            return False, f"{said}; only {body['rows']:,} rows"
        if body["refused"] > refused * body["rows"]:
            return False, said
        gain = body["gain"]
        if gain is None:
            return margin is None, said if margin is None else f"{said}; no outcome is known of these rows"
        if too_few(body):
            return False, too_few(body)
        if margin is None:
            return not body["worse"], said
        return number_at(gain, "low") >= -margin, said

    def look(reader: GateReader) -> GateResult:
        champion = reader.champion
        if champion is None:
            return _first(name, reader, "the recorded traffic to be answered, if any")
        tried = [e for e in reader.evidence("backtest") if e.body.get("channel") == reader.channel]
        chosen = next((e for e in tried if e.body.get("champion") == champion.id), None)
        bar = "not to be worse" if margin is None else f"a gain of at least {-margin:g}"
        return judged(
            name,
            chosen,
            judge,
            wants=f"at least {rows:,} recorded rows answered, at most {refused:.2%} refused, and {bar}",
            missing=f"no backtest on the traffic of {reader.channel} against {champion.label} is recorded",
            do=maker_of("backtest", reader.version, reader.channel),
        )

    return look


def _first(name: str, reader: GateReader, wants: str) -> GateResult:
    return GateResult(name=name, open=True, found=f"{reader.channel} points to no version yet", wants=wants)
