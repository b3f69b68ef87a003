"""A project of functions, modules, a package, a registry and data files; and edits of it."""

from __future__ import annotations

from .edits import Edit

NAME = "functions"

FILES = {
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

EDITS = [
    Edit("helper body", NAME, "flows.py", "return x * factor", "return x * factor + 1"),
    Edit("helper body", NAME, "helpers.py", "return clip(x) / FACTOR", "return clip(x) / FACTOR + 1"),
    Edit("helper of a helper", NAME, "helpers.py", "return min(x, 100)", "return min(x, 1)"),
    Edit("constant", NAME, "helpers.py", "FACTOR = 7", "FACTOR = 8"),
    Edit("constant", NAME, "flows.py", "RATE = 0.5", "RATE = 0.75"),
    Edit("constant by attribute", NAME, "settings.py", "DEPTH = 8", "DEPTH = 9"),
    Edit("constant not used", NAME, "settings.py", "WIDTH = 3", "WIDTH = 4"),
    Edit("constant not used", NAME, "flows.py", "UNUSED = 11", "UNUSED = 12"),
    Edit("default", NAME, "flows.py", "factor=2", "factor=3"),
    Edit("default of a step", NAME, "flows.py", "def eighth(x, y=3)", "def eighth(x, y=4)"),
    Edit("closure", NAME, "flows.py", "make_adder(5)", "make_adder(6)"),
    Edit("closure body", NAME, "flows.py", "return x + n", "return x - n"),
    Edit("decorator", NAME, "flows.py", "return function(*args) + RATE", "return function(*args) - RATE"),
    Edit("decorator removed", NAME, "flows.py", "@traced\n", ""),
    Edit("changed on import", NAME, "flows.py", "LIMITS.append(4)", "LIMITS.append(5)"),
    Edit("changed on import", NAME, "helpers.py", "return 40", "return 41"),
    Edit("re-export", NAME, "features/__init__.py", "from .making import build", "from .making import up as build"),
    Edit("re-export", NAME, "features/__init__.py", "Scaler(3)", "Scaler(4)"),
    Edit("table of functions", NAME, "features/making.py", "STEPS = (up,)", "STEPS = (up, up)"),
    Edit("base class attribute", NAME, "features/scaling.py", "power = 2", "power = 3"),
    Edit("base class method", NAME, "features/scaling.py", "* self.by", "+ self.by"),
    Edit("registry", NAME, "plugins/builtin.py", "return x * 2", "return x * 3"),
    Edit("registry", NAME, "plugins/extra.py", "'half'", "'halved'"),
    Edit("registry", NAME, "plugins/extra.py", "return x / 2", "return x / 4"),
    Edit(
        "registry function", NAME, "plugins/__init__.py", "REGISTRY[name] = function", "REGISTRY[name + '!'] = function"
    ),
    Edit("lazy import", NAME, "lazy.py", "OFFSET = 9", "OFFSET = 10"),
    Edit("lazy import", NAME, "lazy.py", "return x + OFFSET", "return x - OFFSET"),
    Edit("star import", NAME, "tools.py", "LOUD = 3", "LOUD = 4"),
    Edit("module named at run time", NAME, "dynamic/mod_a.py", "1000", "2000"),
    Edit("declared file", NAME, "data/numbers.json", "[1, 2, 3]", "[1, 2, 4]"),
    Edit("undeclared file", NAME, "data/plain.txt", "hello", "goodbye"),
    Edit("file nobody reads", NAME, "data/unread.txt", "nobody", "somebody"),
    Edit("new file in a folder", NAME, "data/many/two.txt", "", "2"),
    Edit("environment", NAME, "$HW_CORPUS", "", "set"),
    Edit("comment", NAME, "flows.py", "# plain", "# plainer"),
    Edit("comment", NAME, "helpers.py", "def clip(x):", "def clip(x):  # at most a hundred"),
    Edit("docstring", NAME, "flows.py", '"""Times two."""', '"""Times two, always."""'),
    Edit("docstring", NAME, "helpers.py", '"""Helpers."""', '"""Useful things."""'),
    Edit("unrelated function", NAME, "helpers.py", "return SPARE", "return SPARE + 1"),
    Edit("new function", NAME, "helpers.py", "def base():", "def added():\n    return 3\n\n\ndef base():"),
    Edit("new module", NAME, "another.py", "", "VALUE = 1\n"),
    Edit(
        "moved function",
        NAME,
        "helpers.py",
        "def clip(x):\n    return min(x, 100)\n\n\ndef base():\n    return 40\n",
        "def base():\n    return 40\n\n\ndef clip(x):\n    return min(x, 100)\n",
    ),
    Edit("other library function", NAME, "features/shapes.py", "math.pi", "math.e"),
    Edit(
        "formatting",
        NAME,
        "helpers.py",
        "return clip(x) / FACTOR",
        "return (\n        clip(x)\n        / FACTOR\n    )",
    ),
    Edit(
        "step body",
        NAME,
        "flows.py",
        "return local(x) + helpers.normalise(x)",
        "return local(x) - helpers.normalise(x)",
    ),
]
