"""The code that a step reaches: from its function through every name it mentions, across the project's modules.

Beside what is mentioned, it holds what runs when the modules are imported and may change what is mentioned: a
decorator that registers, a list that is appended to, a class that a base class notes down, a patched function.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator

import msgspec

from headwater.canonical import digest_of

from .facts import Facts, Hazard, Statement, read_facts
from .tree import Tree

_BUILTINS = frozenset(dir(builtins))
_REFLECTING = frozenset({"globals", "eval", "exec"})
_HARMLESS = frozenset({"logging", "warnings", "print", "headwater", "hw"})

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
        self._touched: dict[Place, frozenset[tuple[str, str]]] = {}

    def facts(self, module: str) -> Facts:
        """Return the facts of a module of the tree."""
        file = self.tree.files[module]
        key = f"{module}:{file.digest}"
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = read_facts(module, self.tree.folder_of(module), file.source)
            self.read += 1
        return found

    def closure(self, module: str, name: str, also: Iterable[str] = ()) -> Closure:
        """Return the closure of a global name of a module; ``also`` are modules that are imported too."""
        return _Walk(self, [module, *also]).from_name(module, name)

    def resolve(self, module: str, chain: str) -> Iterator[Place | str]:
        """Yield what a chain means: statements, ``module:`` for a whole module, ``outside:`` for others' code."""
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
        yield f"module:{module}" if self.tree.has(module) else f"outside:{module.partition('.')[0]}"

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
                elif not self.tree.has(star):
                    yield f"outside:{star.partition('.')[0]}"

    def _path(self, module: str, parts: list[str], seen: frozenset[tuple[str, str]]) -> Iterator[Place | str]:
        if not self.tree.has(module):
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
        if self.tree.has(f"{module}.{parts[0]}"):
            yield from self._path(f"{module}.{parts[0]}", parts[1:], seen)
        elif not (parts[0].startswith("__") and parts[0].endswith("__")):
            yield f"module:{module}"

    def imported_by(self, modules: Iterable[str]) -> set[str]:
        """Return every module of the project that importing these runs, packages included."""
        found: set[str] = set()
        waiting = list(modules)
        while waiting:
            module = waiting.pop()
            if module in found or not self.tree.has(module):
                continue
            found.add(module)
            if "." in module:
                waiting.append(module.rpartition(".")[0])
            if module in self.tree.files:
                waiting.extend(self.facts(module).eager)
        return found

    def touched(self, place: Place) -> frozenset[tuple[str, str]]:
        """Return the variables that a statement may change when its module is imported, as (module, name)."""
        if place not in self._touched:
            self._touched[place] = frozenset()
            self._touched[place] = frozenset(self._find_touched(place))
        return self._touched[place]

    def _find_touched(self, place: Place) -> Iterator[tuple[str, str]]:
        module, number = place
        own = self.facts(module).statements[number]
        yield from self._touched_by_name(module, own)
        waiting: list[tuple[str, str]] = [(module, chain) for chain in own.acting]
        seen: set[Place] = set()
        while waiting:
            home, chain = waiting.pop()
            for target in self.resolve(home, chain):
                if isinstance(target, str) or target in seen:
                    continue
                seen.add(target)
                statement = self.facts(target[0]).statements[target[1]]
                if not statement.constant and not statement.defines:
                    yield from ((target[0], name) for name in statement.binds)
                if target != place:
                    waiting.extend((target[0], each) for each in statement.mentions)

    def _touched_by_name(self, module: str, own: Statement) -> Iterator[tuple[str, str]]:
        """Yield functions and classes that a statement patches, calls a method of, or is a subclass of."""
        for chain in own.acting:
            last = chain.rpartition(".")[2]
            for target in self.resolve(module, chain):
                if isinstance(target, str):
                    kind, _, name = target.partition(":")
                    if kind == "module" and name in self.tree.files:
                        yield from ((name, each) for each in self.facts(name).bindings)
                    continue
                binds = self.facts(target[0]).statements[target[1]].binds
                if chain in own.stored or ("." in chain and last not in binds):
                    yield from ((target[0], name) for name in binds)
        for base in own.bases:
            yield from self._noting(module, base, frozenset())

    def _noting(self, module: str, base: str, seen: frozenset[Place]) -> Iterator[tuple[str, str]]:
        for target in self.resolve(module, base):
            if isinstance(target, str) or target in seen:
                continue
            statement = self.facts(target[0]).statements[target[1]]
            if statement.notes or self.subclasses_asked:
                yield from ((target[0], name) for name in statement.binds)
            for each in statement.bases:
                yield from self._noting(target[0], each, seen | {target})


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
        elif kind == "import" and not self.analysis.tree.has(name):
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
                if place not in self.places and statement.acting and self._matters(place, statement):
                    self._add(place)
        return len(self.places) > before

    def _matters(self, place: Place, statement: Statement) -> bool:
        if not self.names.isdisjoint(self.analysis.touched(place) - {(place[0], name) for name in statement.binds}):
            return True
        if not statement.outer:
            return False
        for chain in statement.acting:
            for target in self.analysis.resolve(place[0], chain):
                kind, _, name = target.partition(":") if isinstance(target, str) else ("", "", "")
                if kind == "outside" and name not in _HARMLESS:
                    return True
        return False

    def _closed(self) -> Closure:
        tree, items, ordered = self.analysis.tree, [], []
        hazards: list[tuple[str, Hazard]] = []
        for module, number in sorted(self.places):
            statement = self.analysis.facts(module).statements[number]
            path = tree.files[module].path
            label = f"{module}.{', '.join(statement.binds)}" if statement.binds else f"{module} (line {statement.line})"
            items.append(Item(label, statement.digest, path, statement.line))
            # Functions and classes may move about; what runs on import may not.
            ordered.append([module, statement.digest] if statement.ordered else [module, "", statement.digest])
            hazards += [(path, hazard) for hazard in statement.hazards]
        modules = sorted(self.analysis.imported_by(self.roots))
        for module in modules:
            if module in tree.files:
                unused = self.analysis.facts(module).unused
                self.outside.update(each.partition(".")[0] for each in unused if not tree.has(each))
        fixed = [each for each in ordered if len(each) == 2]
        free = sorted(each for each in ordered if len(each) == 3)
        return Closure(digest_of([fixed, free]), items, modules, sorted(self.outside), hazards, sorted(self.inner))
