"""All projects of the corpus with their edits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from . import classes, functions, modern
from .borrowed import BORROWED, borrow
from .edits import Edit
from .mutating import mutate

WRITTEN = {module.NAME: module for module in (functions, classes, modern)}
NAMES = (*WRITTEN, *BORROWED)


class Corpus(NamedTuple):
    """One project: its files, and the edits to make of them."""

    name: str
    files: Mapping[str, str]
    edits: list[Edit]


def corpus(name: str, *, per_rule: int, seed: int = 1) -> Corpus:
    """Return a project and its edits: those written for it, and up to ``per_rule`` by each rule of ``mutating``.

    A project that was written for this test has half as many by rule: its own edits are the point of it.
    """
    if name in WRITTEN:
        module = WRITTEN[name]
        return Corpus(name, module.FILES, [*module.EDITS, *mutate(name, module.FILES, per_rule // 2, seed)])
    files = borrow(name)
    return Corpus(name, files, mutate(name, files, per_rule, seed))
