"""The phases of CRISP-ML(Q), each with what it must have left behind.

Source: Studer and others (2021), Towards CRISP-ML(Q), Machine Learning and Knowledge Extraction 3, 392. Which test of
the ML Test Score stands for which phase is this project's own reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headwater.model import CardText

from .facts import Facts
from .values import Phase, PhaseCheck, Score


def phases_of(facts: Facts, words: CardText, scores: Mapping[str, Score]) -> tuple[Phase, ...]:
    """Return the six phases with their checks; ``words`` are the author's."""
    return (
        Phase(name="Business and data understanding", checks=(*_words(words), _sources(facts), *_tests(scores, "D4"))),
        Phase(name="Data preparation", checks=tuple(_tests(scores, "D1", "D5", "D7"))),
        Phase(name="Modelling", checks=(_lineage(facts), *_tests(scores, "M1", "M3", "I1", "I2"))),
        Phase(name="Evaluation", checks=(_evaluated(facts), *_tests(scores, "M5", "M6", "M7"))),
        Phase(name="Deployment", checks=(_contract(facts), *_tests(scores, "I3", "I4", "I6", "I7"))),
        Phase(name="Monitoring and maintenance", checks=tuple(_tests(scores, *(f"Mo{n}" for n in range(1, 8))))),
    )


def _tests(scores: Mapping[str, Score], *names: str) -> Iterator[PhaseCheck]:
    for name in names:
        score = scores[name]
        yield PhaseCheck(name=f"{score.title} ({name})", met=score.points > 0, found=score.found)


def _words(words: CardText) -> Iterator[PhaseCheck]:
    said = (
        ("The intended use is stated", words.intended_use),
        ("The limits are stated", words.limits),
        ("Somebody owns it", words.owner),
    )
    for name, text in said:
        yield PhaseCheck(name=name, met=bool(text.strip()), found=text.strip() or "the author has not said")


def _sources(facts: Facts) -> PhaseCheck:
    named = [f"{each.dataset} v{each.number} ({each.source or 'no source named'})" for each in facts.data]
    met = bool(facts.data) and all(each.source for each in facts.data)
    return PhaseCheck(
        name="The data have a named source", met=met, found=", ".join(named) or "no training data are named"
    )


def _lineage(facts: Facts) -> PhaseCheck:
    run = facts.run
    found = f"run {run.id} with {len(run.params)} parameters" if run else "no run is named that made it"
    return PhaseCheck(name="Code, parameters and data are on record", met=run is not None, found=found)


def _evaluated(facts: Facts) -> PhaseCheck:
    found = facts.newest("evaluation")
    met = found is not None and bool(facts.way_of(found))
    said = f"on {found.body.get('rows', 0):,} rows" if found and met else "no evaluation is recorded"
    return PhaseCheck(name="It was measured with intervals", met=met, found=said)


def _contract(facts: Facts) -> PhaseCheck:
    fields = (*facts.version.contract.inputs, *facts.version.contract.outputs)
    bare = [field.name for field in fields if not field.description]
    found = f"{len(bare)} of {len(fields)} fields have no description" if bare else "every field is described"
    return PhaseCheck(name="The contract says what each field means", met=not bare, found=found)
