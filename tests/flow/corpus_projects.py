"""Two small projects of different styles, and edits of them: what the memory must notice, and what it must not.

Whether an edit matters is not written here: it is found by running both versions.
"""

from __future__ import annotations

from typing import NamedTuple

FUNCTIONS = {
    "flows.py": '''\
"""Functions, modules, a package, a registry, data files."""

import json
import os
from pathlib import Path

import headwater as hw
import helpers
import settings as conf
from features import build, scale
from features.shapes import area
from plugins import REGISTRY
import plugins.extra
from tools import *

HERE = Path(__file__).parent
RATE = 0.5
LIMITS = [1, 2, 3]
LIMITS.append(4)
TABLE = {"a": 1}
TABLE["b"] = helpers.base()
UNUSED = 11


def local(x, factor=2):
    """Times two."""
    return x * factor  # plain


def make_adder(n):
    def add(x):
        return x + n
    return add


add_five = make_adder(5)


def traced(function):
    def inside(*args):
        return function(*args) + RATE
    return inside


@traced
def decorated(x):
    return x * 10


@hw.step
def first(x):
    return local(x) + helpers.normalise(x)


@hw.step
def second(x):
    return [build(x), scale(x), area(x), add_five(x)]


@hw.step
def third(x):
    return [decorated(x), conf.DEPTH, sum(LIMITS), TABLE["b"]]


@hw.step
def fourth(x):
    return sorted((name, function(x)) for name, function in REGISTRY.items())


@hw.step
def fifth(x):
    from lazy import late
    return late(x) + shout(x)


@hw.step(files=["data/numbers.json"], env=["HW_CORPUS"])
def sixth(x):
    return [json.loads((HERE / "data/numbers.json").read_text()), os.environ.get("HW_CORPUS", "")]


@hw.step
def seventh(x):
    import importlib
    name = "mod_" + "a"
    return importlib.import_module("dynamic." + name).value(x)


@hw.step
def eighth(x, y=3):
    text = (HERE / "data" / "plain.txt").read_text()
    return [text, y, len(list((HERE / "data" / "many").iterdir()))]


@hw.flow
def main(x=2):
    return [s(x) for s in (first, second, third, fourth, fifth, sixth, seventh, eighth)]
''',
    "helpers.py": '''\
"""Helpers."""
FACTOR = 7
SPARE = 1


def normalise(x):
    return clip(x) / FACTOR


def clip(x):
    return min(x, 100)


def base():
    return 40


def unrelated():
    return SPARE
''',
    "settings.py": "DEPTH = 8\nWIDTH = 3\n",
    "tools.py": "def shout(x):\n    return x * LOUD\n\n\nLOUD = 3\n",
    "features/__init__.py": "from .making import build\nfrom .scaling import Scaler\n\nscale = Scaler(3)\n",
    "features/making.py": """\
def build(x):
    return [step(x) for step in STEPS]


def up(x):
    return x + 1


STEPS = (up,)
""",
    "features/scaling.py": """\
class Base:
    power = 2

    def __call__(self, x):
        return x ** self.power * self.by


class Scaler(Base):
    def __init__(self, by):
        self.by = by
""",
    "features/shapes.py": "import math\n\n\ndef area(x):\n    return round(math.pi * x * x, 3)\n",
    "plugins/__init__.py": """\
REGISTRY = {}


def register(name):
    def take(function):
        REGISTRY[name] = function
        return function
    return take


from . import builtin
""",
    "plugins/builtin.py": "from . import register\n\n\n@register('double')\ndef double(x):\n    return x * 2\n",
    "plugins/extra.py": "from . import register\n\n\n@register('half')\ndef half(x):\n    return x / 2\n",
    "lazy.py": "def late(x):\n    return x + OFFSET\n\n\nOFFSET = 9\n",
    "dynamic/__init__.py": "",
    "dynamic/mod_a.py": "def value(x):\n    return x + 1000\n",
    "data/numbers.json": "[1, 2, 3]",
    "data/plain.txt": "hello",
    "data/many/one.txt": "1",
    "data/unread.txt": "nobody",
}

