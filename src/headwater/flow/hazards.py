"""Calls whose answer no key can see: the clock, unseeded randomness, the environment, changed globals, foreign readers.

``settles`` of a hazard names the option of the step that settles it: ``seed``, ``files``, ``env:NAME``; "" for none.
"""

from __future__ import annotations

from .mentions import Call

_CLOCK = {
    "time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime", "datetime.datetime.now",
    "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today", "pandas.Timestamp.now",
    "pandas.Timestamp.today", "pandas.Timestamp.utcnow",
}  # fmt: skip
_ENTROPY = {"uuid.uuid1", "uuid.uuid4", "os.urandom", "random.SystemRandom"}
_MACHINE = {"os.getpid", "os.getlogin", "socket.gethostname", "platform.node", "getpass.getuser", "os.cpu_count"}
_RANDOM = {
    "random", "randint", "randrange", "uniform", "choice", "choices", "sample", "shuffle", "gauss", "normalvariate",
    "betavariate", "expovariate", "gammavariate", "lognormvariate", "paretovariate", "triangular", "vonmisesvariate",
    "weibullvariate", "getrandbits", "randbytes",
}  # fmt: skip
_SEEDS = {"seed", "default_rng", "Generator", "RandomState", "SeedSequence", "PCG64", "Philox", "MT19937", "SFC64"}
_SEED_WORDS = {"random_state", "seed", "rng", "random_seed"}
_DRAWING = ("RandomForest", "ExtraTrees", "GradientBoosting", "HistGradientBoosting", "MLP", "SGD", "KMeans",
            "MiniBatchKMeans", "IsolationForest", "ShuffleSplit", "StratifiedShuffleSplit", "RandomizedSearchCV",
            "train_test_split", "shuffle", "resample", "make_")  # fmt: skip
_OWN_READERS = (
    "polars.read_", "polars.scan_", "pyarrow.parquet.", "pyarrow.csv.", "pyarrow.dataset.", "pyarrow.feather.",
    "cv2.imread", "h5py.File", "netCDF4.Dataset", "rasterio.open", "duckdb.read_", "duckdb.from_",
)  # fmt: skip
_STATE = {"os.path.exists", "os.path.isfile", "os.path.isdir", "os.path.getsize", "os.path.getmtime", "os.stat"}
_ENVIRONMENT = {"os.getenv", "os.environ.get", "os.environ.pop", "os.environ.setdefault", "os.environ[]"}
_WHOLE = {"os.environ.items", "os.environ.copy", "os.environ.keys", "os.environ.values", "os.environ whole"}

Found = tuple[int, str, str]


def hazard_of(call: Call) -> Found | None:
    """Return line, what it is, and which option settles it, None for a call without hazard."""
    for rule in (_of_clock, _of_randomness, _of_numpy, _of_tables, _of_environment, _of_files, _of_globals):
        text, settles = rule(call)
        if text:
            return call.line, text, settles
    return None


def _of_clock(call: Call) -> tuple[str, str]:
    name = call.name
    asked_now = name == "numpy.datetime64" and call.first in ("now", "today")
    if name in _CLOCK or asked_now or (name == "time.strftime" and call.arguments == 1):
        return f"{name}() reads the clock", ""
    return (f"{name}() is another on another machine or run", "") if name in _MACHINE else ("", "")


def _of_randomness(call: Call) -> tuple[str, str]:
    name = call.name
    if name in _ENTROPY or name.startswith("secrets."):
        return f"{name}() is random each time", ""
    if name.startswith("random.") and name.removeprefix("random.") in _RANDOM:
        return f"{name}() is random without a seed", "seed"
    if name in ("random.Random", "numpy.random.default_rng", "numpy.random.RandomState") and not call.arguments:
        return f"{name}() has no seed", ""
    return "", ""


def _of_numpy(call: Call) -> tuple[str, str]:
    name = call.name
    if name.startswith("numpy.random.") and name.count(".") == 2 and name.rpartition(".")[2] not in _SEEDS:
        return f"{name}() is random without a seed", "seed"
    last = name.rpartition(".")[2]
    if name.startswith("sklearn.") and last.startswith(_DRAWING) and not _SEED_WORDS & call.keywords:
        return f"{name}() draws at random, and has no random_state", "seed"
    return "", ""


def _of_tables(call: Call) -> tuple[str, str]:
    """A frame's ``sample``: of an object that is no module, with one number or none, as a generator's never is."""
    plain = call.arguments - len(call.keywords)
    drawing = call.name.endswith(".sample") and not call.imported and plain <= 1 and call.arguments
    if drawing and not _SEED_WORDS & call.keywords:
        return ".sample() draws at random, and has no random_state", "seed"
    return "", ""


def _of_environment(call: Call) -> tuple[str, str]:
    if call.name in _WHOLE:
        return "it reads the whole environment", ""
    if call.name in _ENVIRONMENT:
        if call.first:
            return f"it reads the environment variable {call.first}", f"env:{call.first}"
        return f"{call.name}() reads an environment variable whose name is made at run time", ""
    return "", ""


def _of_files(call: Call) -> tuple[str, str]:
    if call.name.startswith(_OWN_READERS):
        return f"{call.name}() reads files by itself, where no one can watch", "files"
    if call.name in _STATE:
        return f"{call.name}() asks about a file without opening it", "files"
    return "", ""


def _of_globals(call: Call) -> tuple[str, str]:
    if call.name.startswith("global "):
        return f"it changes the global {call.name.removeprefix('global ')}, which other steps do not see", ""
    return "", ""
