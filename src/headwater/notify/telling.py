"""How facts are said in messages: the room that records a kind of fact says it in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headwater.ledger import Tx

Sentence = Callable[["Tx", Mapping[str, Any]], str]

_SENTENCES: dict[str, Sentence] = {}


def told(kind: str) -> Callable[[Sentence], Sentence]:
    """Declare a function that says facts of a kind in a sentence, from what is known of one (``jobs.facts``)."""

    def declare(sentence: Sentence) -> Sentence:
        _SENTENCES[kind] = sentence
        return sentence

    return declare


def titled(tx: Tx, kind: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of a fact with its sentence as ``title``, where its room says one."""
    sentence = _SENTENCES.get(kind)
    return {**attributes, "title": sentence(tx, attributes)} if sentence else dict(attributes)
