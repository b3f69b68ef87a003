"""A project of classes, dataclasses, mixins, subclasses that register and single dispatch; and edits of it."""

from __future__ import annotations

from .edits import Edit

NAME = "classes"

FILES = {
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

EDITS = [
    Edit("method", NAME, "shop/pipeline.py", "return -x", "return -2 * x"),
    Edit("class attribute", NAME, "shop/pipeline.py", "weights = [1, 2]", "weights = [1, 3]"),
    Edit("mixin method", NAME, "shop/base.py", "x + 0.25", "x + 0.5"),
    Edit("subclass of a registering base", NAME, "shop/kinds.py", "return x + 1", "return x + 2"),
    Edit(
        "new subclass",
        NAME,
        "shop/kinds.py",
        "class Same(Kind):\n    pass",
        "class Same(Kind):\n    pass\n\n\nclass Third(Kind):\n    pass",
    ),
    Edit("base method", NAME, "shop/base.py", "return x\n\n", "return x * 9\n\n"),
    Edit("dataclass default", NAME, "shop/config.py", '("a", "b")', '("a", "b", "c")'),
    Edit("dataclass instance", NAME, "shop/config.py", "SETTINGS = Settings(depth=5)", "SETTINGS = Settings(depth=6)"),
    Edit("other instance", NAME, "shop/config.py", "OTHER = Settings(depth=50)", "OTHER = Settings(depth=51)"),
    Edit("property", NAME, "shop/config.py", "self.depth * len", "self.depth + len"),
    Edit("partial", NAME, "shop/pipeline.py", "n=0.5", "n=0.25"),
    Edit("renamed import", NAME, "shop/numbers.py", "return x ** n", "return x ** n + 1"),
    Edit("renamed import", NAME, "shop/numbers.py", "return power(x, 0.5)", "return power(x, 0.4)"),
    Edit("single dispatch", NAME, "shop/dispatch.py", 'f"int {x}"', 'f"whole {x}"'),
    Edit("single dispatch", NAME, "shop/dispatch.py", "list of", "row of"),
    Edit("single dispatch", NAME, "shop/dispatch.py", 'f"any {x}"', 'f"some {x}"'),
    Edit("seed", NAME, "flows.py", "seed=3", "seed=4"),
    Edit("inner function", NAME, "flows.py", "return y - SHIFT", "return y + SHIFT"),
    Edit("constant", NAME, "flows.py", "SHIFT = 1\n\n", "SHIFT = 2\n\n"),
    Edit("same name elsewhere", NAME, "flows.py", "SHIFT = 100", "SHIFT = 200"),
    Edit("module nobody imports", NAME, "shop/alone.py", "return 1", "return 2"),
    Edit("docstring", NAME, "shop/pipeline.py", '"""Fit."""', '"""Fit well."""'),
    Edit("comment", NAME, "shop/base.py", "known = []", "known = []  # in order of definition"),
    Edit("method nobody calls", NAME, "shop/pipeline.py", "return 0", "return 1"),
]
