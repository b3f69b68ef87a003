"""The code that a step reaches: from its function through every name it mentions, across the project's modules.

Beside what is mentioned, it holds what runs when the modules are imported and may change what is mentioned: a
decorator that registers, a list that is appended to, a class that a base class notes down, a patched function.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from headwater.canonical import digest_of

from .facts import Facts, Hazard, Statement, read_facts
from .tree import Tree

_BUILTINS = frozenset(dir(builtins))
_REFLECTING = frozenset({"globals", "eval", "exec"})
# What these do when they are called for their effect, or decorate, changes nothing that a result depends on.
_HARMLESS = frozenset({
    "abc", "asyncio", "click", "collections", "contextlib", "dataclasses", "enum", "functools", "headwater", "hw",
    "itertools", "logging", "numba", "pytest", "tqdm", "types", "typer", "typing", "typing_extensions", "unittest",
    "warnings",
})  # fmt: skip

# Modules of Python that use hardly any but one another: what is done to other modules does not reach through them.
_EVERYWHERE = frozenset({
    "__future__", "abc", "array", "bisect", "builtins", "cmath", "collections", "contextlib", "copy", "dataclasses",
    "datetime", "decimal", "enum", "fractions", "functools", "heapq", "importlib", "io", "itertools", "json", "locale",
    "math", "numbers", "operator", "os", "pathlib", "random", "re", "statistics", "string", "struct", "sys", "time",
    "tomllib", "types", "typing", "warnings", "weakref", "headwater",
})  # fmt: skip

Place = tuple[str, int]


class Item(msgspec.Struct, frozen=True, array_like=True):
    """One statement of a closure: what it is called, its digest, and where it stands."""

    label: str
    digest: str
    path: str
    line: int


class Closure(msgspec.Struct, frozen=True):
    """The code of a step. ``modules`` are all that importing it runs; ``outside`` are top-level names of others'.

    ``inner`` are others' modules that functions import when they are called.
    """

    digest: str
    items: list[Item]
    modules: list[str]
    outside: list[str]
    hazards: list[tuple[str, Hazard]]
    inner: list[str]


class Analysis:
    """Closures over one tree of code. Facts are taken from ``known`` (by source digest) where they are there."""

    def __init__(self, tree: Tree, known: dict[str, Facts] | None = None) -> None:
        self.tree = tree
        self.known = known if known is not None else {}
        self.read = 0
        self.subclasses_asked = any(b"__subclasses__" in file.source for file in tree.files.values())
        self._facts: dict[str, Facts] = {}
        self._touched: dict[Place, Touched] = {}
        self._resolved: dict[tuple[str, str], list[Place | str]] = {}
        self._packages = {name[:at] for name in tree.files for at in range(len(name)) if name[at] == "."}

    def facts(self, module: str) -> Facts:
        """Return the facts of a module of the tree."""
        here = self._facts.get(module)
        if here is not None:
            return here
        file = self.tree.files[module]
        key = f"{module}:{file.digest}"
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = read_facts(module, self.tree.folder_of(module), file.source)
            self.read += 1
        self._facts[module] = found
        return found

    def closure(self, module: str, name: str, also: Iterable[str] = ()) -> Closure:
        """Return the closure of a global name of a module; ``also`` are modules that are imported too."""
        return _Walk(self, [module, *also]).from_name(module, name)

    def has(self, module: str) -> bool:
        """Tell whether a module, or a folder of modules, of that name is the project's."""
        return module in self.tree.files or module in self._packages

    def resolve(self, module: str, chain: str) -> list[Place | str]:
        """Return what a chain means: statements, ``module:`` for a whole module, ``outside:`` for others' code."""
        found = self._resolved.get((module, chain))
        if found is None:
            found = self._resolved[module, chain] = list(self._meanings(module, chain))
        return found

    def _meanings(self, module: str, chain: str) -> Iterator[Place | str]:
        if chain.startswith("@"):
            source, _, rest = chain[1:].partition(":")
            yield f"import:{source}"
            if rest == "*":
                yield from self._whole(source)
            elif rest:
                yield from self._path(source, rest.split("."), frozenset())
            return
        name, *rest_parts = chain.split(".")
        found = list(self._name(module, name, rest_parts, frozenset()))
        if found:
            yield from found
        elif name in _REFLECTING or (name not in _BUILTINS and "__getattr__" in self.facts(module).bindings):
            yield f"module:{module}"

    def _whole(self, module: str) -> Iterator[str]:
        yield f"module:{module}" if self.has(module) else f"outside:{module.partition('.')[0]}"

    def _name(self, module: str, name: str, rest: list[str], seen: frozenset[tuple[str, str]]) -> Iterator[Place | str]:
        if (module, name) in seen:
            return
        seen = seen | {(module, name)}
        facts = self.facts(module)
        hit = False
        for number in facts.bindings.get(name, ()):
            hit = True
            yield module, number
        for imported in facts.imports.get(name, ()):
            hit = True
            parts = rest if imported.name is None else [imported.name, *rest]
            yield from self._path(imported.module, parts, seen)
        if not hit:
            for star in facts.stars:
                if star in self.tree.files:
                    yield from self._name(star, name, rest, seen)
                elif not self.has(star):
                    yield f"outside:{star.partition('.')[0]}"

    def _path(self, module: str, parts: list[str], seen: frozenset[tuple[str, str]]) -> Iterator[Place | str]:
        if not self.has(module):
            yield f"outside:{module.partition('.')[0]}"
            return
        yield f"import:{module}"
        if not parts:
            yield f"module:{module}"
            return
        if module in self.tree.files:
            found = list(self._name(module, parts[0], parts[1:], seen))
            if found:
                yield from found
                return
        if self.has(f"{module}.{parts[0]}"):
            yield from self._path(f"{module}.{parts[0]}", parts[1:], seen)
        elif not (parts[0].startswith("__") and parts[0].endswith("__")):
            yield f"module:{module}"

    def imported_by(self, modules: Iterable[str]) -> set[str]:
        """Return every module of the project that importing these runs, packages included."""
        found: set[str] = set()
        waiting = list(modules)
        while waiting:
            module = waiting.pop()
            if module in found or not self.has(module):
                continue
            found.add(module)
            if "." in module:
                waiting.append(module.rpartition(".")[0])
            if module in self.tree.files:
                waiting.extend(self.facts(module).eager)
        return found

    def touched(self, place: Place) -> Touched:
        """Return what a statement may change when its module is imported."""
        if place not in self._touched:
            self._touched[place] = Touched(frozenset(), frozenset())
            self._touched[place] = _Touching(self, place).found()
        return self._touched[place]


