"""``hw model evaluate`` and its like: each measures a version on data and records what it found as evidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .context import Context, pass_context
from .evidence_text import evidence_text
from .progress import busy

if TYPE_CHECKING:
    from headwater.evaluate import Evidence

F = TypeVar("F", bound=Callable[..., Any])


def _on_rows(command: F) -> F:
    """Add the arguments and options that say which version is measured on which rows."""
    for option in reversed(
        (
            click.argument("ref"),
            click.argument("data"),
            click.option("--target", required=True, help="The column that holds the truth."),
            click.option("--where", help="An SQL condition on the rows."),
            click.option("--part", default="", help="Only files whose paths begin so: 'test' of a split."),
        )
    ):
        command = option(command)
    return command


_time = click.option("--time", help="The column whose span names the window.")
_group = click.option("--group", default="", help="The column whose rows are drawn together; a ranking's query.")
_metric = click.option("--metric", default="", help="Default: the task's main metric (AUC, accuracy, RMSE, ...).")


def _show(context: Context, what: str, act: Callable[[Any], Evidence]) -> None:
    with context.open() as project, busy(what):
        evidence = act(project)
    context.show(evidence, lambda: evidence_text(evidence))


@click.command("evaluate")
@_on_rows
@click.option("--slice", "slices", multiple=True, help="Also by the values of this column (repeatable).")
@_time
@_group
@pass_context
def evaluate(context: Context, /, ref: str, data: str, target: str, **options: Any) -> None:
    """Measure a version on a dataset, with intervals, and record it as evidence."""
    from headwater.evaluate import evaluate_model

    _show(context, "measuring", lambda project: evaluate_model(project, ref, data, target, **options))


@click.command("compare")
@click.argument("champion")
@click.argument("challenger")
@click.argument("data")
@click.option("--target", required=True, help="The column that holds the truth.")
@_metric
@click.option("--where", help="An SQL condition on the rows.")
@click.option("--part", default="", help="Only files whose paths begin so: 'test' of a split.")
@_time
@_group
@pass_context
def compare(context: Context, /, champion: str, challenger: str, data: str, target: str, **options: Any) -> None:
    """Measure two versions on the same rows and record the paired difference as evidence."""
    from headwater.evaluate import compare_models

    _show(context, "comparing", lambda project: compare_models(project, champion, challenger, data, target, **options))


@click.command("slices")
@_on_rows
@click.option("--column", "columns", multiple=True, help="Tell slices by this column (repeatable; default: inputs).")
@click.option("--loss", default="", help="'bias' looks for answers too high or too low; default: the task's loss.")
@click.option("--most", default=10, show_default=True, help="How many slices to show.")
@click.option("--least-rows", default=30, show_default=True, help="The smallest slice to look at.")
@_time
@pass_context
def slices(context: Context, /, ref: str, data: str, target: str, **options: Any) -> None:
    """Search for parts of the data on which a version is worse, found on one half and confirmed on the other."""
    from headwater.evaluate import find_bad_slices

    _show(context, "searching", lambda project: find_bad_slices(project, ref, data, target, **options))


@click.command("fairness")
@_on_rows
@click.option("--attribute", required=True, help="The column that tells the groups; the model need not take it.")
@click.option("--threshold", default=0.5, show_default=True, help="The probability from which a row is selected.")
@click.option("--least-rows", default=30, show_default=True, help="The smallest group to measure.")
@_time
@pass_context
def fairness(context: Context, /, ref: str, data: str, target: str, **options: Any) -> None:
    """Measure how a version treats the groups of an attribute, and which inputs stand in for it."""
    from headwater.evaluate import measure_fairness

    _show(context, "measuring", lambda project: measure_fairness(project, ref, data, target, **options))


@click.command("explain")
@_on_rows
@_metric
@click.option("--repeats", default=3, show_default=True, help="How often each input is shuffled.")
@click.option("--most-rows", default=20_000, show_default=True, help="Take at most so many rows.")
@click.option(
    "--shapley",
    type=click.Choice(["sampled", "shap"]),
    default="sampled",
    show_default=True,
    help="Shapley values sampled by Headwater, or by the library shap (headwater[shap]).",
)
@_time
@_group
@pass_context
def explain(context: Context, /, ref: str, data: str, target: str, **options: Any) -> None:
    """Measure what each input is worth to a version: permutation importance, Shapley values."""
    from headwater.evaluate import explain_model

    _show(context, "explaining", lambda project: explain_model(project, ref, data, target, **options))


@click.command("calibration")
@_on_rows
@_time
@pass_context
def calibration(context: Context, /, ref: str, data: str, target: str, **options: Any) -> None:
    """Measure whether what a version says comes as often, or is as much, as it says."""
    from headwater.evaluate import measure_calibration

    _show(context, "measuring", lambda project: measure_calibration(project, ref, data, target, **options))


@click.command("baselines")
@_on_rows
@_metric
@click.option("--train", default="", help="Dataset to train the simple models on; default: the version's own.")
@click.option("--train-where", help="An SQL condition on those rows.")
@click.option("--train-part", default="", help="Only files of it whose paths begin so: 'train' of a split.")
@click.option("--channel", default="production", show_default=True, help="Where the last release is.")
@click.option("--against", multiple=True, help="Another version to compare with, such as a vendor's (repeatable).")
@_time
@_group
@pass_context
def baselines(context: Context, /, ref: str, data: str, target: str, **options: Any) -> None:
    """Compare a version with a constant, a line, a small tree, the last release and other versions."""
    from headwater.evaluate import compare_baselines

    _show(context, "comparing", lambda project: compare_baselines(project, ref, data, target, **options))


@click.command("staleness")
@_on_rows
@click.option("--time", required=True, help="The column that dates the rows, here and in the training data.")
@click.option("--days", default=30.0, show_default=True, help="Length of a window.")
@_metric
@click.option("--versions", default=10, show_default=True, help="Ask at most so many versions.")
@click.option("--least-rows", default=30, show_default=True, help="The smallest window to measure.")
@_group
@pass_context
def staleness(context: Context, /, ref: str, data: str, target: str, **options: Any) -> None:
    """Score a version and those before it on later data: when it is time to train again."""
    from headwater.evaluate import measure_staleness

    _show(context, "measuring", lambda project: measure_staleness(project, ref, data, target, **options))
