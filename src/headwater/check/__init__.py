"""What must hold of data: checks that run by themselves before a version reaches a protected branch.

Checks are declared in headwater.toml (``[[checks.<dataset>]]``) or as functions in the project's checks.py
(``@hw.check("flights")``). ``publish`` = commit + run the checks + move the branch; a version that fails waits in
quarantine, readable, with its verdict.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from .arriving import arrive
from .functions import check
from .publishing import publish, publish_files, publish_tables
from .quarantine import quarantine, release_from_quarantine
from .running import run_checks
from .stability import stability_index
from .transferring import Mirrored, Moved, mirror, move
from .values import CheckResult, Publication, Quarantined, Verdict
from .verdicts import find_verdict, get_verdict, list_verdicts

__all__ = [
    "CheckResult",
    "Mirrored",
    "Moved",
    "Publication",
    "Quarantined",
    "Verdict",
    "arrive",
    "check",
    "find_verdict",
    "get_verdict",
    "list_verdicts",
    "mirror",
    "move",
    "publish",
    "publish_files",
    "publish_tables",
    "quarantine",
    "release_from_quarantine",
    "run_checks",
    "stability_index",
]


class _Callable(ModuleType):
    """This package under the name ``hw.check``, which users write as a decorator.

    Python sets ``headwater.check`` to the package as soon as anything imports it, over the function of that name.
    """

    def __call__(self, *args: Any, **options: Any) -> Any:
        return check(*args, **options)


sys.modules[__name__].__class__ = _Callable
