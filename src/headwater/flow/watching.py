"""What a worker watches while the user's code runs: files opened, folders listed, environment read, sockets.

Python tells of opens, listings and connections by audit events; the environment is watched where ``os.environ`` is
asked. Code that is not Python (a database engine reading a file by itself) is out of reach.
"""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .reads import ReadItem, env_digest, file_digest, folder_digest
from .unsound import PROGRAM

_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/", "/lib/", "/lib64/", "/run/")
# What looks for the version of a library lists every folder of ``sys.path``, the project's own among them.
_LISTING_LIBRARIES = ("/importlib/metadata/", "/importlib_metadata/")
_OWN = f"{Path(__file__).resolve().parents[1]}/"
_RUNNERS = ("/flow/worker.py", "/flow/steps.py", "/flow/performing.py", "/flow/handles.py")
_READ_FLAGS = os.O_WRONLY | os.O_RDWR


active: Watch | None = None
"""The watch of this process, once it has started."""


class Watch:
    """Collects reads of one process; ``start`` cannot be undone, since audit hooks stay."""

    def __init__(self, root: Path, quiet: tuple[str, ...] = ()) -> None:
        self.root = str(root.resolve())
        self._roots = (f"{self.root}/", f"{os.path.abspath(root)}/")
        self.reads: dict[tuple[str, str], ReadItem] = {}
        self.sockets: dict[str, str] = {}
        self.on = False
        self._code: list[ReadItem] = []
        self._looked_at: set[str] = set()
        self._there_before = set(sys.modules)
        self._busy = False
        self._written: set[str] = set()
        paths = {os.path.realpath(place) for place in (*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix)}
        own = str(Path(__file__).resolve().parents[1])
        self._quiet = (*_SYSTEM, *(f"{path}/" for path in paths), f"{own}/", f"{self.root}/.headwater/", *quiet)

    def start(self) -> None:
        """Begin to listen."""
        global active
        active = self
        sys.addaudithook(self._hook)
        _watch_environment(self)
        self.on = True

    def code_elsewhere(self) -> list[ReadItem]:
        """Return the modules that were imported from neither the snapshot nor what is installed.

        A folder behind a link, one of ``PYTHONPATH``, or a checkout that is installed in place: no key names them.
        """
        for name in sys.modules.keys() - self._looked_at:
            self._looked_at.add(name)
            module = sys.modules.get(name)
            path = getattr(module, "__file__", None)
            ours = hasattr(getattr(module, "__loader__", None), "file")  # of the snapshot
            if not isinstance(path, str) or not path.endswith(".py") or ours:
                continue
            if not path.startswith(self._roots) and name in self._there_before:
                continue
            if not _real(path).startswith(self._quiet) and not self._is_installed(path, name):
                self._code.append(ReadItem("code", self._name(path), file_digest(path)))
        return list(self._code)

    def _is_installed(self, path: str, module: str) -> bool:
        """Tell whether a file lies where ``pip install --target`` put it: a package's record beside it names it."""
        folder = os.path.dirname(path)
        for _ in range(module.count(".") + (os.path.basename(path) == "__init__.py")):
            folder = os.path.dirname(folder)
        before, self._busy = self._busy, True  # what is looked at here is no read of the step's
        try:
            return os.path.relpath(path, folder) in _recorded(folder)
        finally:
            self._busy = before

    def take_env(self, name: str) -> None:
        """Note that an environment variable was read by code of the project."""
        # What a run tells its steps of themselves is another each time, and no value of theirs.
        if self.on and ("env", name) not in self.reads and not name.startswith("HEADWATER_"):
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
            name = self._name(path)
            if ("file", name) not in self.reads and not os.path.isdir(full):
                self.reads["file", name] = ReadItem("file", name, file_digest(full))

    def _listed(self, args: tuple[Any, ...]) -> None:
        path = args[0] if args and args[0] is not None else "."
        if not isinstance(path, str | bytes | os.PathLike):
            return
        full = os.path.realpath(os.fsdecode(path))
        if self._counts(full + "/") and full not in self._written and not _by_import():
            name = self._name(path)
            self.reads.setdefault(("folder", name), ReadItem("folder", name, folder_digest(full)))

    def _made(self, args: tuple[Any, ...]) -> None:
        self._written.add(os.path.realpath(os.fsdecode(args[0])))

    def _connected(self, args: tuple[Any, ...]) -> None:
        address = args[1]
        text = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address)
        if not isinstance(address, str | bytes) and not _by_us():
            self.sockets.setdefault(text, text)

    def _opened_by_sqlite(self, args: tuple[Any, ...]) -> None:
        """SQLite opens its files by itself, and tells only of the connection; its file is read as it is then."""
        name = os.fsdecode(args[0]) if isinstance(args[0], str | bytes | os.PathLike) else ""
        path = name.removeprefix("file:").partition("?")[0]
        if path and path != ":memory:" and os.path.exists(path) and not _by_us():
            self._opened((path, "r", os.O_RDONLY))

    def _started(self, args: tuple[Any, ...]) -> None:
        program = args[0] if isinstance(args[0], str | bytes | os.PathLike) else (args[1] or ["?"])[0]
        text = f"{PROGRAM}{os.path.basename(os.fsdecode(program).split(' ')[0])}"
        if not _by_us() and self._by_project():
            self.sockets.setdefault(text, text)

    def _by_project(self) -> bool:
        """Tell whether code of the project does it, with nothing but Python's own library between."""
        frame: Any = sys._getframe(2)
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith(self._roots):
                return not name.startswith(self._quiet)
            if "/site-packages/" in name:
                return False
            frame = frame.f_back
        return False

    def _counts(self, full: str) -> bool:
        if full == f"{self.root}/headwater.toml":
            return False  # opening the project reads its settings; what they decide is not a step's value
        if not full.startswith(f"{self.root}/.headwater/") and full.startswith(f"{self.root}/"):
            # A virtual environment inside the project's folder is still no data.
            return not full.endswith((".pyc", ".pyo")) and not full.startswith(self._quiet)
        return not full.startswith(self._quiet) and not any(full.startswith(f"{each}/") for each in self._written)

    def _name(self, path: str | bytes | os.PathLike[Any]) -> str:
        """Return the path as it was asked for, not where its links lead: a link may lead elsewhere next time."""
        asked = os.path.abspath(os.fsdecode(path))
        return next((asked.removeprefix(root) for root in self._roots if asked.startswith(root)), asked)