CLASSES = {
    "flows.py": """\
from shop.pipeline import Pipeline, run_all
from shop import config
from headwater.flow import flow, step


@step
def fit(x):
    return Pipeline(config.SETTINGS).fit(x)


@step
def kinds(x):
    return run_all(x)


@step
def dispatch(x):
    from shop.dispatch import show
    return [show(x), show(str(x)), show([x])]


@step(seed=3)
def noisy(x):
    import random
    return random.random() + x


@step
def nested(x):
    return outer(x)


def outer(x):
    def inner(y):
        return y - SHIFT
    return [inner(v) for v in range(x)]


SHIFT = 1


class Config:
    SHIFT = 100


@flow
def main(x=3):
    return [fit(x), kinds(x), dispatch(x), noisy(x), nested(x)]
""",
    "shop/__init__.py": "",
    "shop/config.py": """\
from dataclasses import dataclass, field


@dataclass
class Settings:
    depth: int = 4
    names: tuple = ("a", "b")

    @property
    def size(self):
        return self.depth * len(self.names)


SETTINGS = Settings(depth=5)
OTHER = Settings(depth=50)
""",
    "shop/pipeline.py": '''\
from abc import ABC, abstractmethod
from functools import lru_cache, partial

from .base import Kind, Mixin
from . import kinds
from .numbers import power as raised

half = partial(raised, n=0.5)


class Pipeline(Mixin):
    weights = [1, 2]

    def __init__(self, settings):
        self.settings = settings

    def fit(self, x):
        """Fit."""
        return [self.settings.size, self.mixed(x), sum(self.weights), half(16 * x * x), self._private(x)]

    def _private(self, x):
        return -x

    def unused(self):
        return 0


def run_all(x):
    return sorted([cls.__name__, cls().run(x)] for cls in Kind.known)
''',
    "shop/base.py": """\
class Kind:
    known = []

    def __init_subclass__(cls):
        Kind.known.append(cls)

    def run(self, x):
        return x


class Mixin:
    def mixed(self, x):
        return x + 0.25
""",
    "shop/kinds.py": """\
from .base import Kind


class Plus(Kind):
    def run(self, x):
        return x + 1


class Same(Kind):
    pass
""",
    "shop/numbers.py": "def power(x, n=2):\n    return x ** n\n\n\ndef root(x):\n    return power(x, 0.5)\n",
    "shop/dispatch.py": """\
from functools import singledispatch


@singledispatch
def show(x):
    return f"any {x}"


@show.register
def _(x: int):
    return f"int {x}"


@show.register(list)
def _(x):
    return f"list of {len(x)}"


try:
    import json5 as reader
except ImportError:
    reader = None
""",
    "shop/alone.py": "def nobody():\n    return 1\n",
}


class Edit(NamedTuple):
    """One edit: its kind, the project, the file, what is replaced by what ("" for the whole file)."""

    kind: str
    project: str
    path: str
    old: str
    new: str


