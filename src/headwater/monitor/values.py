"""What monitoring hands out: declared monitors, windows as they were measured, alarms."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Kind = Literal["quality", "drift", "performance"]


class Monitor(msgspec.Struct, frozen=True, kw_only=True):
    """What is watched, as ``[[monitors]]`` in headwater.toml declares it.

    ``window`` is ``1d``, ``7d``, ``month`` or ``500 rows``, over ``occurred_at`` in UTC. ``alpha`` bounds the chance
    that this monitor gives any false alarm about one model version, however long and often it looks, until an alarm
    is acknowledged. ``lag`` (``14d``) is how long outcomes may take; performance windows wait for it.
    The bars are effects too small to matter: ``drift_bar`` a stability index, ``nulls_bar``, ``outside_bar`` and
    ``refused_bar`` shares of rows, ``performance_bar`` a loss of AUC or a gain of the Brier score beyond the
    interval of the evaluation.
    """

    name: str
    model: str
    channel: str = "production"
    window: str = "1d"
    kinds: tuple[Kind, ...] = ("quality", "drift")
    alpha: float = 0.01
    lag: str = "0d"
    drift_bar: float = 0.1
    nulls_bar: float = 0.05
    outside_bar: float = 0.05
    refused_bar: float = 0.01
    performance_bar: float = 0.02


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One complete window of one model version, as it was measured.

    ``body`` by kind. quality: ``columns`` [{name, rows, nulls, nulls_reference, outside}], ``refused``,
    ``refused_share``.
    drift: ``columns`` [{name, side: input|output, psi, psi_since, since_windows, log_e, bar, counts, reference,
    labels}].
    performance: ``outcomes``, ``coverage``, ``metrics`` {auc, brier, log_loss, accuracy} each {value, reference,
    low, high, reference_low, reference_high}, ``estimate`` {auc, brier, log_loss, accuracy}, which assumes that the
    probabilities are calibrated.
    """

    id: str
    monitor: str
    kind: Kind
    model: str
    version: str
    number: int
    start_at: int
    end_at: int
    rows: int
    body: dict[str, Any]
    computed_at: int


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """That something watched left its bounds. ``causes`` are what fired, each with its statistic and bar.

    Each of ``body["causes"]`` is {cause, test, feature, statistic, bar, e_value, log_e, threshold, rows, sentence};
    ``sample`` in the body holds some ids of predictions of the window.
    """

    id: str
    monitor: str
    kind: Kind
    model: str
    version: str
    number: int
    window: str
    start_at: int
    end_at: int
    title: str
    body: dict[str, Any]
    created_at: int
    causes: tuple[str, ...] = ()
    acknowledged_at: int | None = None
    acknowledged_by: str | None = None
    reason: str | None = None

    @property
    def ref(self) -> str:
        """The text that names this alarm in announcements and the lineage."""
        return f"alarm:{self.id}"


class MonitorReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of a monitor measured: the windows that were new, and the alarms they raised.

    ``next_at`` is when the next window is complete (None for windows of rows, or when nothing was predicted).
    ``notes`` say in sentences what could not be watched and why.
    """

    monitor: str
    model: str
    windows: tuple[Window, ...]
    alarms: tuple[Alarm, ...]
    next_at: int | None = None
    notes: tuple[str, ...] = ()
