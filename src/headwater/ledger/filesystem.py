"""Which kind of file system a path lies on: SQLite's write-ahead log is not safe on one shared over a network."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ..errors import StorageError

_NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"}
)
_NETWORK_FUSE = ("gcsfuse", "glusterfs", "goofys", "juicefs", "mountpoint-s3", "rclone", "s3fs", "sshfs")
_MOUNTS = Path("/proc/self/mountinfo")


def file_system_of(path: Path) -> str:
    """Return the type of the file system that holds ``path`` (``ext4``, ``nfs4``, ``fuse.sshfs``); "" when unknown.

    Source: proc_pid_mountinfo(5). The last mount on the longest matching mount point is the one seen.
    """
    real = os.path.realpath(path)
    kind, longest = "", -1
    try:
        lines = _MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, after = line.partition(" - ")
        point = _unescaped(before.split(" ")[4])
        inside = real == point or real.startswith(point if point == "/" else point + "/")
        if inside and len(point) >= longest:
            kind, longest = after.split(" ", 1)[0], len(point)
    return kind


def refuse_network(folder: Path, file_system: Callable[[Path], str] = file_system_of) -> None:
    """Refuse a folder that other machines may write as well.

    Raises:
        StorageError: the folder lies on NFS, CIFS, 9p or the like.
    """
    kind = file_system(folder)
    program = kind.removeprefix("fuse.")
    if kind in _NETWORK or (kind.startswith("fuse") and program.startswith(_NETWORK_FUSE)):
        raise StorageError(
            f"the ledger cannot lie in '{folder}': it is on a network file system ({kind}), where SQLite's "
            "write-ahead log may lose or corrupt facts. Put the project on a local disk, or use a Postgres ledger.",
            path=str(folder),
            file_system=kind,
        )


def _unescaped(point: str) -> str:
    """Return a mount point as it is: mountinfo writes space, tab, newline and backslash in octal."""
    for octal, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(octal, letter)
    return point
