"""Searching for parameters: a flow run again and again, each trial a run; what to try next follows what went well."""

from .searching import Search, list_trials, tune_flow
from .spaces import Dimension, read_space

__all__ = ["Dimension", "Search", "list_trials", "read_space", "tune_flow"]