def _real(path: str) -> str:
    """Return ``os.path.realpath`` of a module's file, looking each folder's links up once."""
    if os.path.islink(path):
        return os.path.realpath(path)
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(_real_folder(folder), name)


@functools.lru_cache(4096)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _of_thread(name: str, empty: Callable[[], Any]) -> Any:
    """Return a property that each thread has for itself."""

    def get(self: ThreadWatch) -> Any:
        if not hasattr(self._mine, name):
            setattr(self._mine, name, empty())
        return getattr(self._mine, name)

    return property(get, lambda self, value: setattr(self._mine, name, value))


class ThreadWatch(Watch):
    """A watch that keeps what each thread reads apart. A thread that a step starts by itself is not seen."""

    def __init__(self, root: Path, quiet: tuple[str, ...] = ()) -> None:
        self._mine = threading.local()
        super().__init__(root, quiet)

    reads = _of_thread("reads", dict)
    sockets = _of_thread("sockets", dict)
    on = _of_thread("on", bool)
    _busy = _of_thread("busy", bool)
    _written = _of_thread("written", set)


_EVENTS = {
    "open": Watch._opened,
    "os.listdir": Watch._listed,
    "os.scandir": Watch._listed,
    "os.mkdir": Watch._made,
    "socket.connect": Watch._connected,
    "sqlite3.connect": Watch._opened_by_sqlite,
    "subprocess.Popen": Watch._started,
    "os.system": Watch._started,
    "os.posix_spawn": Watch._started,
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
    """Tell whether Headwater does it for the step, not the step itself; what runs steps is neither."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_OWN) and not name.endswith("/watching.py"):
            return not name.endswith(_RUNNERS)
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


@functools.cache
def _recorded(folder: str) -> frozenset[str]:
    """Return the files that the packages installed into a folder brought."""
    found: set[str] = set()
    for entry in os.listdir(folder):
        record = os.path.join(folder, entry, "RECORD")
        if entry.endswith(".dist-info") and os.path.exists(record):
            with open(record, encoding="utf-8") as lines:
                found.update(line.split(",")[0] for line in lines)
    return frozenset(found)
