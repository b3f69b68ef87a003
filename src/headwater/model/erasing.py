"""How an erasure reaches models: training profiles are written anew; a model's own file cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from headwater.lake.erasing import Effect, Erasing, eraser


@eraser("models")
def erase_from_models(erasing: Erasing, act: bool) -> Iterator[Effect]:
    """Rewrite training profiles that hold something of the subject, and name the model files that do.

    Answers that were paid for go as a whole: one with words missing would be measured as if an API had said so.
    """
    with erasing.project.ledger.read() as tx:
        files = tx.all("SELECT version, name, digest FROM model_files ORDER BY version, name")
        rows = tx.all("SELECT id, reference FROM model_versions WHERE reference IS NOT NULL ORDER BY id")
    for row in files:
        if row.digest in erasing.holding:
            why = "a trained file cannot be rewritten: train without the subject, and erase the old version's file"
            yield Effect(store="models", what=f"'{row.name}' of modelversion:{row.version}", how="left", why=why)
    for row in rows:
        if row.reference not in erasing.holding:
            continue
        yield Effect(store="models", what=f"training profile of modelversion:{row.id}", how="rewritten")
        if act:
            said = msgspec.json.decode(erasing.project.objects.get(row.reference))
            digest = erasing.project.objects.put(msgspec.json.encode(_without(said, erasing)))
            with erasing.project.ledger.write() as tx:
                tx.execute("UPDATE model_versions SET reference = ? WHERE id = ?", (digest, row.id))
    yield from _erase_answers(erasing, act)


def _erase_answers(erasing: Erasing, act: bool) -> Iterator[Effect]:
    with erasing.project.ledger.read() as tx:
        said = tx.stream("SELECT DISTINCT answer FROM api_answers ORDER BY answer")
        holding = [row.answer for row in said if erasing.needles.in_text(row.answer)]
    if holding:
        yield Effect(store="models", what=f"{len(holding)} kept answers of an API", how="dropped")
    if holding and act:
        with erasing.project.ledger.write() as tx:
            tx.executemany("DELETE FROM api_answers WHERE answer = ?", [(each,) for each in holding])


def _without(value: Any, erasing: Erasing) -> Any:
    if isinstance(value, str):
        return erasing.needles.without(value)
    if isinstance(value, dict):
        return {erasing.needles.without(key): _without(inner, erasing) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without(inner, erasing) for inner in value]
    return value
