"""What the ledger holds about one model version, read as the tests ask for it, and how each fact came about."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from headwater.access.approvals import same_person
from headwater.evaluate import Evidence, list_evidence
from headwater.evaluate.kinds import KINDS
from headwater.lake import Version
from headwater.lake.collecting import ancestors
from headwater.lake.refs import get_version
from headwater.model import ModelVersion, documents, list_model_versions
from headwater.release import Release, ReleaseRequest, list_release_requests, release_log
from headwater.serve.rehearsal.kinds import REHEARSALS
from headwater.track import Run
from headwater.track.runs import get_run

from .catalogue import ReadinessRules
from .values import Finding, Way

if TYPE_CHECKING:
    from headwater.ledger import Row
    from headwater.project import Project

DAY_US = 86_400_000_000
MAKERS = {
    "data_tests": "model.drill.checks",
    "spec_tests": "model.drill.spec",
    "example": "model.drill.example",
    **{kind: each.operation for kind, each in {**KINDS, **REHEARSALS}.items()},
}
"""The operation that measures each kind of evidence which the house knows."""
_MOST = 1000


class Facts:
    """The facts about one version at one moment, ``now`` in UTC microseconds."""

    def __init__(self, project: Project, version: ModelVersion, rules: ReadinessRules, now: int) -> None:
        self.project = project
        self.version = version
        self.rules = rules
        self.now = now

    @cached_property
    def evidence(self) -> list[Evidence]:
        """The newest evidence about this version, newest first: what is about another version counts for nothing."""
        return list_evidence(self.project, self.version.ref, limit=_MOST)

    def newest(self, kind: str) -> Evidence | None:
        """Return the newest evidence of a kind, or None."""
        return next((each for each in self.evidence if each.kind == kind), None)

    def way_of(self, evidence: Evidence) -> Way:
        """Return how evidence came about; '' where somebody only typed it in.

        Measured by the operation that makes its kind, or in a run that the ledger knows to have made it: by itself
        where a trigger caused the job, else by hand.
        """
        maker = MAKERS.get(evidence.kind)
        run = self._run_behind(evidence)
        if run is None and (maker is None or evidence.operation != maker):
            return ""
        jobs = [evidence.job] if evidence.job else []
        if run is not None:
            jobs += self.parents(run.ref, "job")
        return "by itself" if self.triggered(jobs) else "by hand"

    def _run_behind(self, evidence: Evidence) -> Run | None:
        """Return the run that evidence names, None where it did not make it: a name alone proves nothing.

        It is of the same person, was under way when the evidence was recorded, and went well as far as is known.
        """
        run = self.run_of(evidence.run) if evidence.run else None
        if run is None or run.status not in ("done", "running") or not same_person(run.author, evidence.maker):
            return None
        under_way = run.started_at <= evidence.created_at <= (run.ended_at or self.now)
        return run if under_way else None

    def shown(self, evidence: Evidence | None, missing: str, passed: bool, found: str) -> Finding:
        """Return what evidence shows of a test: nothing where it was only claimed, or where it did not pass."""
        if evidence is None:
            return Finding(found=missing)
        way = self.way_of(evidence)
        if not way:
            said = f"{evidence.maker} typed it in: no operation measured it and no run made it"
            if evidence.run:
                said += f" (run {evidence.run}, which it names, was none of theirs under way then)"
            return Finding(found=said, evidence=(evidence.ref,))
        return Finding(found=found, way=way if passed else "", at=evidence.created_at, evidence=(evidence.ref,))

    def own(self, kind: str) -> Finding:
        """Return what the team's own evidence of a kind shows: it says itself in ``passed`` how it went."""
        found = self.newest(kind)
        if found is None:
            return Finding(found=f"no evidence '{kind}' is recorded")
        passed = found.body.get("passed") is True
        said = str(found.body.get("sentence") or found.body.get("why") or ("passed" if passed else "it did not pass"))
        return self.shown(found, "", passed, said)

    def triggered(self, jobs: Iterable[str]) -> bool:
        """Tell whether a trigger made one of some jobs by itself: one that a person fired does not count."""
        names = [each.removeprefix("job:") for each in jobs]
        with self.project.ledger.read() as tx:
            rows = tx.all_in("SELECT trigger_name, cause FROM jobs WHERE id IN (??)", names)
        return any(row.trigger_name and not row.cause.startswith("person:") for row in rows)

    def parents(self, child: str, role: str) -> list[str]:
        """Return the refs that a thing came from in a role."""
        with self.project.ledger.read() as tx:
            return [
                str(row.parent)
                for row in tx.all("SELECT parent FROM edges WHERE child = ? AND role = ?", (child, role))
            ]

    @cached_property
    def run(self) -> Run | None:
        """The run that made the version, None where none was named or the ledger does not know it."""
        return self.run_of(self.version.run) if self.version.run else None

    def run_of(self, run: str) -> Run | None:
        """Return a run, None where the ledger does not know it."""
        with self.project.ledger.read() as tx:
            known = tx.value("SELECT id FROM runs WHERE id = ?", (run.removeprefix("run:"),))
        return get_run(self.project, known) if known else None

    def rows(self, sql: str, values: tuple[Any, ...]) -> list[Row]:
        """Return the rows of a query over the ledger."""
        with self.project.ledger.read() as tx:
            return tx.all(sql, values)

    @cached_property
    def data(self) -> list[Version]:
        """The dataset versions that it was trained on."""
        with self.project.ledger.read() as tx:
            return [get_version(tx, each) for each in self.version.trained_on]

    @cached_property
    def upstream(self) -> frozenset[str]:
        """The datasets that it descends from."""
        with self.project.ledger.read() as tx:
            found = ancestors(tx, [f"version:{each}" for each in self.version.trained_on], past_versions=True)
            ids = [ref.removeprefix("version:") for ref in found if ref.startswith("version:")]
            return frozenset(
                row.dataset for row in tx.all_in("SELECT DISTINCT dataset FROM versions WHERE id IN (??)", ids)
            )

    @cached_property
    def versions(self) -> list[ModelVersion]:
        """The versions of the model, newest first."""
        return list_model_versions(self.project, self.version.model, limit=_MOST)

    @cached_property
    def releases(self) -> list[Release]:
        """The releases and rollbacks of the model, newest first."""
        return release_log(self.project, self.version.model, limit=_MOST)

    @cached_property
    def requests(self) -> list[ReleaseRequest]:
        """The requests that were made for this version, newest first."""
        found = list_release_requests(self.project, self.version.model, limit=_MOST)
        return [each for each in found if each.version == self.version.id]

    @cached_property
    def channels(self) -> dict[str, Release]:
        """The channels that point to this version now, each with the release that made it so."""
        newest: dict[str, Release] = {}
        for release in self.releases:
            newest.setdefault(release.channel, release)
        return {name: each for name, each in newest.items() if each.version == self.version.id}

    def windows(self, kind: str) -> list[Row]:
        """Return the newest windows of a kind of monitor over this version, newest first, with ``body`` as values."""
        return self.rows(
            "SELECT id, monitor, rows, end_at, computed_at, body FROM monitor_windows WHERE version = ? AND kind = ? "
            "ORDER BY computed_at DESC, id DESC LIMIT 50",
            (self.version.id, kind),
        )

    def watched(self, kind: str, judge: str = "") -> Finding:
        """Return what the newest window of a kind shows, unless an alarm of that kind about this version is open.

        ``judge`` says in a sentence what else is wrong with it, '' where nothing is.
        """
        windows = self.windows(kind)
        if not windows:
            return Finding(found=f"no {kind} window of a monitor covers this version")
        newest = windows[0]
        evidence = (f"window:{newest.id}",)
        open_alarms = self.rows(
            "SELECT id, title FROM alarms WHERE version = ? AND kind = ? AND id NOT IN "
            "(SELECT alarm FROM alarm_acknowledgements) ORDER BY id DESC",
            (self.version.id, kind),
        )
        if open_alarms:
            found = f"an alarm is open: {open_alarms[0].title}"
            return Finding(found=found, at=newest.computed_at, evidence=(*evidence, f"alarm:{open_alarms[0].id}"))
        if judge:
            return Finding(found=judge, at=newest.computed_at, evidence=evidence)
        way: Way = "by itself" if self.triggered(self.parents(evidence[0], "job")) else "by hand"
        found = f"monitor {newest.monitor} measured {newest.rows:,} rows in its newest window, and no alarm is open"
        return Finding(found=found, way=way, at=newest.computed_at, evidence=evidence)


def body_of(row: Row) -> dict[str, Any]:
    """Return the body of a window's row."""
    body: dict[str, Any] = documents.parse(row.body)
    return body


def days_between(start: int, end: int) -> float:
    """Return the days from one moment to another, both in UTC microseconds."""
    return (end - start) / DAY_US
