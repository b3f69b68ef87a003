"""Which installed distributions stand behind an imported name, with what they depend on, and their versions.

Reading all metadata takes a good part of a second, so the answer is kept in a file that names the exact list of
what is installed; it is made again when that list changes.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from headwater.canonical import digest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Distribution(msgspec.Struct, frozen=True):
    """One installed distribution: its version, the names it is imported by, and what it needs."""

    name: str
    version: str
    modules: list[str]
    needs: list[str]


class Installed:
    """The installed distributions, by what they are imported as."""

    def __init__(self, cache: Path) -> None:
        self.digest = digest("\n".join(_folders()).encode())
        self._path = cache / f"installed-{self.digest[:32]}.msgpack"
        self._all: dict[str, Distribution] | None = None
        self._by_module: dict[str, list[str]] = {}

    def versions(self, modules: Iterable[str]) -> dict[str, str]:
        """Return name to version of the distributions behind top-level module names and all that they need."""
        wanted = [each for each in modules if each not in _stdlib()]
        if not wanted:
            return {}
        everything = self._load()
        found: dict[str, str] = {}
        waiting = [name for module in wanted for name in self._by_module.get(module, ())]
        while waiting:
            name = waiting.pop()
            each = everything.get(name)
            if each is not None and name not in found:
                found[name] = each.version
                waiting.extend(each.needs)
        return dict(sorted(found.items()))

    def _load(self) -> dict[str, Distribution]:
        if self._all is None:
            try:
                listed = msgspec.msgpack.decode(self._path.read_bytes(), type=list[Distribution])
            except (OSError, msgspec.DecodeError):
                listed = _read_metadata()
                _write(self._path, msgspec.msgpack.encode(listed))
            self._all = {each.name: each for each in listed}
            for each in listed:
                for module in each.modules:
                    self._by_module.setdefault(module, []).append(each.name)
        return self._all


def _folders() -> list[str]:
    """Return the folders of all metadata with when they were made: installing a version again makes a new one."""
    found = []
    for place in sys.path:
        try:
            entries = [entry for entry in os.scandir(place or ".") if entry.name.endswith((".dist-info", ".egg-info"))]
        except OSError:
            continue
        found += [f"{entry.path} {entry.stat().st_mtime_ns}" for entry in entries]
    return sorted(found)


def _write(path: Path, data: bytes) -> None:
    """Write a cache file, all of it or nothing; a full disk only means that it is made again."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)


def _read_metadata() -> list[Distribution]:
    from importlib.metadata import distributions, packages_distributions

    by_name: dict[str, list[str]] = {}
    for module, names in packages_distributions().items():
        for name in set(names):
            by_name.setdefault(_plain(name), []).append(module)
    found: dict[str, Distribution] = {}
    for each in distributions():
        name = _plain(each.name or "")
        if not name or name in found:
            continue
        needs = [_required(text) for text in each.requires or () if "extra ==" not in text]
        version = each.version + _source_of(each.read_text("direct_url.json"), each.read_text("RECORD"))
        found[name] = Distribution(name, version, sorted(by_name.get(name, ())), needs)
    return list(found.values())


def _source_of(url: str | None, record: str | None) -> str:
    """Return what tells apart two installations of one version from a checkout or an address, "" for an index's."""
    return f" ({digest((record or url).encode())[:12]})" if url else ""


def _required(text: str) -> str:
    match = _NAME.match(text.strip())
    return _plain(match[0]) if match else ""


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _stdlib() -> frozenset[str]:
    # Headwater itself is not counted: its version is no part of what a step computes.
    return sys.stdlib_module_names | {"headwater"}
