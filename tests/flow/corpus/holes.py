"""Memories with a hole: one ingredient of the key is left out, and the corpus has to see it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headwater.canonical import digest_of
from headwater.flow import closure, distributions, keys, mentions, reads

HOLES = {
    "helpers": ("functions", "helper body"),
    "effects": ("functions", "registry"),
    "lazy": ("functions", "lazy import"),
    "reads": ("functions", "undeclared file"),
    "modules": ("functions", "module named at run time"),
    "environment": ("functions", "environment"),
    "files": ("functions", "declared file"),
    "constants": ("functions", "constant"),
    "seed": ("classes", "seed"),
    "decorators": ("modern", "decorator"),
    "defaults": ("modern", "default from a constant"),
    "bases": ("classes", "mixin method"),
    "metaclasses": ("modern", "new subclass"),
    "stars": ("modern", "star import"),
    "blocks": ("modern", "monkeypatch in a block"),
    "libraries": ("modern", "package version"),
    "links": ("modern", "symbolic link"),
    "docstrings": ("modern", "docstring of what asks for its own"),
}
"""The hole, and the project and kind of the edits that show it."""


def plant(monkeypatch: pytest.MonkeyPatch, hole: str) -> None:
    """Leave one ingredient out of the keys."""
    _PLANTS[hole](monkeypatch)


def _helpers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(closure._Walk, "_spread", lambda self: self.waiting.clear())


def _effects(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(closure._Walk, "_add_effects", lambda self: False)


def _blind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reads.Now, "changed", lambda self, given: None)


def _lazy(patch: pytest.MonkeyPatch) -> None:
    plain = closure.Analysis.resolve
    patch.setattr(closure.Analysis, "resolve", lambda s, m, c: [] if c.startswith("@") else plain(s, m, c))
    _blind(patch)


def _call_without(patch: pytest.MonkeyPatch, **changes: Any) -> None:
    plain = keys.Call.digest
    patch.setattr(keys.Call, "digest", lambda self: plain(msgspec.structs.replace(self, **changes)))
    _blind(patch)


def _constants(patch: pytest.MonkeyPatch) -> None:
    add = closure._Walk._add
    patch.setattr(closure._Walk, "_add", lambda s, place: None if _is_constant(s, place) else add(s, place))


def _is_constant(walk: Any, place: tuple[str, int]) -> bool:
    return bool(walk.analysis.facts(place[0]).statements[place[1]].constant)


def _seed(patch: pytest.MonkeyPatch) -> None:
    plain = closure._Walk._closed

    def closed(walk: Any) -> Any:
        found = plain(walk)
        items = [item for item in found.items if "noisy" not in item.label]
        return msgspec.structs.replace(found, items=items, digest=digest_of([item.digest for item in items]))

    patch.setattr(closure._Walk, "_closed", closed)
    _call_without(patch, seed=None)


def _without_parts(patch: pytest.MonkeyPatch, kind: str, *names: str) -> None:
    """Read facts of code as if some parts of its functions and classes mentioned nothing."""
    plain = getattr(mentions.Mentions, kind)

    def visit(self: Any, node: Any) -> None:
        kept = {name: getattr(node, name) for name in names}
        for name in names:
            setattr(node, name, [])
        plain(self, node)
        for name, value in kept.items():
            setattr(node, name, value)

    patch.setattr(mentions.Mentions, kind, visit)


def _blocks(patch: pytest.MonkeyPatch) -> None:
    plain = closure._Touching._outward

    def outward(self: Any, module: str, chains: list[str]) -> None:
        own = self.analysis.facts(self.place[0]).statements[self.place[1]]
        if not own.effects.indirect and not (own.binds and not own.defines):
            plain(self, module, chains)

    patch.setattr(closure._Touching, "_outward", outward)


def _links(patch: pytest.MonkeyPatch) -> None:
    def digest(path: Any) -> str:
        return reads.ABSENT if "current" in str(path) else plain(path)

    plain = reads.file_digest
    patch.setattr(reads, "file_digest", digest)
    changed = reads.Now.changed
    patch.setattr(
        reads.Now, "changed", lambda s, given: changed(s, [each for each in given if "current" not in each.name])
    )


def _no_stars(patch: pytest.MonkeyPatch) -> None:
    plain = closure.Analysis.facts
    patch.setattr(closure.Analysis, "facts", lambda s, module: msgspec.structs.replace(plain(s, module), stars=[]))
    _blind(patch)


_PLANTS: dict[str, Any] = {
    "helpers": _helpers,
    "effects": _effects,
    "lazy": _lazy,
    "reads": _blind,
    "modules": _blind,
    "environment": lambda patch: _call_without(patch, env={}),
    "files": lambda patch: _call_without(patch, files={}),
    "constants": _constants,
    "seed": _seed,
    "decorators": lambda patch: _without_parts(patch, "visit_FunctionDef", "decorator_list"),
    "defaults": lambda patch: patch.setattr(mentions.Mentions, "_visit_signature", lambda self, node: None),
    "bases": lambda patch: _without_parts(patch, "visit_ClassDef", "bases"),
    "metaclasses": lambda patch: patch.setattr(closure._Touching, "_noting", lambda *given: None),
    "stars": _no_stars,
    "blocks": _blocks,
    "libraries": lambda patch: patch.setattr(distributions.Installed, "versions", lambda self, modules: {}),
    "links": _links,
    "docstrings": lambda patch: patch.setattr(closure._Walk, "_asked", lambda self, modules: []),
}
