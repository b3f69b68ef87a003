"""The lake: datasets as immutable versions of files, branches and tags that name them, and reading.

``commit`` always makes a version and runs no checks; ``set_branch`` refuses a protected branch without a passing
verdict (``headwater.check`` makes those). Manifests are kept in ranges, so a version costs what it changed.
"""

from __future__ import annotations

from .adding import add_files, put_files
from .branches import (
    create_branch,
    delete_branch,
    find_head,
    list_branches,
    list_tags,
    protect,
    set_branch,
    tag,
)
from .datasets import describe_dataset, list_datasets, set_description
from .diffing import diff
from .files import get_entry, iter_files, list_files, list_folder
from .materialising import materialise
from .merging import merge, revert
from .reading import Read, listening, open_file, read_bytes
from .refs import resolve
from .scanning import scan
from .table import Table
from .tables import add_table, put_table
from .values import Branch, Change, ColumnChange, Dataset, Diff, Entry, FilePage, Tag, Version
from .verifying import verify
from .versions import commit, log, show

__all__ = [
    "Branch",
    "Change",
    "ColumnChange",
    "Dataset",
    "Diff",
    "Entry",
    "FilePage",
    "Read",
    "Table",
    "Tag",
    "Version",
    "add_files",
    "add_table",
    "commit",
    "create_branch",
    "delete_branch",
    "describe_dataset",
    "diff",
    "find_head",
    "get_entry",
    "iter_files",
    "list_branches",
    "list_datasets",
    "list_files",
    "list_folder",
    "list_tags",
    "listening",
    "log",
    "materialise",
    "merge",
    "open_file",
    "protect",
    "put_files",
    "put_table",
    "read_bytes",
    "resolve",
    "revert",
    "scan",
    "set_branch",
    "set_description",
    "show",
    "tag",
    "verify",
]
