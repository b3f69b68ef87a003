"""One ledger, one object store, one event log, and their settings: opened by folder or by URL.

``open_project`` is the one way in. A project opened by folder runs operations in place and is its
own administrator; one opened by URL sends them to a server, which checks who is asking.
"""

from .base import Actor, Project
from .current import current_project
from .local import LocalProject, create_project, running_operations
from .opening import find_root, open_project
from .settings import Settings

__all__ = [
    "Actor",
    "LocalProject",
    "Project",
    "Settings",
    "create_project",
    "current_project",
    "find_root",
    "open_project",
    "running_operations",
]