class Touched(NamedTuple):
    """What a statement may change on import: variables as (module, name), and others' top-level modules."""

    names: frozenset[tuple[str, str]]
    outside: frozenset[str]


class _Touching:
    """Follows what one statement runs on import."""

    def __init__(self, analysis: Analysis, place: Place) -> None:
        self.analysis = analysis
        self.place = place
        self.names: set[tuple[str, str]] = set()
        self.outside: set[str] = set()
        self.seen: set[Place] = set()
        self.waiting: list[tuple[str, str]] = []
        self.built: set[Place] = set()
        self._builds = ""

    def found(self) -> Touched:
        module, number = self.place
        own = self.analysis.facts(module).statements[number]
        self._by_name(module, own)
        self._outward(module, own.effects.outward)
        self.waiting = [(module, chain) for chain in own.effects.acting]
        self._only_built(module, own)
        for base in own.bases:
            self._noting(module, base, frozenset())
        while self.waiting:
            self._follow(*self.waiting.pop())
        return Touched(frozenset(self.names), frozenset(self.outside))

    def _only_built(self, module: str, own: Statement) -> None:
        """Of a class that the statement makes an instance of, follow no more than that runs, if it can be told."""
        builds = self._builds = own.effects.builds
        for target in self.analysis.resolve(module, builds) if builds else ():
            if isinstance(target, str) or target == self.place:
                continue
            making = self.analysis.facts(target[0]).statements[target[1]].effects.building
            if making is not None:
                self.built.add(target)
                self.waiting.extend((target[0], each) for each in making)

    def _follow(self, home: str, chain: str) -> None:
        for target in self.analysis.resolve(home, chain):
            if isinstance(target, str):
                continue
            statement = self.analysis.facts(target[0]).statements[target[1]]
            if statement.defines and "." in chain and chain.rpartition(".")[2] not in statement.binds:
                self._touch(target)
            if target in self.seen or (target in self.built and (home, chain) == (self.place[0], self._builds)):
                continue
            self.seen.add(target)
            if not statement.constant and not statement.defines:
                self._touch(target)
            if target != self.place:
                self._outward(target[0], statement.effects.when_called if statement.defines else [])
                self.waiting.extend((target[0], each) for each in statement.mentions)

    def _touch(self, target: Place) -> None:
        statement = self.analysis.facts(target[0]).statements[target[1]]
        self.names.update((target[0], name) for name in statement.binds)

    def _outward(self, module: str, chains: list[str]) -> None:
        """Note changes of what is not the project's, and of functions and modules that are."""
        for chain in chains:
            for target in self.analysis.resolve(module, chain):
                if isinstance(target, str):
                    kind, _, name = target.partition(":")
                    if kind == "outside" and name not in _HARMLESS:
                        self.outside.add(name)
                elif "." in chain:
                    self._touch(target)

    def _by_name(self, module: str, own: Statement) -> None:
        """Note functions and classes that a statement patches or calls a method of, and whole modules at its hands."""
        effects = own.effects
        for chain in effects.acting:
            last = chain.rpartition(".")[2]
            for target in self.analysis.resolve(module, chain):
                if isinstance(target, str):
                    kind, _, name = target.partition(":")
                    if kind == "module" and name in self.analysis.tree.files:
                        self.names.update((name, each) for each in self.analysis.facts(name).bindings)
                    continue
                binds = self.analysis.facts(target[0]).statements[target[1]].binds
                if chain in effects.stored or effects.indirect or ("." in chain and last not in binds):
                    self._touch(target)
                    self._aliased(target)

    def _aliased(self, target: Place) -> None:
        """What is changed under a second name is changed under its first."""
        alias = self.analysis.facts(target[0]).statements[target[1]].effects.alias
        for each in self.analysis.resolve(target[0], alias) if alias else ():
            if not isinstance(each, str) and each != target:
                self._touch(each)

    def _noting(self, module: str, base: str, seen: frozenset[Place]) -> None:
        """Note the classes above that learn of the class, and what they do then."""
        for target in self.analysis.resolve(module, base):
            if isinstance(target, str) or target in seen:
                continue
            statement = self.analysis.facts(target[0]).statements[target[1]]
            if not statement.defines or statement.notes:
                self.waiting.append((module, base))
            if statement.notes or self.analysis.subclasses_asked:
                self._touch(target)
            for each in statement.bases:
                self._noting(target[0], each, seen | {target})


