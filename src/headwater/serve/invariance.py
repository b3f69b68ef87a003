"""Whether a version gives the same bytes for a row alone and among others: what joining requests rests on."""

from __future__ import annotations

import logging
import math
import random
import weakref
from typing import TYPE_CHECKING, Any

from headwater import canonical
from headwater.model import example_row

if TYPE_CHECKING:
    from headwater.model import Field, Loaded

PROBES = 48
_SIZES = (2, 3, 5, 8, 16, 33, 48)
_known: weakref.WeakKeyDictionary[Loaded, bool] = weakref.WeakKeyDictionary()
_log = logging.getLogger("headwater.serve")


def same_in_batches(loaded: Loaded, *, seed: int = 0) -> bool:
    """Tell whether ``PROBES`` random rows of the contract get the same bytes alone and in batches of several sizes.

    It is evidence and no proof. Where a batch differs nevertheless, its record tells a replay how to repeat it.
    """
    if loaded not in _known:
        _known[loaded] = _compared(loaded, seed)
    return _known[loaded]


def _compared(loaded: Loaded, seed: int) -> bool:
    chance = random.Random(seed)
    try:
        rows = [_random_row(loaded, chance) for _ in range(PROBES)]
        alone = [canonical.encode(loaded.predict([row], validated=True)[0]) for row in rows]
        for size in _SIZES:
            places = [chance.randrange(PROBES) for _ in range(size)]
            together = loaded.predict([rows[place] for place in places], validated=True)
            if [canonical.encode(each) for each in together] != [alone[place] for place in places]:
                return False
    except Exception:  # noqa: BLE001  # the user's own model may raise anything at a made-up row
        _log.info("%s does not answer random rows of its contract", loaded.version.label, exc_info=True)
        return False
    return True


def _random_row(loaded: Loaded, chance: random.Random) -> dict[str, Any]:
    row = example_row(loaded.contract)
    for field in loaded.contract.inputs:
        found = _random_value(field, chance)
        if found is not None:
            row[field.name] = found
    return row


def _random_value(field: Field, chance: random.Random) -> Any:
    """Return a value that the field allows; None where its example has to do."""
    if field.allowed:
        return chance.choice(field.allowed)
    if field.type == "bool":
        return chance.random() < 0.5
    if field.type not in ("float", "int"):
        return None
    low, high = field.minimum, field.maximum
    if field.type == "int":
        least = math.ceil(low) if low is not None else 0 if high is None else math.floor(high) - 1000
        return chance.randint(least, math.floor(high) if high is not None else least + 1000)
    if low is not None and high is not None:
        return chance.uniform(low, high)
    value = abs(chance.gauss(0, 10 ** chance.uniform(-2, 3)))
    return low + value if low is not None else high - value if high is not None else value
