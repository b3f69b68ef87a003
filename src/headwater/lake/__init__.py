"""The lake: datasets as immutable versions of files, branches and tags that name them, and reading.

``commit`` always makes a version and runs no checks; ``set_branch`` refuses a protected branch without a passing
verdict (``headwater.check`` makes those). Manifests are kept in ranges, so a version costs what it changed.

A name is loaded from its module when it is first used: a command pays for what it needs. New names go into both
lists below.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adding import add_files, put_files
    from .branches import create_branch, delete_branch, find_head, list_branches, list_tags, protect, set_branch, tag
    from .catalogue import Column, describe_column, list_columns
    from .comparing import RowDiff, TableComparison, compare_columns, compare_rows
    from .datasets import describe_dataset, list_datasets, set_description
    from .diffing import diff
    from .discovering import Found, SearchAnswer, ref_names, search
    from .files import get_entry, iter_files, list_files, list_folder
    from .finding import find_versions
    from .materialising import materialise
    from .merging import merge, revert
    from .origins import Origin, get_origin, list_history
    from .reading import Read, listening, open_file, read_bytes
    from .receiving import Received, receive
    from .refs import resolve
    from .scanning import scan
    from .table import Table
    from .tables import add_table, put_table
    from .usage import Usage, describe_usage, note_read, record_read
    from .values import Branch, Change, ColumnChange, Dataset, Diff, Entry, FilePage, Tag, Version
    from .verifying import verify
    from .versions import commit, log, show
    from .working import Waiting, folder_status, waiting
    from .working_checkout import CheckedOut, checkout

_HOMES = {
    "adding": "add_files put_files",
    "branches": "create_branch delete_branch find_head list_branches list_tags protect set_branch tag",
    "catalogue": "Column describe_column list_columns",
    "comparing": "RowDiff TableComparison compare_columns compare_rows",
    "datasets": "describe_dataset list_datasets set_description",
    "diffing": "diff",
    "discovering": "Found SearchAnswer ref_names search",
    "files": "get_entry iter_files list_files list_folder",
    "finding": "find_versions",
    "materialising": "materialise",
    "merging": "merge revert",
    "origins": "Origin get_origin list_history",
    "reading": "Read listening open_file read_bytes",
    "receiving": "Received receive",
    "refs": "resolve",
    "scanning": "scan",
    "table": "Table",
    "tables": "add_table put_table",
    "usage": "Usage describe_usage note_read record_read",
    "values": "Branch Change ColumnChange Dataset Diff Entry FilePage Tag Version",
    "verifying": "verify",
    "versions": "commit log show",
    "working": "Waiting folder_status waiting",
    "working_checkout": "CheckedOut checkout",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "Branch",
    "Change",
    "CheckedOut",
    "Column",
    "ColumnChange",
    "Dataset",
    "Diff",
    "Entry",
    "FilePage",
    "Found",
    "Origin",
    "Read",
    "Received",
    "RowDiff",
    "SearchAnswer",
    "Table",
    "TableComparison",
    "Tag",
    "Usage",
    "Version",
    "Waiting",
    "add_files",
    "add_table",
    "checkout",
    "commit",
    "compare_columns",
    "compare_rows",
    "create_branch",
    "delete_branch",
    "describe_column",
    "describe_dataset",
    "describe_usage",
    "diff",
    "find_head",
    "find_versions",
    "folder_status",
    "get_entry",
    "get_origin",
    "iter_files",
    "list_branches",
    "list_columns",
    "list_datasets",
    "list_files",
    "list_folder",
    "list_history",
    "list_tags",
    "listening",
    "log",
    "materialise",
    "merge",
    "note_read",
    "open_file",
    "protect",
    "put_files",
    "put_table",
    "read_bytes",
    "receive",
    "record_read",
    "ref_names",
    "resolve",
    "revert",
    "scan",
    "search",
    "set_branch",
    "set_description",
    "show",
    "tag",
    "verify",
    "waiting",
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
