"""What must hold of data: checks that run by themselves before a version reaches a protected branch.

Checks are declared in headwater.toml (``[[checks.<dataset>]]``) or as functions in the project's checks.py
(``@hw.check("flights")``). ``publish`` = commit + run the checks + move the branch; a version that fails waits in
quarantine, readable, with its verdict.

A name is loaded from its module when it is first used: who publishes what has no checks does not pay for them. New
names go into both lists below.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arriving import arrive
    from .functions import check
    from .publishing import publish, publish_files, publish_tables
    from .quarantining import quarantine, release_from_quarantine
    from .running import run_checks
    from .stability import stability_index
    from .transferring import Mirrored, Moved, mirror, move
    from .values import CheckResult, Publication, Quarantined, Verdict
    from .verdicts import find_verdict, get_verdict, list_verdicts

_HOMES = {
    "arriving": "arrive",
    "functions": "check",
    "publishing": "publish publish_files publish_tables",
    "quarantining": "quarantine release_from_quarantine",
    "running": "run_checks",
    "stability": "stability_index",
    "transferring": "Mirrored Moved mirror move",
    "values": "CheckResult Publication Quarantined Verdict",
    "verdicts": "find_verdict get_verdict list_verdicts",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

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


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Callable(ModuleType):
    """This package under the name ``hw.check``, which users write as a decorator.

    Python sets ``headwater.check`` to the package as soon as anything imports it, over the function of that name.
    """

    def __call__(self, *args: Any, **options: Any) -> Any:
        from .functions import check

        return check(*args, **options)


sys.modules[__name__].__class__ = _Callable
