"""Files at HTTP(S) addresses, fetched again only where the server says that they changed."""

from __future__ import annotations

import hashlib
import posixpath
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec

from ..errors import CorruptError, InvalidInputError
from ..lake import Entry
from ..lake.media import media_of
from .fetching import fetcher_of, require_no_secrets, split_url
from .secrets import PREFIX, bare_url, resolve_within
from .source import Pulled, Source, read_settings
from .values import Planned

if TYPE_CHECKING:
    from .intake import Intake

_ALGORITHMS = ("sha256", "sha512", "sha384", "sha1", "md5", "blake3")
_BLOCK = 1 << 20


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """``url`` or ``urls``; ``path`` names a single file in the dataset (else the address's last part does).

    ``headers`` may take values from the environment: ``{Authorization = "Bearer env:TOKEN"}``. ``digest``:
    ``sha256:HEX`` that a single file must have. ``allow_private``: true, or the hosts that may be off the public
    network (true means those of the addresses declared, not those that they redirect to).
    """

    url: str = ""
    urls: list[str] = []
    path: str = ""
    headers: dict[str, str] = {}
    digest: str = ""
    largest_mib: int = 10_240
    timeout_s: float = 30.0
    limit_s: float = 3600.0
    retries: int = 3
    backoff_s: float = 0.5
    allow_private: bool | list[str] = False


class HttpSource(Source):
    """One or several files by their addresses."""

    kind: ClassVar[str] = "http"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._urls = ([settings.url] if settings.url else []) + settings.urls

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *, root: Path) -> Self:
        found = read_settings(cls.kind, settings, Settings)
        made = cls(found)
        if not made._urls:
            raise InvalidInputError("a source of kind 'http' needs url = \"https://...\", or urls = [...].")
        if (found.path or found.digest) and len(made._urls) > 1:
            raise InvalidInputError("'path' and 'digest' are for one url. Declare a source for each file.")
        require_no_secrets(found.headers)
        if found.digest:
            _digest_parts(found.digest)
        for url in made._urls:
            if not url.startswith(PREFIX):
                split_url(url)
        made._paths()
        return made

    @property
    def text(self) -> str:
        """The addresses without what is secret in them."""
        return ", ".join(bare_url(url) for url in self._urls)

    def pull(self, since: dict[str, Any] | None, into: Intake) -> Pulled:
        before: dict[str, dict[str, str]] = (since or {}).get("files", {})
        paths = self._paths()
        into.expect(len(paths))
        state = {path: self._pull_one(path, url, before.get(path), into) for path, url in paths.items()}
        for path in before:
            if path not in paths and path in into.current:
                into.remove(path)
        return Pulled(state={"files": state})

    def plan(self, since: dict[str, Any] | None, current: Mapping[str, Entry]) -> list[Planned]:
        before = (since or {}).get("files", {})
        planned = []
        for path, url in self._paths().items():
            known = path in current and _validators(before.get(path), current[path])
            what = f"{bare_url(url)} as {path}"
            planned.append(
                Planned(act="ask", what=what, why="fetched if it changed since the last pull")
                if known
                else Planned(act="fetch", what=what, why="new" if path not in current else "the server gave no ETag")
            )
        gone = [path for path in before if path not in self._paths() and path in current]
        return planned + [Planned(act="remove", what=path, why="its address is not declared any more") for path in gone]

    def test(self) -> str:
        found = []
        for url in self._paths().values():
            resolved = resolve_within(url)
            answered = fetcher_of(self._settings, [resolved]).head(resolved)
            size = f", {answered.size:,} bytes" if answered.size else ""
            found.append(f"{answered.url} answers ({answered.media or 'no media type'}{size})")
        return "; ".join(found)

    def _pull_one(self, path: str, url: str, before: dict[str, str] | None, into: Intake) -> dict[str, str]:
        resolved = resolve_within(url)
        file = into.folder / "download"
        known = _validators(before, into.current[path]) if path in into.current else {}
        if known and before and before.get("url") != bare_url(url):
            known = {}  # the same name for another address: what that one said of its file means nothing here
        found = fetcher_of(self._settings, [resolved]).fetch(resolved, file, known=known)
        if found.status == 304:
            into.keep(path)
            return {**(before or {})}
        if self._settings.digest:
            _require_digest(file, self._settings.digest, bare_url(url))
        media = media_of(path) or found.media
        proof = {
            "url": bare_url(url),
            "final_url": found.url,
            "fetched_at": into.now(),
            "attempts": found.attempts,
            "resumed_at": list(found.resumed_at),
            **found.validators(),
        }
        entry = into.put_file(path, file, media=media, proof=proof)
        file.unlink()
        return {"url": bare_url(url), "digest": entry.digest, **found.validators()}

    def _paths(self) -> dict[str, str]:
        """Return address by path in the dataset."""
        found: dict[str, str] = {}
        for url in self._urls:
            path = self._settings.path or name_of(url)
            if path in found:
                raise InvalidInputError(
                    f"'{bare_url(found[path])}' and '{bare_url(url)}' would both be '{path}'. Declare a source "
                    "for each, with path = and under =."
                )
            found[path] = url
        return found


def name_of(url: str) -> str:
    """Return the last part of an address as a file's name.

    Raises:
        InvalidInputError: it has none that can be one.
    """
    name = "" if url.startswith(PREFIX) else posixpath.basename(urllib.parse.unquote(urllib.parse.urlsplit(url).path))
    if not name or name in (".", "..") or not name.isprintable():
        raise InvalidInputError(f"'{bare_url(url)}' ends in no name for a file. Give one: path = \"NAME\".")
    return name


def _validators(before: dict[str, str] | None, entry: Entry) -> dict[str, str]:
    """Return what the last answer said of the file that is still there; nothing where it is another by now."""
    if not before or before.get("digest") != entry.digest:
        return {}
    return {key: before[key] for key in ("etag", "last_modified") if before.get(key)}


def _digest_parts(text: str) -> tuple[str, str]:
    algorithm, _, value = text.partition(":")
    if algorithm not in _ALGORITHMS or not value or set(value.lower()) - set("0123456789abcdef"):
        raise InvalidInputError(
            f"digest = '{text}' cannot be read. Write sha256:HEX (or {', '.join(_ALGORITHMS[1:])})."
        )
    return algorithm, value.lower()


def _require_digest(file: Path, wanted: str, url: str) -> None:
    algorithm, value = _digest_parts(wanted)
    if algorithm == "blake3":
        from blake3 import blake3

        hasher: Any = blake3()
    else:
        hasher = hashlib.new(algorithm, usedforsecurity=False)
    with open(file, "rb") as stream:
        while block := stream.read(_BLOCK):
            hasher.update(block)
    if hasher.hexdigest() != value:
        raise CorruptError(
            f"{url} is not the file that was declared: its {algorithm} is {hasher.hexdigest()}, and digest = says "
            f"{value}. Nothing of it was kept. If the file was meant to change, change the digest.",
            url=url,
            found=hasher.hexdigest(),
            expected=value,
        )
