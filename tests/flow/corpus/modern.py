"""A project of what Python offers beyond functions and plain classes, resources and libraries; and edits of it."""

from __future__ import annotations

from .edits import Edit

NAME = "modern"
METADATA = "Metadata-Version: 2.1\nName: corpuslib\nVersion: 1.0\n"

FILES = {
    "flows.py": """\
import sys

from headwater.flow import flow, step

import patches
from kit import *
from kit import machine, lazily
from kit.shapes import Shape, describe
from kit.colours import Colour, Access, STRICT
from kit.fields import Record
from kit.streams import windows, walk, reader
from kit.caching import cached, slow, Lazy, half
from kit.matching import act
from kit.state import COUNTS, note, table, later
from kit.resources import words, settings, packed, linked
from kit.text import summary, headline
import corpuslib

note("start", 1)


@step
def shapes(x):
    return [describe(shape, x) for shape in Shape.all()]


@step
def colours(x):
    both = int(Access.READ | Access.WRITE)
    return [Colour.RED.value, [c.name for c in Colour], both, STRICT.label, Colour.BLUE.mixed()]


@step
def records(x):
    r = Record(x, "n")
    r.size = x + 1
    return [r.size, r.name, Record.names, repr(r), r == Record(x, "n")]


@step
def streams(x):
    with reader(x) as found:
        return [list(windows(range(x))), list(walk([1, [2, [x]]])), found]


@step
def caches(x):
    return [cached(x), slow(x), Lazy(x).value, half(x), Lazy(x).twice(), Lazy(x).shown(2), Lazy(x).shown("a")]


@step
def matches(x):
    return [act({"kind": "add", "to": x}), act([1, 2, x]), act("stop"), act(x), act(None)]


@step
def states(x):
    return [dict(COUNTS), table(x), [f(x) for f in later()], machine.STATES[machine.START](x)]


@step
def resources(x):
    return [words(), settings()["depth"], packed(), linked()]


@step
def texts(x):
    import colorsys
    return [summary(x), headline(x), colorsys.rgb_to_hls(0.11, 0.22, 0.33), exported(x), lazily.load("plus")(x)]


@step
def libraries(x):
    return [corpuslib.area(x), corpuslib.NAME]


@step
def conditional(x):
    return [machine.PLATFORM, machine.fast(x), machine.fallback(x), sys.flags.optimize]


@step(seed=5)
def rolled(x):
    import random
    return [random.randint(0, 10**9), x]


@step(env=["HW_CORPUS_MODE"])
def moody(x):
    import os
    return [os.environ.get("HW_CORPUS_MODE", "plain"), os.getenv("HW_CORPUS_OTHER", "none"), x]


@flow
def main(x=4):
    return [s(x) for s in (shapes, colours, records, streams, caches, matches, states, resources, texts, libraries,
                           conditional, rolled, moody)]
""",
    "patches.py": """\
import colorsys

from kit import text


def loud(words):
    return [word.upper() for word in words]


def install():
    text.split = loud


install()

if True:
    plain = colorsys.rgb_to_hls

    def rounded(*values):
        return [round(each, 1) for each in plain(*values)]

    colorsys.rgb_to_hls = rounded
""",
    "kit/__init__.py": """\
from .exporting import *

__version__ = "1"
""",
    "kit/exporting.py": """\
__all__ = ["exported"]

GAIN = 3


def exported(x):
    return hidden(x) * GAIN


def hidden(x):
    return x - 1


def private(x):
    return x
""",
    "kit/shapes.py": """\
from abc import ABC, abstractmethod


class Known(type):
    made = {}

    def __new__(meta, name, bases, body, **options):
        made = super().__new__(meta, name, bases, body)
        if options.get("listed", True):
            meta.made[name] = made
        made.sides = options.get("sides", 0)
        return made


class Shape(metaclass=Known, listed=False):
    unit = "cm"

    @classmethod
    def all(cls):
        return [made() for made in Known.made.values()]

    @staticmethod
    def rounded(value):
        return round(value, 2)

    def area(self, x):
        return 0

    def unasked(self):
        return 1


class Square(Shape, sides=4):
    def area(self, x):
        return self.rounded(x * x)


class Circle(Shape, sides=1):
    ratio = 3.14159

    def area(self, x):
        return self.rounded(self.ratio * x * x)


def describe(shape, x):
    return f"{type(shape).__name__} {shape.sides} {shape.area(x)} {shape.unit}"


class Apart(ABC):
    @abstractmethod
    def never(self): ...
""",
    "kit/colours.py": """\
from enum import Enum, IntFlag, auto
from typing import NamedTuple


class Colour(Enum):
    RED = "r"
    GREEN = "g"
    BLUE = "b"

    def mixed(self):
        return self.value * STRENGTH


class Access(IntFlag):
    READ = auto()
    WRITE = auto()
    ADMIN = 64


class Rule(NamedTuple):
    label: str
    weight: int = 1


STRENGTH = 2
STRICT = Rule("strict")
LAX = Rule("lax", 5)
""",
    "kit/fields.py": """\
class Positive:
    least = 0

    def __set_name__(self, owner, name):
        self.name = "_" + name
        owner.names.append(name)

    def __get__(self, instance, owner=None):
        return getattr(instance, self.name, None)

    def __set__(self, instance, value):
        setattr(instance, self.name, max(value, self.least))


def shown(cls):
    def __repr__(self):
        return f"<{cls.__name__} {self.size}>"
    cls.__repr__ = __repr__
    return cls


@shown
class Record:
    names = []
    size = Positive()
    __slots__ = ("_size", "name")

    def __init__(self, size, name):
        self.size = size
        self.name = name

    def __eq__(self, other):
        return self.name == other.name
""",
    "kit/streams.py": """\
from contextlib import contextmanager
from itertools import islice

WIDTH = 2


def windows(items, width=WIDTH):
    items = iter(items)
    while part := list(islice(items, width)):
        yield part


def walk(tree):
    for each in tree:
        if isinstance(each, list):
            yield from walk(each)
        else:
            yield each


@contextmanager
def reader(x):
    opened = opening(x)
    yield opened
    closing(opened)


def opening(x):
    return {"x": x}


def closing(opened):
    opened.clear()
""",
    "kit/caching.py": """\
from functools import cache, cached_property, lru_cache, partial, partialmethod, singledispatchmethod, wraps

BASE = 10


@cache
def cached(x):
    return x + BASE


def retried(times):
    def take(function):
        @wraps(function)
        def inside(*args):
            for _ in range(times):
                result = function(*args)
            return [result, times]
        return inside
    return take


@retried(times=2)
@lru_cache(maxsize=8)
def slow(x):
    return x * 5


class Lazy:
    def __init__(self, x):
        self.x = x

    @cached_property
    def value(self):
        return self.x ** 2

    def times(self, n):
        return self.x * n

    twice = partialmethod(times, 2)

    @singledispatchmethod
    def shown(self, other):
        return "other"

    @shown.register
    def _(self, other: int):
        return other + self.x


def divided(x, by):
    return x / by


half = partial(divided, by=2)
""",
    "kit/matching.py": """\
LIMIT = 3
STOP = "stop"


class Words:
    HALT = STOP


def act(command):
    match command:
        case {"kind": "add", "to": number}:
            return plus(number)
        case [first, *rest]:
            return [first, len(rest)]
        case Words.HALT:
            return "halted"
        case int(number) if number > LIMIT:
            return minus(number)
        case None:
            return UNSET
    return "?"


def plus(number):
    return number + 1


def minus(number):
    return number - 1


UNSET = object.__name__
""",
    "kit/state.py": """\
COUNTS = {}
ROWS = [i * 2 for i in range(3)]
SCALE = 2


def note(name, by):
    COUNTS[name] = COUNTS.get(name, 0) + by


note("import", 2)

_TABLE = {}
for name, factor in (("one", 1), ("two", 2)):
    _TABLE[name] = factor * SCALE


def table(x):
    return {name: factor * x for name, factor in _TABLE.items()} | {"rows": sum(ROWS)}


def later():
    made = []
    for i in range(3):
        made.append(lambda x: x * i)
    made.append(lambda x, i=SCALE: x + i)
    return made


def bump():
    global SCALE
    SCALE += 1
""",
    "kit/machine.py": """\
import os
import sys

try:
    import nobody_has_this as engine
except ImportError:
    engine = None

if sys.platform == "win32":
    PLATFORM = "w"
else:
    PLATFORM = "u"

START = "go"


def go(x):
    return ["gone", x]


def wait(x):
    return ["waited", x]


STATES = {"go": go, "wait": wait}

if engine is None:
    def fast(x):
        return x * 2
else:
    def fast(x):
        return engine.fast(x)


def fallback(x):
    try:
        from . import missing
    except ImportError:
        from .backup import rescue as missing
    return missing(x)
""",
    "kit/backup.py": "def rescue(x):\n    return x + 0.5\n\n\ndef other(x):\n    return x\n",
    "kit/lazily.py": """\
import importlib


def load(name, folder="actions"):
    return getattr(importlib.import_module(f"kit.{folder}.{name}"), name)
""",
    "kit/actions/__init__.py": "",
    "kit/actions/plus.py": "from .shared import AMOUNT\n\n\ndef plus(x):\n    return x + AMOUNT\n",
    "kit/actions/minus.py": "def minus(x):\n    return x - 1\n",
    "kit/actions/shared.py": "AMOUNT = 100\nOTHER = 1\n",
    "kit/resources.py": """\
import json
import tomllib
from importlib import resources
from pathlib import Path

HERE = Path(__file__).parent


def words():
    return resources.files("kit").joinpath("data/words.txt").read_text().split()


def settings():
    with open(HERE / "data" / "settings.toml", "rb") as file:
        return tomllib.load(file)


def packed():
    return [json.loads(path.read_text()) for path in sorted((HERE / "data").glob("part-*.json"))]


def linked():
    return (HERE / "data" / "current.txt").read_text()
""",
    "kit/data/words.txt": "one two",
    "kit/data/settings.toml": "depth = 3\n",
    "kit/data/part-1.json": "[1]",
    "kit/data/first.txt": "first",
    "kit/data/second.txt": "second",
    "link:kit/data/current.txt": "first.txt",
    "kit/data/notes.txt": "nobody reads this",
    "kit/text.py": '''\
def split(text):
    return text.split()


def summary(x):
    """Return a summary."""
    return [f"{x:>{PAD}}", "-".join(split("a b"))]


def headline(x):
    return headline.__doc__ or TITLE % x


PAD = 5
TITLE = "no %d"


def remarked(x):
    """Nobody calls this."""
    return x
''',
    "../site/corpuslib/__init__.py": 'NAME = "lib"\n\n\ndef area(x):\n    return x * x\n',
    "../site/corpuslib-1.0.dist-info/METADATA": METADATA,
    "../site/corpuslib-1.0.dist-info/RECORD": "corpuslib/__init__.py,,\n",
    "../site/corpuslib-1.0.dist-info/top_level.txt": "corpuslib\n",
}

