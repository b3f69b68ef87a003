"""Running a monitor: each complete window since the last one, measured once and recorded with what it adds.

A window, the evidence it brings and the alarms it raises are one transaction: a run that dies is taken up where the
last recorded window ended, and of two runs at once one records a window and the other takes it as done.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from headwater.errors import ConflictError
from headwater.operation import operation
from headwater.project import Project

from .alarms import open_causes, raise_alarm
from .baseline import Baseline, read_baseline
from .declared import get_monitor
from .measuring import Measured, measure, tests_of
from .performing import Scored, performance
from .reading import read_chunks, read_refusals
from .spans import Span, duration_us, next_span, rows_of, time_span
from .testing import Outcome
from .values import Alarm, Kind, Monitor, MonitorReport, Window
from .windows import insert_window, last_span, read_states, write_states

if TYPE_CHECKING:
    from headwater.ledger import WriteTx


@operation("monitor.run", needs="monitor:write")
def run_monitor(project: Project, name: str, upto: int | None = None) -> MonitorReport:
    """Measure the windows that are complete at ``upto`` (UTC microseconds, now unless given) and return them.

    Performance windows wait for the monitor's lag, the others do not. A window is measured once: what is predicted or
    told later about a time already measured changes nothing. Windows without requests leave no trace.

    Raises:
        NotFoundError: headwater.toml declares no monitor of that name.
    """
    monitor = get_monitor(project, name)
    now = project.clock() if upto is None else upto
    run = _Run(project, monitor)
    for kinds, ready_at in _groups(project, monitor, now):
        run.measure_all(kinds, ready_at)
    return MonitorReport(
        monitor=name,
        model=monitor.model,
        windows=tuple(run.windows),
        alarms=tuple(run.alarms),
        next_at=_next_at(project, monitor),
        notes=tuple(dict.fromkeys(run.notes)),
    )


def _groups(project: Project, monitor: Monitor, now: int) -> Iterator[tuple[list[Kind], int]]:
    """Yield kinds that can be measured in one pass, with the time up to which windows must be complete."""
    asked: list[Kind] = [kind for kind in ("quality", "drift") if kind in monitor.kinds]
    with project.ledger.read() as tx:
        lasts = {kind: last_span(tx, monitor.name, kind) for kind in asked}
    if len(set(lasts.values())) == 1:
        yield asked, now
    else:  # a kind was declared later than the other: each goes on from where it stands
        for kind in asked:
            yield [kind], now
    if "performance" in monitor.kinds:
        yield ["performance"], now - duration_us(monitor.lag)


class _Run:
    """One run of a monitor: what it measured so far."""

    def __init__(self, project: Project, monitor: Monitor) -> None:
        self.project = project
        self.monitor = monitor
        self.windows: list[Window] = []
        self.alarms: list[Alarm] = []
        self.notes: list[str] = []
        self._baselines: dict[str, Baseline] = {}

    def measure_all(self, kinds: Sequence[Kind], ready_at: int) -> None:
        """Measure each window of these kinds that is complete at ``ready_at``."""
        with self.project.ledger.read() as tx:
            after = last_span(tx, self.monitor.name, kinds[0])
        while (span := next_span(self.project, self.monitor, after, ready_at)) is not None:
            measured = self._scored(span) if kinds[0] == "performance" else self._measured(span)
            try:
                with self.project.ledger.write() as tx:
                    done = [self._record(tx, kind, span, each) for each in measured.values() for kind in kinds]
            except ConflictError:  # another run of this monitor recorded the window meanwhile
                done = []
            for window, alarm in done:
                self.windows.append(window)
                self.alarms += [alarm] if alarm else []
            after = span

    def _measured(self, span: Span) -> dict[str, Measured]:
        found: dict[str, Measured] = {}
        for chunk in read_chunks(self.project, self.monitor, span):
            if chunk.version not in found:
                found[chunk.version] = Measured(self._baseline(chunk.version))
            found[chunk.version].add(chunk)
        for version, refused in read_refusals(self.project, self.monitor, span).items():
            if version not in found:  # not one request was good
                found[version] = Measured(self._baseline(version))
            found[version].refused = refused
        return found

    def _scored(self, span: Span) -> dict[str, Scored]:
        found: dict[str, Scored] = {}
        for chunk in read_chunks(self.project, self.monitor, span, labelled=True):
            if chunk.version not in found:
                found[chunk.version] = Scored(self._baseline(chunk.version))
            found[chunk.version].add(chunk)
        return found

    def _baseline(self, version: str) -> Baseline:
        if version not in self._baselines:
            self._baselines[version] = read_baseline(self.project, version)
            self.notes += self._baselines[version].notes
        return self._baselines[version]

    def _record(self, tx: WriteTx, kind: Kind, span: Span, measured: Measured | Scored) -> tuple[Window, Alarm | None]:
        version = measured.baseline.version
        states = read_states(tx, self.monitor.name, version.id)
        if isinstance(measured, Scored):
            body, outcomes = performance(self.monitor, measured, states)
        else:
            body, outcomes = measure(kind, self.monitor, measured, states)
        window = self._window(tx, kind, span, measured, body)
        insert_window(tx, window, span)
        write_states(tx, self.monitor.name, version.id, {each.cause: each.evidence for each in outcomes})
        return window, self._alarm(tx, window, measured, outcomes)

    def _window(self, tx: WriteTx, kind: Kind, span: Span, measured: Measured | Scored, body: dict[str, Any]) -> Window:
        version = measured.baseline.version
        return Window(
            id=tx.new_id(),
            monitor=self.monitor.name,
            kind=kind,
            model=version.model,
            version=version.id,
            number=version.number,
            start_at=span.start_at,
            end_at=span.end_at,
            rows=measured.rows,
            body=body,
            computed_at=tx.now,
        )

    def _alarm(
        self, tx: WriteTx, window: Window, measured: Measured | Scored, outcomes: Sequence[Outcome]
    ) -> Alarm | None:
        baseline = measured.baseline
        tests = tests_of(self.monitor, baseline)
        alarmed = open_causes(tx, self.monitor.name, window.version)
        fired = [each for each in outcomes if each.fires(tests, self.monitor.alpha) and each.cause not in alarmed]
        if not fired:
            return None
        return raise_alarm(
            tx,
            window,
            fired,
            label=baseline.version.label,
            threshold=math.log(tests / self.monitor.alpha),
            sample=measured.sample,
            baseline=baseline.evidence if window.kind == "performance" else None,
        )


def _next_at(project: Project, monitor: Monitor) -> int | None:
    if rows_of(monitor.window) is not None:
        return None
    kind = monitor.kinds[0]
    with project.ledger.read() as tx:
        last = last_span(tx, monitor.name, kind)
    lag = duration_us(monitor.lag) if kind == "performance" else 0
    if last is not None:
        return time_span(monitor.window, last.end_at).end_at + lag
    return None
