"""What a worker watches while the user's code runs: files opened, folders listed, environment read, sockets.

Python tells of opens, listings and connections by audit events; the environment is watched where ``os.environ`` is
asked. Code that is not Python (a database engine reading a file by itself) is out of reach.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

from .reads import ReadItem, env_digest, file_digest, folder_digest

_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/", "/lib/", "/lib64/", "/run/")
# What looks for the version of a library lists every folder of ``sys.path``, the project's own among them.
_LISTING_LIBRARIES = ("/importlib/metadata/", "/importlib_metadata/")
_READ_FLAGS = os.O_WRONLY | os.O_RDWR


class Watch:
    """Collects reads of one process; ``start`` cannot be undone, since audit hooks stay."""

    def __init__(self, root: Path, quiet: tuple[str, ...] = ()) -> None:
        self.root = str(root.resolve())
        self.reads: dict[tuple[str, str], ReadItem] = {}
        self.sockets: dict[str, str] = {}
        self.on = False
        self._busy = False
        self._written: set[str] = set()
        paths = {os.path.realpath(place) for place in (*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix)}
        own = str(Path(__file__).resolve().parents[1])
        self._quiet = (*_SYSTEM, *(f"{path}/" for path in paths), f"{own}/", f"{self.root}/.headwater/", *quiet)

    def start(self) -> None:
        """Begin to listen."""
        sys.addaudithook(self._hook)
        _watch_environment(self)
        self.on = True

    def take_env(self, name: str) -> None:
        """Note that an environment variable was read by code of the project."""
        if self.on and ("env", name) not in self.reads:
            self.reads["env", name] = ReadItem("env", name, env_digest(name))

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on or self._busy or event not in _EVENTS:
            return
        self._busy = True
        try:
            _EVENTS[event](self, args)
        except Exception:  # noqa: BLE001  # a hook that raises would break the user's call
            return
        finally:
            self._busy = False

    def _opened(self, args: tuple[Any, ...]) -> None:
        path, mode, flags = args
        if not isinstance(path, str | bytes | os.PathLike):
            return
        full = os.path.realpath(os.fsdecode(path))
        writing = bool(flags & _READ_FLAGS) if isinstance(flags, int) else "w" in str(mode)
        if writing:
            self._written.add(full)
        elif self._counts(full) and full not in self._written and not _by_import():
            name = self._name(full)
            if ("file", name) not in self.reads and not os.path.isdir(full):
                self.reads["file", name] = ReadItem("file", name, file_digest(full))

    def _listed(self, args: tuple[Any, ...]) -> None:
        path = args[0] if args and args[0] is not None else "."
        if not isinstance(path, str | bytes | os.PathLike):
            return
        full = os.path.realpath(os.fsdecode(path))
        if self._counts(full + "/") and full not in self._written and not _by_import():
            name = self._name(full)
            self.reads.setdefault(("folder", name), ReadItem("folder", name, folder_digest(full)))

    def _made(self, args: tuple[Any, ...]) -> None:
        self._written.add(os.path.realpath(os.fsdecode(args[0])))

    def _connected(self, args: tuple[Any, ...]) -> None:
        address = args[1]
        text = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address)
        if not isinstance(address, str | bytes) and not _by_us():
            self.sockets.setdefault(text, text)

    def _counts(self, full: str) -> bool:
        if full == f"{self.root}/headwater.toml":
            return False  # opening the project reads its settings; what they decide is not a step's value
        if not full.startswith(f"{self.root}/.headwater/") and full.startswith(f"{self.root}/"):
            # A virtual environment inside the project's folder is still no data.
            return not full.endswith((".pyc", ".pyo")) and not full.startswith(self._quiet)
        return not full.startswith(self._quiet) and not any(full.startswith(f"{each}/") for each in self._written)

    def _name(self, full: str) -> str:
        return full.removeprefix(f"{self.root}/")


_EVENTS = {
    "open": Watch._opened,
    "os.listdir": Watch._listed,
    "os.scandir": Watch._listed,
    "os.mkdir": Watch._made,
    "socket.connect": Watch._connected,
}


def _by_import() -> bool:
    """Tell whether the import system itself opens or lists, which keys see in other ways."""
    frame = sys._getframe(3)
    for _ in range(4):
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib") or any(part in name for part in _LISTING_LIBRARIES):
            return True
        if frame.f_back is None:
            break
        frame = frame.f_back
    return frame.f_code.co_filename.endswith(("/linecache.py", "/flow/importer.py"))


def _by_us() -> bool:
    frame: Any = sys._getframe(2)
    own = str(Path(__file__).resolve().parents[1])
    while frame is not None:
        if frame.f_code.co_filename.startswith(f"{own}/") and not frame.f_code.co_filename.endswith("watching.py"):
            return not frame.f_code.co_filename.endswith("worker.py")
        frame = frame.f_back
    return False


def _watch_environment(watch: Watch) -> None:
    kind = type(os.environ)
    plain = kind.__getitem__
    project = f"{watch.root}/"

    def watched(self: Any, key: str) -> str:
        frame: Any = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename.startswith("<frozen "):
            frame = frame.f_back
        if frame is not None and frame.f_code.co_filename.startswith(project) and isinstance(key, str):
            watch.take_env(key)
        return plain(self, key)

    kind.__getitem__ = watched  # type: ignore[method-assign]  # how reads of the environment are seen
