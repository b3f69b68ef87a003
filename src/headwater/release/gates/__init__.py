"""Gates: small rules over recorded evidence. A gate computes nothing; where evidence is missing it names its maker.

Declared in headwater.toml, per channel, as a text or a table::

    gates = ["parity", "better_than_champion", "bar:auc>0.6", "fresh:evaluation<30d", "python:gates.py:reviewed"]
    gates = [{ kind = "bar", metric = "auc", of = "low", at_least = 0.6 },
             { kind = "fairness", attribute = "sex", metric = "selection_rate", at_least = 0.8, of = "low" },
             { kind = "backtest", rows = 1000, margin = 0.002 }]

``kinds.py`` lists every kind with its forms.
"""

from .declared import parse_gate, read_gates
from .kinds import GATES, GateKind
from .reader import Gate, GateReader, gate

__all__ = ["GATES", "Gate", "GateKind", "GateReader", "gate", "parse_gate", "read_gates"]
