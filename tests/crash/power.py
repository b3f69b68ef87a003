"""A model of a disk that loses power: of what a program's system calls did, it keeps what was synced.

A file has the content it had at its last fsync or fdatasync, a folder the entries of its last fsync: an entry made
without one is gone, even where a real file system would have kept it. Read from a recording of strace.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CALLS = (
    "open,openat,creat,close,dup,dup2,dup3,fcntl,lseek,read,write,pwrite64,writev,pwritev,ftruncate,fallocate,fsync,"
    "fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,mkdir,mkdirat,copy_file_range,sendfile"
)
_LINE = re.compile(r"^(\d+) +(.*)$")
_CALL = re.compile(r"^(\w+)\((.*)\) += (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_MISSING = "strace is not installed; run 'make system'"


class Node:
    """A file or a folder: as programs see it, and as the disk has it."""

    def __init__(self, folder: bool = False) -> None:
        self.folder = folder
        self.data = bytearray()
        self.synced = b""
        self.entries: dict[str, Node] = {}
        self.synced_entries: dict[str, Node] = {}


class Disk:
    """The files below ``root``, by the system calls seen so far."""

    def __init__(self, root: Path) -> None:
        self._root = f"{root}/"
        self.top = Node(folder=True)
        self.open: dict[int, tuple[Node, list[int], bool]] = {}

    def _find(self, path: str) -> tuple[Node, str] | None:
        """Return the folder of a path and the last name; None for what lies elsewhere."""
        if not path.startswith(self._root):
            return None
        *above, name = path[len(self._root) :].rstrip("/").split("/")
        node: Node | None = self.top
        for each in above:
            node = node.entries.get(each) if node else None
        return (node, name) if node else None

    def call(self, name: str, args: str, result: int) -> None:
        """Take in one call that succeeded."""
        texts = [bytes.fromhex(each.replace("\\x", "")) for each in _TEXT.findall(args)]
        fields = args.split(", ")
        if name in ("open", "openat", "creat"):
            self._open(texts[0].decode(), args, result)
        elif name in ("rename", "renameat", "renameat2", "link", "linkat"):
            self._name(name.startswith("rename"), *(each.decode() for each in texts[:2]))
        elif name in ("unlink", "unlinkat", "rmdir", "mkdir", "mkdirat"):
            if found := self._find(texts[0].decode()):
                if name.startswith("mkdir"):
                    found[0].entries[found[1]] = Node(folder=True)
                else:
                    found[0].entries.pop(found[1], None)
        elif fields[0].isdigit() and int(fields[0]) in self.open:
            self._with(name, int(fields[0]), fields, b"".join(texts), result)

    def _open(self, path: str, args: str, result: int) -> None:
        self.open.pop(result, None)
        if f"{path}/" == self._root:
            self.open[result] = (self.top, [0], False)
        found = self._find(path)
        if found is None:
            return
        node = found[0].entries.get(found[1])
        if node is None and "O_CREAT" in args:
            node = found[0].entries[found[1]] = Node()
        if node is not None:
            if "O_TRUNC" in args:
                node.data.clear()
            self.open[result] = (node, [0], "O_APPEND" in args)

    def _name(self, moved: bool, old: str, new: str) -> None:
        source, target = self._find(old), self._find(new)
        if source and target and source[1] in source[0].entries:
            target[0].entries[target[1]] = source[0].entries[source[1]]
            if moved:
                del source[0].entries[source[1]]

    def _with(self, name: str, file: int, fields: list[str], data: bytes, result: int) -> None:
        node, at, append = self.open[file]
        if name == "close":
            del self.open[file]
        elif name.startswith("dup") or (name == "fcntl" and "F_DUPFD" in fields[1]):
            self.open[result] = self.open[file]
        elif name == "lseek":
            at[0] = result
        elif name == "read":
            at[0] += result
        elif name in ("write", "writev"):
            at[0] = len(node.data) if append else at[0]
            _put(node.data, at[0], data[:result])
            at[0] += result
        elif name in ("pwrite64", "pwritev"):
            _put(node.data, int(fields[-1]), data[:result])
        elif name == "ftruncate":
            size = int(fields[1])
            del node.data[size:]
            node.data.extend(bytes(size - len(node.data)))
        elif name in ("fsync", "fdatasync"):
            node.synced = bytes(node.data)
            node.synced_entries = dict(node.entries)
        elif name in ("copy_file_range", "sendfile"):
            raise AssertionError(f"the model of the disk does not know {name}")

    def leave(self, place: Path, *, entries: str) -> None:
        """Write out what the disk has; ``entries`` is ``synced``, or ``seen`` for folders that were all written."""
        _leave(self.top, place, entries)


def _put(data: bytearray, at: int, new: bytes) -> None:
    data.extend(bytes(max(0, at - len(data))))
    data[at : at + len(new)] = new


def _leave(node: Node, place: Path, entries: str) -> None:
    place.mkdir()
    for name, child in (node.synced_entries if entries == "synced" else node.entries).items():
        if child.folder:
            _leave(child, place / name, entries)
        elif not name.endswith("-shm"):
            (place / name).write_bytes(child.synced)


def record(folder: Path, left_out: str = "", rounds: int = 1) -> Path:
    """Run the writer in a folder under strace and return the recording; one sync may be left out, by name."""
    if shutil.which("strace") is None:
        raise AssertionError(_MISSING)
    trace = folder / "trace"
    command = ["strace", "-f", "--seccomp-bpf", "-xx", "-s", "1000000", "-e", f"trace={CALLS}", "-o", str(trace)]
    writer = [sys.executable, "-m", "tests.crash.writer", str(folder), left_out, str(rounds)]
    root = Path(__file__).parent.parent.parent
    subprocess.run([*command, *writer], check=True, cwd=root)
    return trace


def replay(folder: Path, trace: Path) -> Iterator[tuple[bytes, Disk]]:
    """Yield the acknowledgements so far and the disk, at the moment of each acknowledgement."""
    disk = Disk(folder)
    for name, args, result in calls(trace):
        if result < 0:
            continue
        before = len(_acks(disk))
        disk.call(name, args, result)
        if len(_acks(disk)) > before:
            yield _acks(disk), disk


def _acks(disk: Disk) -> bytes:
    node = disk.top.entries.get("acks.jsonl")
    return bytes(node.data) if node else b""


def calls(trace: Path) -> Iterator[tuple[str, str, int]]:
    """Yield name, arguments and result of each call, those of several threads put together, as they ended."""
    begun: dict[str, str] = {}
    with trace.open() as lines:
        for line in lines:
            found = _LINE.match(line)
            if found is None:
                continue
            thread, text = found.groups()
            if text.endswith("<unfinished ...>"):
                begun[thread] = text.removesuffix("<unfinished ...>").rstrip()
                continue
            if text.startswith("<... "):
                text = begun.pop(thread, "") + text.partition("resumed>")[2]
            call = _CALL.match(text)
            if call:
                yield call[1], call[2], int(call[3])