class _Walk:
    """One closure in the making."""

    def __init__(self, analysis: Analysis, roots: list[str]) -> None:
        self.analysis = analysis
        self.roots = set(roots)
        self.places: set[Place] = set()
        self.names: set[tuple[str, str]] = set()
        self.outside: set[str] = set()
        self.whole: set[str] = set()
        self.inner: set[str] = set()
        self.waiting: list[Place] = []

    def from_name(self, module: str, name: str) -> Closure:
        for target in self.analysis.resolve(module, name):
            self._take(target)
        self._spread()
        while self._add_effects():
            self._spread()
        return self._closed()

    def _spread(self) -> None:
        while self.waiting:
            module, number = self.waiting.pop()
            for chain in self.analysis.facts(module).statements[number].mentions:
                for target in self.analysis.resolve(module, chain):
                    self._take(target)

    def _take(self, target: Place | str) -> None:
        if isinstance(target, tuple):
            self._add(target)
            return
        kind, _, name = target.partition(":")
        if kind == "outside":
            self.outside.add(name)
        elif kind == "import" and not self.analysis.has(name):
            self.inner.add(name)
        else:
            self.roots.add(name)
        if kind == "module" and name in self.analysis.tree.files and name not in self.whole:
            self.whole.add(name)
            for number in range(len(self.analysis.facts(name).statements)):
                self._add((name, number))
            for found in self.analysis.facts(name).imports:
                for each in self.analysis.resolve(name, found):
                    self._take(each)

    def _add(self, place: Place) -> None:
        if place in self.places:
            return
        self.places.add(place)
        self.waiting.append(place)
        module, number = place
        statement = self.analysis.facts(module).statements[number]
        if not statement.constant or statement.binds:
            self.names.update((module, name) for name in statement.binds)

    def _add_effects(self) -> bool:
        before = len(self.places)
        for module in self.analysis.imported_by(self.roots):
            if module not in self.analysis.tree.files:
                continue
            facts = self.analysis.facts(module)
            for number, statement in enumerate(facts.statements):
                place = (module, number)
                if place not in self.places and _acts(statement) and self._matters(place):
                    self._add(place)
        return len(self.places) > before

    def _matters(self, place: Place) -> bool:
        touched = self.analysis.touched(place)
        if any(self._may_use(each) for each in touched.outside):
            return True
        own = {(place[0], name) for name in self.analysis.facts(place[0]).statements[place[1]].binds}
        return not self.names.isdisjoint(touched.names - own)

    def _may_use(self, patched: str) -> bool:
        """Tell whether the step may meet a change of a module of others, itself or through what it uses of others."""
        return patched in self.outside or patched in _EVERYWHERE or not self.outside <= _EVERYWHERE

    def _closed(self) -> Closure:
        tree, items, ordered = self.analysis.tree, [], []
        hazards: list[tuple[str, Hazard]] = []
        importing = {target for place in self.places for target in self._run_on_import(place)}
        for module, number in sorted(self.places):
            statement = self.analysis.facts(module).statements[number]
            path = tree.files[module].path
            label = f"{module}.{', '.join(statement.binds)}" if statement.binds else f"{module} (line {statement.line})"
            items.append(Item(label, statement.digest, path, statement.line))
            # Functions and classes may move about; what runs on import may not.
            ordered.append([module, statement.digest] if statement.ordered else [module, "", statement.digest])
            # What a registry or a decorator notes down on import is in the key: it is no hazard of the step.
            on_import = (module, number) in importing
            hazards += [(path, each) for each in statement.hazards if not (on_import and "global" in each.text)]
        modules = sorted(self.analysis.imported_by(self.roots))
        for module in modules:
            if module in tree.files:
                unused = self.analysis.facts(module).unused
                self.outside.update(each.partition(".")[0] for each in unused if not self.analysis.has(each))
        fixed = [each for each in ordered if len(each) == 2]
        free = sorted(each for each in ordered if len(each) == 3)
        asked = self._asked(modules)
        if asked:
            place, asking = next(each for each in self._statements() if each[1].asks)
            label = f"a text that {place[0]}.{', '.join(asking.binds)} asks for"
            items.append(Item(label, digest_of(asked), tree.files[place[0]].path, asking.line))
        digest = digest_of([fixed, free, asked])
        return Closure(digest, items, modules, sorted(self.outside), hazards, sorted(self.inner))

    def _run_on_import(self, place: Place) -> Iterator[Place | str]:
        module, number = place
        for chain in self.analysis.facts(module).statements[number].effects.acting:
            yield from self.analysis.resolve(module, chain)

    def _statements(self) -> Iterator[tuple[Place, Statement]]:
        for place in sorted(self.places):
            yield place, self.analysis.facts(place[0]).statements[place[1]]

    def _asked(self, modules: list[str]) -> list[str]:
        """Return the docstrings, or the whole source, where the code itself asks for them."""
        statements = [statement for _, statement in self._statements()]
        asked = {statement.asks for statement in statements}
        files = [self.analysis.tree.files[name] for name in modules if name in self.analysis.tree.files]
        if "source" in asked:
            return [file.digest for file in files]
        if "docs" in asked:
            texts = [self.analysis.facts(file.module).docs for file in files]
            return sorted({each for each in (*texts, *(s.docs for s in statements)) if each})
        return []


def _acts(statement: Statement) -> bool:
    return bool(statement.effects.acting or statement.effects.outward or statement.bases)
