"""The 28 tests of the ML Test Score: what each asks the ledger for, how long an answer holds, what to do next.

Source: Breck, Cai, Nielsen, Salib and Sculley (2017), The ML Test Score, IEEE Big Data. Half a point where a test is
run by hand with its result kept, one where it runs by itself; a section is the sum of its seven, the score the least
of the four sections.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import InvalidInputError

if TYPE_CHECKING:
    from headwater.project import Settings

SECTIONS = ("data", "model", "infrastructure", "monitoring")
COMMAND, DECLARATION, CODE, TIME = 1, 2, 3, 4


class Test(msgspec.Struct, frozen=True, kw_only=True):
    """One test. ``do`` may hold ``{0}``, the label of the version, ``{1}``, the name of the model."""

    __test__ = False  # not one of pytest's

    name: str
    section: str
    title: str
    wants: str
    do: str
    cost: int
    days: int


def _test(name: str, days: int, cost: int, title: str, wants: str, do: str) -> Test:
    section = {"D": "data", "M": "model", "I": "infrastructure", "Mo": "monitoring"}[name.rstrip("1234567")]
    return Test(name=name, section=section, title=title, wants=wants, do=do, cost=cost, days=days)


def _own(kind: str) -> str:
    return (
        f'measure it in a run and record it: record_evidence(project, "modelversion:...", "{kind}", '
        '{{"passed": True, ...}}, run=run.id) about {0}'
    )


TESTS: tuple[Test, ...] = (
    _test("D1", 90, COMMAND, "Feature expectations are captured in a schema",
          "a declared check of every input that ran on the training data and was seen to notice planted faults",
          "hw model drill checks {0}"),
    _test("D2", 90, COMMAND, "All features are beneficial",
          "an explanation in which the interval of every input lies above 0",
          "hw model explain {0} DATA --target COLUMN"),
    _test("D3", 180, CODE, "No feature's cost is too much",
          "evidence 'feature_costs' of every input, passed, made by a run", _own("feature_costs")),
    _test("D4", 180, CODE, "Features adhere to meta-level requirements",
          "evidence 'feature_policy' that every input may be used for this, passed, made by a run",
          _own("feature_policy")),
    _test("D5", 180, CODE, "The data pipeline has appropriate privacy controls",
          "evidence 'privacy_scan' of the training data, passed, and an erasure of a subject that was carried out",
          _own("privacy_scan")),
    _test("D6", 365, TIME, "New features can be added quickly",
          "inputs that came after the first version, in production within 30 days of their data",
          "release a version with a new input to production"),
    _test("D7", 90, CODE, "All input feature code is tested",
          "evidence 'feature_code_tests' of the code that made the training data, passed, made by a run",
          _own("feature_code_tests")),
    _test("M1", 365, COMMAND, "Model specs are reviewed and submitted",
          "an approval by somebody other than the author, of a version whose run kept its code from a commit",
          "hw release request {0} production --reason ..., and an approval by a second person"),
    _test("M2", 180, TIME, "Offline and online metrics correlate",
          "at least 4 versions measured both before release and in production, whose order agrees",
          "release more versions, record their outcomes and watch their performance"),
    _test("M3", 180, COMMAND, "All hyperparameters have been tuned",
          "searches in which every declared parameter was varied",
          "hw tune FLOW, with every parameter of {0} in the space"),
    _test("M4", 90, COMMAND, "The impact of model staleness is known",
          "a staleness curve: versions of the model on newer data",
          "hw model staleness {0} DATA --target COLUMN --time COLUMN"),
    _test("M5", 90, COMMAND, "A simpler model is not better",
          "baselines on the same rows, each beaten by an interval above 0",
          "hw model baselines {0} DATA --target COLUMN"),
    _test("M6", 90, COMMAND, "Model quality is sufficient on important data slices",
          "a search for bad slices that confirmed none",
          "hw model slices {0} DATA --target COLUMN"),
    _test("M7", 180, COMMAND, "The model has been tested for considerations of inclusion",
          "fairness by a sensitive attribute, with intervals, in which no selection ratio is shown to be below 0.8",
          "hw model fairness {0} DATA --target COLUMN --attribute COLUMN"),
    _test("I1", 90, COMMAND, "Training is reproducible",
          "a second run of the same code, data and parameters that registered the same bytes",
          "run the training flow again and register what it makes: the files must be equal to those of {0}"),
    _test("I2", 90, COMMAND, "Model specs are unit tested",
          "the specification's own tests: types, restoring, order and size of batches, misuse",
          "hw model drill spec {0}"),
    _test("I3", 30, COMMAND, "The ML pipeline is integration tested",
          "the whole flow that made it, run again since and done",
          "hw run FLOW"),
    _test("I4", 365, DECLARATION, "Model quality is validated before serving",
          "a release through a gate that read a measured evaluation or comparison, and none of it without",
          'declare gates = ["bar:METRIC>NUMBER", "better_than_champion"] for the channel, then hw release request {0}'),
    _test("I5", 7, COMMAND, "The model is debuggable",
          "an example followed from the answer to the sources and computed again with equal bytes, this week",
          "hw model drill example {0}"),
    _test("I6", 365, COMMAND, "Models are canaried before serving",
          "a canary or shadow release of it before it took all traffic",
          "ask for a canary release of {0}"),
    _test("I7", 90, COMMAND, "Serving models can be rolled back",
          "a rollback of the model within the period",
          "hw rollback {1} --reason drill, on a channel of staging"),
    _test("Mo1", 90, DECLARATION, "Dependency changes result in notification",
          "a message that was sent about a new version, verdict or pull of the training data",
          'declare [[notify]] with on = ["verdict", "version"] in headwater.toml'),
    _test("Mo2", 7, DECLARATION, "Data invariants hold for inputs",
          "windows of a quality monitor over this version, with no open alarm",
          'declare [[monitors]] with kinds = ["quality"], and a trigger on a schedule that runs it'),
    _test("Mo3", 7, DECLARATION, "Training and serving are not skewed",
          "windows of a drift monitor over this version, every input under its bar, with no open alarm",
          'declare [[monitors]] with kinds = ["drift"], and a trigger on a schedule that runs it'),
    _test("Mo4", 30, COMMAND, "Models are not too stale",
          "an age below the one at which a staleness curve shows loss",
          "hw model staleness {0} DATA --target COLUMN --time COLUMN, or train again"),
    _test("Mo5", 30, COMMAND, "Models are numerically stable",
          "parity searched to the edges of 32-bit floats, and no NaN or infinity among the answers served",
          "hw model parity {0} DATA"),
    _test("Mo6", 30, COMMAND, "Computing performance has not regressed",
          "a budget of latency and memory, measured again, no more than a quarter worse than the version before",
          "hw release budget {0}"),
    _test("Mo7", 30, TIME, "Prediction quality has not regressed",
          "windows of a performance monitor over this version, with no open alarm",
          'record outcomes, and declare [[monitors]] with kinds = ["performance"]'),
)  # fmt: skip
BY_NAME: Mapping[str, Test] = {test.name: test for test in TESTS}


class ReadinessRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[readiness]`` in headwater.toml.

    ``valid_days`` replaces how long the answers of some tests hold, by their short names. ``feature_days`` is how long
    a new input may take to production (D6), ``proven_days`` how long a version must have been in production with its
    quality watched to be of level 9.
    """

    valid_days: dict[str, int] = {}
    feature_days: int = 30
    proven_days: int = 30

    def days(self, test: Test) -> int:
        """Return for how many days an answer to a test holds."""
        return self.valid_days.get(test.name, test.days)


def readiness_rules(settings: Settings) -> ReadinessRules:
    """Return the rules that headwater.toml declares.

    Raises:
        InvalidInputError: a key or a test is not known, or a number of days is not above 0.
    """
    table: dict[str, Any] = settings.table("readiness")
    try:
        rules = msgspec.convert(table, ReadinessRules)
    except msgspec.ValidationError as error:
        known = ", ".join(ReadinessRules.__struct_fields__)
        raise InvalidInputError(
            f"[readiness] in headwater.toml cannot be read: {error}. Its keys are {known}."
        ) from error
    for name, days in rules.valid_days.items():
        if name not in BY_NAME or days < 1:
            raise InvalidInputError(
                f"[readiness.valid_days] in headwater.toml has {name} = {days}: give a number of days of at least 1 to "
                f"one of the tests {', '.join(BY_NAME)}.",
                test=name,
            )
    return rules
