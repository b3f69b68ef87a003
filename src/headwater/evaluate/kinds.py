"""The kinds of evidence that are made here: what each says, what makes it, and the fields of its body.

This is the one place where they are described. Whoever reads evidence (gates, cards, readiness, pages) relies on these
names; whoever makes it is tested to record exactly these fields. A team's own kinds are as good and need no entry.

An *interval* is ``{"value", "low", "high"}``: the value on all rows and the ends of its bootstrap interval.
"""

from __future__ import annotations

import msgspec


class EvidenceKind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of evidence. ``operation`` makes it, ``command`` makes it from a terminal ({0} is the subject's label).

    ``subject`` is what it is about: a ``modelversion`` or a dataset's ``version``. ``fields`` maps each field of the
    body to what it holds; those in ``optional`` may be absent.
    """

    subject: str
    says: str
    operation: str
    command: str
    fields: dict[str, str]
    optional: tuple[str, ...] = ()


_ROWS = {
    "rows": "how many rows it was measured on",
    "rows_digest": "digest of their inputs and truth: equal where two measurements saw the same rows",
    "window": "which part of the data, in words",
    "target": "the column of the truth",
    "model": "the version's label",
    "level": "the share of bootstrap samples that an interval covers",
    "resamples": "how many samples an interval is made of",
    "seed": "what the samples were drawn with",
    "sentence": "what was found, in a sentence",
}


KINDS: dict[str, EvidenceKind] = {
    "evaluation": EvidenceKind(
        subject="modelversion",
        says="what the answers are worth against the truth, on all rows and on declared slices",
        operation="evaluate.model",
        command="hw model evaluate {0} DATA --target COLUMN",
        fields=_ROWS
        | {
            "task": "binary, classes, regression, ranking, detection or text",
            "flavour": "the file that answered",
            "group": "the column whose rows were resampled together, '' where each row stands for itself",
            "metrics": "name to interval",
            "slices": "declared slices: [{slice, rows, metrics: name to interval}]",
            "positive": "binary: the class whose probability is given",
            "base_rate": "binary: the share of that class",
            "calibration": "binary: ten bins of probability [{from, rows, predicted, observed}]",
            "asked": "an API: what this took {calls, recorded (answers that were there already), cost, currency}",
        },
        optional=("positive", "base_rate", "calibration", "asked"),
    ),
    "comparison": EvidenceKind(
        subject="modelversion",
        says="the difference to another version on the same rows",
        operation="evaluate.compare",
        command="hw model compare CHAMPION {0} DATA --target COLUMN",
        fields={name: said for name, said in _ROWS.items() if name != "model"}
        | {
            "champion": "id of the version it is held against",
            "champion_label": "its label",
            "challenger": "id of the subject",
            "challenger_label": "its label",
            "metric": "what was compared",
            "group": "the column whose rows were resampled together",
            "champion_value": "the metric of the champion",
            "challenger_value": "the metric of the challenger",
            "gain": "interval of the difference; positive is better, whichever way the metric points",
            "better": "the gain's low end is above 0",
            "worse": "the gain's high end is below 0",
        },
    ),
    "slices": EvidenceKind(
        subject="modelversion",
        says="parts of the data on which it is worse, found on half of the rows and confirmed on the other half",
        operation="evaluate.slices",
        command="hw model slices {0} DATA --target COLUMN",
        fields=_ROWS
        | {
            "loss": "what a row costs: log_loss, error, absolute_error, cer, or bias (predicted less observed)",
            "overall": "the mean loss of all confirming rows",
            "columns": "the columns searched",
            "searched": "how many slices were looked at",
            "found": "the worst [{slice, rows, share, value, rest, gap: interval of value - rest, p, confirmed}]",
            "confirmed": "how many of them were confirmed",
            "worst": "the confirmed slice with the greatest gap, '' where there is none",
            "worst_gap": "its gap, 0.0 where there is none",
        },
    ),
    "fairness": EvidenceKind(
        subject="modelversion",
        says="how it treats the groups of a sensitive attribute, and which inputs stand in for the attribute",
        operation="evaluate.fairness",
        command="hw model fairness {0} DATA --target COLUMN --attribute COLUMN",
        fields=_ROWS
        | {
            "attribute": "the column that tells the groups",
            "task": "binary, classes or regression",
            "used": "whether the attribute is an input of the model",
            "threshold": "binary: the probability from which a row is selected; null elsewhere",
            "groups": "[{group, rows, metrics: name to interval}], the largest first",
            "left_out": "groups of fewer rows than could be measured: [{group, rows}]",
            "differences": "metric to {value, low, high, highest, lowest}: the two groups furthest apart",
            "ratios": "selection_rate to {value, low, high, highest, lowest}: the lowest group's over the highest's",
            "flipped": "share of rows whose answer changes when the attribute alone does; null where it is no input",
            "proxies": "[{input, auc: interval}] how well each other input alone tells the attribute, best first",
            "recovered": "interval of the AUC with which all other inputs together tell the attribute",
        },
    ),
    "explanation": EvidenceKind(
        subject="modelversion",
        says="what each input is worth: how far the metric falls when its values are shuffled; Shapley values",
        operation="evaluate.explain",
        command="hw model explain {0} DATA --target COLUMN",
        fields=_ROWS
        | {
            "metric": "the metric that falls",
            "value": "the metric with nothing shuffled",
            "repeats": "how often each input was shuffled",
            "inputs": "[{input, drop: interval}], the greatest drop first; positive: the input helps",
            "unused": "inputs whose interval does not lie above 0",
            "output": "the output that Shapley values split, '' where there is no number",
            "shapley": "[{input, mean_absolute}] over the explained rows, the greatest first",
            "shapley_by": "'sampled', or the library shap and its version",
            "average": "the mean answer, from which Shapley values start",
            "examples": "[{answer, row, shapley: input to value}] of single rows",
        },
    ),
    "calibration": EvidenceKind(
        subject="modelversion",
        says="whether what it says comes as often, or is as much, as it says",
        operation="evaluate.calibration",
        command="hw model calibration {0} DATA --target COLUMN",
        fields=_ROWS
        | {
            "task": "binary, classes (of the likeliest class) or regression",
            "bins": "ten bins of as many rows each [{rows, predicted, observed, low, high}]",
            "error": "interval of the mean distance of predicted and observed over the bins",
            "limit": "the error that a perfectly calibrated model would stay under in 95 of 100 such samples",
            "calibrated": "whether the error is within the limit",
            "slope": "interval: 1 where right, below 1 where answers are too extreme",
            "intercept": "interval: 0 where right, above 0 where answers are too low (log odds, or the target's unit)",
        },
    ),
    "baselines": EvidenceKind(
        subject="modelversion",
        says="whether simpler models, the last release and other versions do as well on the same rows",
        operation="evaluate.baselines",
        command="hw model baselines {0} DATA --target COLUMN",
        fields=_ROWS
        | {
            "metric": "what was compared",
            "value": "the metric of the version",
            "trained_rows": "how many rows the simple models were trained on",
            "shared_rows": "how many of the measured rows were among those",
            "baselines": "[{name, what, value, gain: interval, beaten}]; beaten: the gain's low end is above 0",
            "beats_all": "whether each is beaten",
        },
    ),
    "staleness": EvidenceKind(
        subject="modelversion",
        says="how versions of the model fare on data newer than what they were trained on",
        operation="evaluate.staleness",
        command="hw model staleness {0} DATA --target COLUMN --time COLUMN",
        fields=_ROWS
        | {
            "metric": "what was measured",
            "time": "the column that dates the rows",
            "days": "length of a window",
            "points": "[{version, label, trained_until, start, end, age_days, rows, metric: interval}]",
            "pairs": "[{older, fresher, start, age_days, gain: interval of the fresher, worse}] on the same rows",
            "worse_after_days": "the age from which older versions are worse in most windows; null where none is",
            "oldest_days": "the greatest age that was measured",
            "left_out": "[{label, why}] versions whose training data are not dated",
        },
    ),
    "leakage": EvidenceKind(
        subject="version",
        says="whether a split keeps its parts apart: equal rows, near-duplicates, groups, time",
        operation="evaluate.leakage",
        command="hw data leakage {0}",
        fields={
            "dataset": "label of the version that was looked at",
            "parts": "name of each part to its rows",
            "columns": "the columns compared",
            "checks": "[{check, passed, found, of, why, sample}], check: equal rows, near-duplicates, group, time",
            "passed": "whether each check passed",
            "sentence": "what was found, in a sentence",
        },
    ),
    "parity": EvidenceKind(
        subject="modelversion",
        says="whether an exported form answers as the original does, and where it does so least",
        operation="evaluate.parity",
        command="hw model parity {0} DATA",
        fields={
            "model": "the version's label",
            "original": "flavour of the original",
            "exported": "flavour of the export",
            "passed": "whether all inputs agree within the tolerance",
            "why": "what was found, in a sentence",
            "tolerance": "how far two answers may be apart",
            "worst": "{difference, kind, output, original, exported, row}",
            "evaluated": "on real rows: {rows, beyond, largest}",
            "searched": "on inputs searched for: {rows, beyond, largest, kinds}",
            "unresolved": "the largest difference within the rounding of a jump, not judged",
            "outside": "the largest difference with an infinite, NaN or largest possible number, not judged",
            "seed": "what the search was drawn with",
        },
    ),
}  # fmt: skip


def command_for(kind: str, label: str) -> str:
    """Return the command that makes evidence of a kind about a subject of that label."""
    known = KINDS.get(kind)
    return known.command.format(label) if known else f"record_evidence(project, ..., '{kind}', ...) about {label}"
