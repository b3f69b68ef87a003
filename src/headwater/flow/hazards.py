"""Calls whose answer no key can see: the clock, unseeded randomness, the whole environment, changed globals."""

from __future__ import annotations

from .mentions import Call

_CLOCK = {
    "time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime", "datetime.datetime.now",
    "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
}  # fmt: skip
_ENTROPY = {"uuid.uuid1", "uuid.uuid4", "os.urandom", "random.SystemRandom"}
_RANDOM = {
    "random", "randint", "randrange", "uniform", "choice", "choices", "sample", "shuffle", "gauss", "normalvariate",
    "betavariate", "expovariate", "gammavariate", "lognormvariate", "paretovariate", "triangular", "vonmisesvariate",
    "weibullvariate", "getrandbits", "randbytes",
}  # fmt: skip
_SEEDS = {"seed", "default_rng", "Generator", "RandomState", "SeedSequence", "PCG64", "Philox", "MT19937", "SFC64"}


def hazard_of(call: Call) -> tuple[int, str, bool] | None:
    """Return (line, what it is, whether the option ``seed`` settles it), None for a call without hazard."""
    name = call.name
    if name in _CLOCK:
        return call.line, f"{name}() reads the clock", False
    if name in _ENTROPY or name.startswith("secrets."):
        return call.line, f"{name}() is random each time", False
    if name.startswith("random.") and name.removeprefix("random.") in _RANDOM:
        return call.line, f"{name}() is random without a seed", True
    if name in ("random.Random", "numpy.random.default_rng", "numpy.random.RandomState") and not call.arguments:
        return call.line, f"{name}() has no seed", False
    if name.startswith("numpy.random.") and name.count(".") == 2 and name.rpartition(".")[2] not in _SEEDS:
        return call.line, f"{name}() is random without a seed", True
    if name.startswith("global "):
        return call.line, f"it changes the global {name.removeprefix('global ')}, which other steps do not see", False
    return None
