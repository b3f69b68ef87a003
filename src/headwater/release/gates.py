"""Gates: small rules over recorded evidence. A gate computes nothing; where evidence is missing it names its maker.

Declared in headwater.toml, per channel, as a text or a table::

    gates = ["parity", "better_than_champion", "bar:auc>0.6", "fresh:evaluation<30d", "python:gates.py:reviewed"]
    gates = [{ kind = "bar", metric = "auc", of = "low", at_least = 0.6 },
             { kind = "better_than_champion", metric = "brier", margin = 0.002 },
             { kind = "fresh", evidence = "evaluation", days = 30 }]
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from headwater.errors import InvalidInputError
from headwater.evaluate import Evidence
from headwater.evaluate.evidence import read_evidence
from headwater.model import ModelVersion
from headwater.project import Project

from .rules import GateDeclaration
from .values import GateResult

if TYPE_CHECKING:
    from headwater.ledger import Tx

_BAR = re.compile(r"(\w+)(?:\.(value|low|high))?\s*(>=|<=|>|<)\s*([-+.\deE]+)")
_FRESH = re.compile(r"(\w+)\s*<\s*([.\d]+)\s*d")
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_DAY_US = 86_400_000_000


class GateReader:
    """What a gate may look at: a version, the channel, what the channel points to now, and recorded evidence."""

    def __init__(self, tx: Tx, version: ModelVersion, channel: str, champion: ModelVersion | None, now: int) -> None:
        self._tx = tx
        self.version = version
        self.channel = channel
        self.champion = champion
        self.now = now

    def evidence(self, kind: str, limit: int = 100) -> list[Evidence]:
        """Return the version's evidence of a kind, newest first."""
        return read_evidence(self._tx, self.version.ref, kind, limit=limit)

    def newest(self, kind: str) -> Evidence | None:
        """Return the version's newest evidence of a kind, or None."""
        found = self.evidence(kind, limit=1)
        return found[0] if found else None


Gate = Callable[[GateReader], GateResult]


def gate(function: Callable[[GateReader], Any]) -> Callable[[GateReader], Any]:
    """Mark a function as a gate; its first docstring line says what it wants.

    It takes a ``GateReader`` and returns a ``GateResult``, or True or False, or such with a text of what it found.
    Name it in headwater.toml as ``python:FILE.py:FUNCTION``.
    """
    function.headwater_gate = True  # type: ignore[attr-defined]  # how loading tells a gate from a helper
    return function


def read_gates(project: Project, declared: tuple[GateDeclaration, ...], reader: GateReader) -> tuple[GateResult, ...]:
    """Return what each declared gate says of the reader's version, in the declared order.

    Raises:
        InvalidInputError: a declaration is none that is known.
    """
    return tuple(parse_gate(project, each)(reader) for each in declared)


def parse_gate(project: Project, declared: GateDeclaration) -> Gate:
    """Return the gate of a declaration.

    Raises:
        InvalidInputError: it cannot be read; the message shows the forms there are.
    """
    table = _as_table(declared) if isinstance(declared, str) else dict(declared)
    kind = table.pop("kind", "")
    try:
        if kind == "python":
            from .custom import python_gate

            return python_gate(project, **table)
        return _MAKERS[kind](**table)
    except (KeyError, TypeError) as error:
        raise InvalidInputError(
            f"the gate {declared!r} cannot be read. Gates are parity, better_than_champion, bar:METRIC>NUMBER, "
            "fresh:KIND<DAYSd and python:FILE.py:FUNCTION, or tables with kind = one of these.",
            gate=str(declared),
        ) from error


def parity_gate() -> Gate:
    """Open where the served export answers as the original does; a version served as the original needs no proof."""
    wants = "the export to answer as the original, within its tolerance"

    def look(reader: GateReader) -> GateResult:
        version = reader.version
        if version.flavour != "onnx":
            found = f"it is served as the original ({version.flavour})"
            return GateResult(name="parity", open=True, found=found, wants=wants)
        return _judge(
            reader, "parity", "parity", wants, f"hw model parity {version.label} DATA",
            lambda body: (bool(body.get("passed")), str(body.get("why", ""))),
        )  # fmt: skip

    return look


def bar_gate(metric: str, *, at_least: float | None = None, at_most: float | None = None, of: str = "value") -> Gate:
    """Open where a metric of the newest evaluation reaches a bar; ``of`` low or high takes an end of its interval."""
    if (at_least is None) == (at_most is None):
        raise TypeError("one of at_least and at_most")
    sign = ">=" if at_least is not None else "<="
    return _bar(metric, of, sign, float(at_least if at_least is not None else at_most))  # type: ignore[arg-type]  # one of them is a number


