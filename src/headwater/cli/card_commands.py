"""``hw model card``, ``readiness`` and ``drill``: evidence for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .context import Context, pass_context, table, when
from .evidence_text import evidence_text
from .progress import busy

if TYPE_CHECKING:
    from headwater.trace.readiness import Readiness


@click.command("card")
@click.argument("ref")
@click.option("--out", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file.")
@click.option(
    "--words",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Take the author's sections from this Markdown file: a card that was edited, or these sections alone.",
)
@click.option("--address", metavar="URL", help="Link data, runs and evidence to the pages of this server.")
@pass_context
def card(context: Context, ref: str, out: Path | None, words: Path | None, address: str | None) -> None:
    """Print the card of a version as Markdown, made of the ledger with the author's words merged in.

    \b
    hw model card delay@v3 -o CARD.md
    (edit Intended use, Limits, Owner, Licence or Notes in CARD.md)
    hw model card delay@v3 --words CARD.md -o CARD.md
    """
    from headwater.evaluate.card import model_card
    from headwater.evaluate.words import words_of_markdown, write_card

    with context.open() as project:
        if words is not None:
            write_card(project, ref, words_of_markdown(words.read_text(encoding="utf-8")))
        text = model_card(project, ref, address=address)
    if out is not None:
        out.write_text(text, encoding="utf-8")
    context.show({"card": text}, lambda: text if out is None else f"wrote {out}")


@click.command("readiness")
@click.argument("ref")
@click.option("--look", is_flag=True, help="Show it only; record nothing.")
@click.option("--all", "everything", is_flag=True, help="Show all 28 tests, the nine levels and the phases.")
@pass_context
def readiness(context: Context, ref: str, look: bool, everything: bool) -> None:
    """Score a version by the ledger's evidence, and record the score as evidence.

    The ML Test Score (28 tests, 0 where evidence is missing, expired or only typed in), the technology readiness
    level, the phases of CRISP-ML(Q), and the cheapest next acts. Its card and gates read what is recorded.
    """
    from headwater.trace.readiness import model_readiness, record_readiness

    with context.open() as project:
        if not look:
            record_readiness(project, ref)
        found = model_readiness(project, ref)
    context.show(found, lambda: _text(found, everything))


@click.command("drill")
@click.argument("what", type=click.Choice(("checks", "spec", "example")))
@click.argument("ref")
@pass_context
def drill(context: Context, what: str, ref: str) -> int:
    """Try out on a version what readiness asks for, and record it.

    \b
    checks   plant faults in its training data: which declared checks notice
    spec     hold it to its own contract: types, restoring, order, batches, misuse
    example  follow its newest prediction to the sources and compute it again
    """
    from headwater.trace.readiness import drill_data_checks, drill_example, drill_spec

    act = {"checks": drill_data_checks, "spec": drill_spec, "example": drill_example}[what]
    with context.open() as project, busy(f"drill {what}"):
        found = act(project, ref)
    context.show(found, lambda: evidence_text(found))
    return 0 if found.body["passed"] else 1


def _text(found: Readiness, everything: bool) -> str:
    lines = [
        f"{click.style(found.model, bold=True)}  ML Test Score {found.score:g} of 7"
        + (f": {found.verdict}" if found.verdict else ""),
        f"technology readiness level {found.level} of 9",
        "",
        table(("section", "points of 7"), [(each.name, f"{each.points:g}") for each in found.sections], right=(1,)),
        "",
        f"what raises it, the cheapest first ({found.lowest}):",
    ]
    lines += [f"  {name}  {found.test(name).do}" for name in (found.next if everything else found.next[:3])]
    if everything:
        lines += ["", _tests(found), "", _levels(found), "", _phases(found)]
    return "\n".join(lines)


def _tests(found: Readiness) -> str:
    rows = [(f"{each.points:g}", each.test, each.title, each.found, when(each.valid_until)) for each in found.tests]
    return table(("points", "test", "what is tested", "found", "holds until"), rows, right=(0,))


def _levels(found: Readiness) -> str:
    rows = [(each.level, "yes" if each.met else "no", each.wants, each.found) for each in found.levels]
    return table(("level", "met", "asks that", "found"), rows, right=(0,))


def _phases(found: Readiness) -> str:
    rows = [
        (phase.name, "yes" if check.met else "no", check.name, check.found)
        for phase in found.phases
        for check in phase.checks
    ]
    return table(("phase of CRISP-ML(Q)", "met", "check", "found"), rows)