SITE = "../site/corpuslib-1.0.dist-info"


def _edits(path: str, *edits: tuple[str, str, str]) -> list[Edit]:
    return [Edit(kind, NAME, path, old, new) for kind, old, new in edits]


EDITS = [
    *_edits(
        "flows.py",
        ("mutable global", 'note("start", 1)', 'note("start", 2)'),
        ("mutable global", 'note("start", 1)\n', ""),
        ("seed", "seed=5", "seed=6"),
        ("default of the flow", "def main(x=4)", "def main(x=5)"),
        ("step body", "int(Access.READ | Access.WRITE)", "int(Access.READ)"),
        ("lazily named import", 'lazily.load("plus")', 'lazily.load("minus")'),
        ("monkeypatch removed", "import patches\n", ""),
        ("comment", "@step(seed=5)", "@step(seed=5)  # five"),
        (
            "formatting",
            "return [corpuslib.area(x), corpuslib.NAME]",
            "return [\n        corpuslib.area(x),\n        corpuslib.NAME,\n    ]",
        ),
        ("unused import", "import sys\n", "import sys\nimport string\n"),
        ("type hint", "def rolled(x):", "def rolled(x: int) -> list:"),
        ("declared environment", '["HW_CORPUS_MODE"]', '["HW_CORPUS_MODE", "HW_CORPUS_OTHER"]'),
    ),
    *_edits(
        "patches.py",
        ("monkeypatch", "word.upper()", "word.title()"),
        ("monkeypatch", "text.split = loud", "text.split = str.split"),
        ("monkeypatch in a block", "round(each, 1)", "round(each, 2)"),
        ("monkeypatch in a block", "colorsys.rgb_to_hls = rounded", "colorsys.rgb_to_hls = plain"),
        ("monkeypatch", "\n\ninstall()\n", "\n"),
    ),
    *_edits(
        "kit/__init__.py",
        ("version text", '"1"', '"2"'),
        (
            "star import",
            "from .exporting import *",
            "from .exporting import *\nfrom .exporting import private as exported",
        ),
    ),
    *_edits(
        "kit/exporting.py",
        ("__all__", '["exported"]', '["exported", "private"]'),
        ("star import", "GAIN = 3", "GAIN = 4"),
        ("star import", "return x - 1", "return x - 2"),
        ("unrelated function", "def private(x):\n    return x", "def private(x):\n    return -x"),
        ("docstring", "def hidden(x):", 'def hidden(x):\n    """One less."""'),
        ("comment", "GAIN = 3", "GAIN = 3  # times"),
    ),
    *_edits(
        "kit/shapes.py",
        ("metaclass", "meta.made[name] = made", "meta.made[name.lower()] = made"),
        ("metaclass", 'options.get("sides", 0)', 'options.get("sides", 0) * 2'),
        ("metaclass option", "class Square(Shape, sides=4)", "class Square(Shape, sides=5)"),
        ("metaclass option", "class Circle(Shape, sides=1)", "class Circle(Shape, sides=1, listed=False)"),
        ("class attribute", 'unit = "cm"', 'unit = "mm"'),
        ("class attribute", "ratio = 3.14159", "ratio = 3"),
        ("static method", "round(value, 2)", "round(value, 1)"),
        ("class method", "return [made() for", "return [made() for _ in (1, 2) for"),
        ("overridden method", "self.rounded(x * x)", "self.rounded(x * x * x)"),
        ("method nobody calls", "return 1", "return 2"),
        ("base method", "return 0\n", "return -1\n"),
        (
            "override removed",
            "class Square(Shape, sides=4):\n    def area(self, x):\n        return self.rounded(x * x)",
            "class Square(Shape, sides=4):\n    pass",
        ),
        ("new subclass", "def describe(", "class Line(Shape, sides=2):\n    pass\n\n\ndef describe("),
        ("abstract class", "def never(self): ...", "def ever(self): ..."),
        ("formatted text", "{shape.unit}", "in {shape.unit}"),
    ),
    *_edits(
        "kit/colours.py",
        ("enum value", 'RED = "r"', 'RED = "R"'),
        ("enum member", 'BLUE = "b"', 'BLUE = "b"\n    BLACK = "k"'),
        (
            "enum order",
            "    READ = auto()\n    WRITE = auto()",
            "    ADMIN2 = auto()\n    READ = auto()\n    WRITE = auto()",
        ),
        ("enum value", "ADMIN = 64", "ADMIN = 128"),
        ("enum method", "self.value * STRENGTH", "self.value + self.value"),
        ("constant", "STRENGTH = 2", "STRENGTH = 3"),
        ("named tuple", 'STRICT = Rule("strict")', 'STRICT = Rule("stricter")'),
        ("other instance", 'LAX = Rule("lax", 5)', 'LAX = Rule("lax", 6)'),
    ),
    *_edits(
        "kit/fields.py",
        ("descriptor", "max(value, self.least)", "max(value, self.least) + 1"),
        ("descriptor attribute", "least = 0", "least = 50"),
        ("__set_name__", "owner.names.append(name)", "owner.names.append(name * 2)"),
        ("class decorator", "<{cls.__name__}", "<the {cls.__name__}"),
        ("class decorator removed", "@shown\n", ""),
        ("slots", '("_size", "name")', '("_size", "name", "more")'),
        ("operator method", "self.name == other.name", "self.name != other.name"),
    ),
    *_edits(
        "kit/streams.py",
        ("default from a constant", "WIDTH = 2", "WIDTH = 3"),
        ("generator", "yield part", "yield part[:1]"),
        ("generator", "yield from walk(each)", "yield from each"),
        ("context manager", 'return {"x": x}', 'return {"y": x}'),
        ("context manager", "opened.clear()", "opened.clear"),
        ("default", "width=WIDTH", "width=1"),
        ("comment", "items = iter(items)", "items = iter(items)  # once"),
    ),
    *_edits(
        "kit/caching.py",
        ("functools.cache", "return x + BASE", "return x - BASE"),
        ("constant", "BASE = 10", "BASE = 11"),
        ("decorator with arguments", "@retried(times=2)", "@retried(times=3)"),
        ("decorator", "return [result, times]", "return [times, result]"),
        ("functools.lru_cache", "maxsize=8", "maxsize=9"),
        ("functools.lru_cache", "return x * 5", "return x * 6"),
        ("cached property", "self.x ** 2", "self.x ** 3"),
        ("functools.partial", "by=2", "by=4"),
        ("functools.partial", "return x / by", "return x // by"),
        ("partialmethod", "partialmethod(times, 2)", "partialmethod(times, 3)"),
        ("singledispatchmethod", "return other + self.x", "return other - self.x"),
        ("singledispatchmethod", 'return "other"', 'return "else"'),
        ("single dispatch by hint", "other: int", "other: str"),
    ),
    *_edits(
        "kit/matching.py",
        ("match statement", '"kind": "add"', '"kind": "sum"'),
        ("match statement", "case [first, *rest]", "case [first, _, *rest]"),
        ("match guard", "LIMIT = 3", "LIMIT = 30"),
        ("match guard", "number > LIMIT", "number < LIMIT"),
        ("match value", 'STOP = "stop"', 'STOP = "end"'),
        ("helper of a match", "return number + 1", "return number + 2"),
        ("helper of a match", "return number - 1", "return number - 2"),
        ("formatting", 'return "?"', 'return (\n        "?"\n    )'),
        ("constant", "UNSET = object.__name__", "UNSET = object.__module__"),
    ),
    *_edits(
        "kit/state.py",
        ("mutable global", 'note("import", 2)', 'note("import", 3)'),
        ("mutable global", "+ by", "- by"),
        ("filled in a loop", '("two", 2)', '("two", 3)'),
        ("filled in a loop", "factor * SCALE", "factor + SCALE"),
        ("comprehension", "range(3)]", "range(4)]"),
        ("closure over a loop", "lambda x: x * i", "lambda x, i=i: x * i"),
        ("closure default", "x, i=SCALE: x + i", "x, i=1: x + i"),
        ("constant", "SCALE = 2", "SCALE = 5"),
        ("unrelated function", "SCALE += 1", "SCALE += 2"),
    ),
    *_edits(
        "kit/machine.py",
        ("table of functions", '"go": go', '"go": wait'),
        ("constant", 'START = "go"', 'START = "wait"'),
        ("conditional constant", 'PLATFORM = "u"', 'PLATFORM = "unix"'),
        ("conditional function", "return x * 2", "return x * 3"),
        ("conditional import", "import nobody_has_this as engine", "import json as engine"),
        ("branch not taken", 'PLATFORM = "w"', 'PLATFORM = "windows"'),
        ("unused import", "import os\n", "import os\nimport string\n"),
        ("function of a table", 'return ["gone", x]', 'return ["left", x]'),
        ("function of a table", 'return ["waited", x]', 'return ["stayed", x]'),
    ),
    *_edits(
        "kit/backup.py",
        ("fallback import", "x + 0.5", "x + 0.75"),
        ("unrelated function", "    return x\n", "    return -x\n"),
    ),
    *_edits(
        "kit/lazily.py",
        ("import by formatted text", 'folder="actions"', 'folder="actions2"'),
        ("import by formatted text", "{name}", "{name!s}"),
    ),
    *_edits("kit/actions/plus.py", ("import by formatted text", "x + AMOUNT", "x - AMOUNT")),
    *_edits("kit/actions/minus.py", ("module nobody imports", "x - 1", "x - 2")),
    *_edits(
        "kit/actions/shared.py",
        ("imported by a module imported by text", "AMOUNT = 100", "AMOUNT = 200"),
    ),
    *_edits(
        "kit/resources.py",
        ("path in code", '"settings.toml"', '"other.toml"'),
        ("resource name", "words.txt", "notes.txt"),
        ("glob", "part-*.json", "part-?.json"),
    ),
    Edit("importlib.resources", NAME, "kit/data/words.txt", "two", "three"),
    Edit("configuration file", NAME, "kit/data/settings.toml", "depth = 3", "depth = 4"),
    Edit("configuration file", NAME, "kit/data/settings.toml", "depth = 3\n", "depth = 3\nwidth = 1\n"),
    Edit("data file", NAME, "kit/data/part-1.json", "[1]", "[2]"),
    Edit("new file for a glob", NAME, "kit/data/part-2.json", "", "[5]"),
    Edit("new file beside", NAME, "kit/data/unread.txt", "", "x"),
    Edit("file nobody reads", NAME, "kit/data/notes.txt", "nobody", "no one"),
    Edit("symbolic link", NAME, "link:kit/data/current.txt", "", "second.txt"),
    Edit("behind a symbolic link", NAME, "kit/data/first.txt", "first", "1st"),
    Edit("file nobody links to", NAME, "kit/data/second.txt", "second", "2nd"),
    Edit("configuration module", NAME, "headwater_notes.py", "", "X = 1\n"),
    Edit("new module that shadows nothing", NAME, "kit/extra.py", "", "X = 1\n"),

    Edit("new module found by a try", NAME, "nobody_has_this.py", "", "def fast(x):\n    return -x\n"),
    Edit("environment", NAME, "$HW_CORPUS_MODE", "", "loud"),
    Edit("undeclared environment", NAME, "$HW_CORPUS_OTHER", "", "some"),
    Edit("environment nobody reads", NAME, "$HW_CORPUS_NOBODY", "", "x"),
    Edit(
        "package version", NAME, f"gone:{SITE}", "", "",
        (
            (SITE.replace("1.0", "1.1") + "/METADATA", "", METADATA.replace("1.0", "1.1")),
            (SITE.replace("1.0", "1.1") + "/top_level.txt", "", "corpuslib\n"),
            ("../site/corpuslib/__init__.py", "return x * x", "return x * x + 1"),
        ),
    ),
    Edit(
        "package installed again from elsewhere", NAME, f"gone:{SITE}", "", "",
        (
            (SITE + "/METADATA", "", METADATA),
            (SITE + "/top_level.txt", "", "corpuslib\n"),
            (SITE + "/direct_url.json", "", '{"url": "https://example.org/corpuslib", "vcs_info": {"commit_id": "a"}}'),
            ("../site/corpuslib/__init__.py", 'NAME = "lib"', 'NAME = "library"'),
        ),
    ),
    *_edits(
        "kit/text.py",
        ("format", "{x:>{PAD}}", "{x:<{PAD}}"),
        ("constant", "PAD = 5", "PAD = 6"),
        ("docstring of what asks for its own", "def headline(x):", 'def headline(x):\n    """The headline."""'),
        ("docstring", '"""Return a summary."""', '"""Return a short summary."""'),
        ("docstring", '"""Nobody calls this."""', '"""Nobody calls this at all."""'),
        ("constant", 'TITLE = "no %d"', 'TITLE = "number %d"'),
        ("function that is patched", "return text.split()", "return text.split(',')"),
        ("unrelated function", "    return x\n", "    return -x\n"),
    ),
]  # fmt: skip