F, C = "functions", "classes"
EDITS = [
    Edit("helper body", F, "flows.py", "return x * factor", "return x * factor + 1"),
    Edit("helper body", F, "helpers.py", "return clip(x) / FACTOR", "return clip(x) / FACTOR + 1"),
    Edit("helper of a helper", F, "helpers.py", "return min(x, 100)", "return min(x, 1)"),
    Edit("constant", F, "helpers.py", "FACTOR = 7", "FACTOR = 8"),
    Edit("constant", F, "flows.py", "RATE = 0.5", "RATE = 0.75"),
    Edit("constant by attribute", F, "settings.py", "DEPTH = 8", "DEPTH = 9"),
    Edit("constant not used", F, "settings.py", "WIDTH = 3", "WIDTH = 4"),
    Edit("constant not used", F, "flows.py", "UNUSED = 11", "UNUSED = 12"),
    Edit("default", F, "flows.py", "factor=2", "factor=3"),
    Edit("default of a step", F, "flows.py", "def eighth(x, y=3)", "def eighth(x, y=4)"),
    Edit("closure", F, "flows.py", "make_adder(5)", "make_adder(6)"),
    Edit("closure body", F, "flows.py", "return x + n", "return x - n"),
    Edit("decorator", F, "flows.py", "return function(*args) + RATE", "return function(*args) - RATE"),
    Edit("decorator removed", F, "flows.py", "@traced\n", ""),
    Edit("changed on import", F, "flows.py", "LIMITS.append(4)", "LIMITS.append(5)"),
    Edit("changed on import", F, "helpers.py", "return 40", "return 41"),
    Edit("re-export", F, "features/__init__.py", "from .making import build", "from .making import up as build"),
    Edit("re-export", F, "features/__init__.py", "Scaler(3)", "Scaler(4)"),
    Edit("table of functions", F, "features/making.py", "STEPS = (up,)", "STEPS = (up, up)"),
    Edit("base class attribute", F, "features/scaling.py", "power = 2", "power = 3"),
    Edit("base class method", F, "features/scaling.py", "* self.by", "+ self.by"),
    Edit("registry", F, "plugins/builtin.py", "return x * 2", "return x * 3"),
    Edit("registry", F, "plugins/extra.py", "'half'", "'halved'"),
    Edit("registry", F, "plugins/extra.py", "return x / 2", "return x / 4"),
    Edit("registry function", F, "plugins/__init__.py", "REGISTRY[name] = function", "REGISTRY[name + '!'] = function"),
    Edit("lazy import", F, "lazy.py", "OFFSET = 9", "OFFSET = 10"),
    Edit("lazy import", F, "lazy.py", "return x + OFFSET", "return x - OFFSET"),
    Edit("star import", F, "tools.py", "LOUD = 3", "LOUD = 4"),
    Edit("module named at run time", F, "dynamic/mod_a.py", "1000", "2000"),
    Edit("declared file", F, "data/numbers.json", "[1, 2, 3]", "[1, 2, 4]"),
    Edit("undeclared file", F, "data/plain.txt", "hello", "goodbye"),
    Edit("file nobody reads", F, "data/unread.txt", "nobody", "somebody"),
    Edit("new file in a folder", F, "data/many/two.txt", "", "2"),
    Edit("environment", F, "$HW_CORPUS", "", "set"),
    Edit("comment", F, "flows.py", "# plain", "# plainer"),
    Edit("comment", F, "helpers.py", "def clip(x):", "def clip(x):  # at most a hundred"),
    Edit("docstring", F, "flows.py", '"""Times two."""', '"""Times two, always."""'),
    Edit("docstring", F, "helpers.py", '"""Helpers."""', '"""Useful things."""'),
    Edit(
        "formatting", F, "helpers.py", "return clip(x) / FACTOR", "return (\n        clip(x)\n        / FACTOR\n    )"
    ),
    Edit("unrelated function", F, "helpers.py", "return SPARE", "return SPARE + 1"),
    Edit("new function", F, "helpers.py", "def base():", "def added():\n    return 3\n\n\ndef base():"),
    Edit("new module", F, "another.py", "", "VALUE = 1\n"),
    Edit(
        "moved function",
        F,
        "helpers.py",
        "def clip(x):\n    return min(x, 100)\n\n\ndef base():\n    return 40\n",
        "def base():\n    return 40\n\n\ndef clip(x):\n    return min(x, 100)\n",
    ),
    Edit(
        "step body", F, "flows.py", "return local(x) + helpers.normalise(x)", "return local(x) - helpers.normalise(x)"
    ),
    Edit("other library function", F, "features/shapes.py", "math.pi", "math.e"),
    Edit("method", C, "shop/pipeline.py", "return -x", "return -2 * x"),
    Edit("class attribute", C, "shop/pipeline.py", "weights = [1, 2]", "weights = [1, 3]"),
    Edit("mixin method", C, "shop/base.py", "x + 0.25", "x + 0.5"),
    Edit("subclass of a registering base", C, "shop/kinds.py", "return x + 1", "return x + 2"),
    Edit(
        "new subclass",
        C,
        "shop/kinds.py",
        "class Same(Kind):\n    pass",
        "class Same(Kind):\n    pass\n\n\nclass Third(Kind):\n    pass",
    ),
    Edit("base method", C, "shop/base.py", "return x\n\n", "return x * 9\n\n"),
    Edit("dataclass default", C, "shop/config.py", '("a", "b")', '("a", "b", "c")'),
    Edit("dataclass instance", C, "shop/config.py", "SETTINGS = Settings(depth=5)", "SETTINGS = Settings(depth=6)"),
    Edit("other instance", C, "shop/config.py", "OTHER = Settings(depth=50)", "OTHER = Settings(depth=51)"),
    Edit("property", C, "shop/config.py", "self.depth * len", "self.depth + len"),
    Edit("partial", C, "shop/pipeline.py", "n=0.5", "n=0.25"),
    Edit("renamed import", C, "shop/numbers.py", "return x ** n", "return x ** n + 1"),
    Edit("renamed import", C, "shop/numbers.py", "return power(x, 0.5)", "return power(x, 0.4)"),
    Edit("single dispatch", C, "shop/dispatch.py", 'f"int {x}"', 'f"whole {x}"'),
    Edit("single dispatch", C, "shop/dispatch.py", "list of", "row of"),
    Edit("single dispatch", C, "shop/dispatch.py", 'f"any {x}"', 'f"some {x}"'),
    Edit("seed", C, "flows.py", "seed=3", "seed=4"),
    Edit("inner function", C, "flows.py", "return y - SHIFT", "return y + SHIFT"),
    Edit("constant", C, "flows.py", "SHIFT = 1\n\n", "SHIFT = 2\n\n"),
    Edit("same name elsewhere", C, "flows.py", "SHIFT = 100", "SHIFT = 200"),
    Edit("module nobody imports", C, "shop/alone.py", "return 1", "return 2"),
    Edit("docstring", C, "shop/pipeline.py", '"""Fit."""', '"""Fit well."""'),
    Edit("comment", C, "shop/base.py", "known = []", "known = []  # in order of definition"),
    Edit("method nobody calls", C, "shop/pipeline.py", "return 0", "return 1"),
]
PROJECTS = {F: FUNCTIONS, C: CLASSES}