def champion_gate(*, metric: str = "", margin: float = 0.0) -> Gate:
    """Open where the version is better than the channel's present one by the paired interval on the same rows.

    The gain's lower end must be above 0, or with a ``margin`` not below its negative (no worse than). Open when the
    channel points to nothing.
    """
    name = "better_than_champion"

    def look(reader: GateReader) -> GateResult:
        champion = reader.champion
        if champion is None:
            found = f"{reader.channel} points to no version yet"
            return GateResult(name=name, open=True, found=found, wants="a gain over the present version, if any")
        floor = f"at least {-margin:g}" if margin else "above 0"
        wants = f"a gain over {champion.label} whose interval's lower end is {floor}"
        do = f"hw model compare {champion.label} {reader.version.label} DATA --target COLUMN"
        for evidence in reader.evidence("comparison"):
            body = evidence.body
            if body.get("champion") == champion.id and metric in ("", body.get("metric")):
                low = body["gain"]["low"]
                is_open = low >= -margin if margin else low > 0
                said = str(body.get("sentence", f"gain {low:+.4f} at least"))
                return GateResult(name=name, open=is_open, found=said, wants=wants, looked_at=(evidence.ref,))
        found = f"no comparison with {champion.label} is recorded"
        return GateResult(name=name, open=False, found=found, wants=wants, do=do)

    return look


def fresh_gate(evidence: str, *, days: float) -> Gate:
    """Open where the newest evidence of a kind is at most so many days old."""

    def look(reader: GateReader) -> GateResult:
        wants = f"{evidence} evidence at most {days:g} days old"
        found = reader.newest(evidence)
        do = _COMMANDS.get(evidence, "record_evidence(project, '{0.ref}', ...)").format(reader.version)
        if found is None:
            said = f"no {evidence} is recorded"
            return GateResult(name=f"fresh:{evidence}", open=False, found=said, wants=wants, do=do)
        age = (reader.now - found.created_at) / _DAY_US
        fresh = age <= float(days)
        return GateResult(
            name=f"fresh:{evidence}",
            open=fresh,
            found=f"the newest is {age:.1f} days old",
            wants=wants,
            looked_at=(found.ref,),
            do="" if fresh else do,
        )

    return look


def _bar(metric: str, of: str, sign: str, limit: float) -> Gate:
    if of not in ("value", "low", "high"):
        raise TypeError("of is value, low or high")
    shown = metric if of == "value" else f"{metric}.{of}"

    def judge(body: dict[str, Any]) -> tuple[bool, str]:
        measured = body.get("metrics", {}).get(metric)
        if measured is None:
            return False, f"the newest evaluation has no {metric}; it has {', '.join(body.get('metrics', {}))}"
        where = f" ({body['window']})" if body.get("window") else ""
        said = f"{shown} is {measured[of]:.4g} on {body['rows']:,} rows{where}"
        return _SIGNS[sign](measured[of], limit), said  # comparing NaN is False: closed

    def look(reader: GateReader) -> GateResult:
        do = f"hw model evaluate {reader.version.label} DATA --target COLUMN"
        return _judge(reader, f"bar:{shown}{sign}{limit:g}", "evaluation", f"{shown} {sign} {limit:g}", do, judge)

    return look


def _judge(
    reader: GateReader,
    name: str,
    kind: str,
    wants: str,
    do: str,
    judge: Callable[[dict[str, Any]], tuple[bool, str]],
) -> GateResult:
    evidence = reader.newest(kind)
    if evidence is None:
        return GateResult(name=name, open=False, found=f"no {kind} is recorded", wants=wants, do=do)
    is_open, found = judge(evidence.body)
    return GateResult(name=name, open=is_open, found=found, wants=wants, looked_at=(evidence.ref,))


def _as_table(text: str) -> dict[str, Any]:
    kind, _, rest = text.partition(":")
    if kind == "bar" and (bar := _BAR.fullmatch(rest.strip())):
        metric, of, sign, limit = bar.groups()
        return {"kind": "bar:text", "metric": metric, "of": of or "value", "sign": sign, "limit": float(limit)}
    if kind == "fresh" and (fresh := _FRESH.fullmatch(rest.strip())):
        return {"kind": "fresh", "evidence": fresh.group(1), "days": float(fresh.group(2))}
    if kind == "python":
        return {"kind": "python", "function": rest}
    return {"kind": kind} if not rest else {}


_COMMANDS = {
    "evaluation": "hw model evaluate {0.label} DATA --target COLUMN",
    "comparison": "hw model compare CHAMPION {0.label} DATA --target COLUMN",
    "parity": "hw model parity {0.label} DATA",
}
_MAKERS: dict[str, Callable[..., Gate]] = {
    "parity": parity_gate,
    "better_than_champion": champion_gate,
    "bar": bar_gate,
    "bar:text": _bar,
    "fresh": fresh_gate,
}
