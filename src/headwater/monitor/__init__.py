"""Monitoring: windows of predictions and outcomes held against training and evaluation, and alarms that can be trusted.

Alarms come from sequential tests whose false-alarm rate holds over any number of looks and over all features
together (``evidence.py``), and only where the effect is large enough to matter.
"""

from .alarms import acknowledge, get_alarm, list_alarms
from .declared import get_monitor, list_monitors
from .running import run_monitor
from .values import Alarm, Monitor, MonitorReport, Window
from .windows import list_windows

__all__ = [
    "Alarm",
    "Monitor",
    "MonitorReport",
    "Window",
    "acknowledge",
    "get_alarm",
    "get_monitor",
    "list_alarms",
    "list_monitors",
    "list_windows",
    "run_monitor",
]
