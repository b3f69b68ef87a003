"""Fetching over HTTP: checked addresses, followed redirects, resumed downloads, bounds on size and time, retries.

With the standard library's client, so that the connection goes to the very address that was checked.
"""

from __future__ import annotations

import functools
import http.client
import importlib.metadata
import random
import ssl
import time
import urllib.parse
import zlib
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Protocol

import msgspec

from ..errors import CorruptError, DeniedError, HeadwaterError, InvalidInputError, SourceMissingError, UnavailableError
from .addresses import connected
from .secrets import PREFIX, bare_url, resolve_within

_BLOCK = 1 << 16
_LONGEST_WAIT_S = 60.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key", "api-key", "x-auth-token"})
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a request: ``status`` 200, or 304 (not modified: no file). ``url`` is where it was in the end."""

    status: int
    url: str
    size: int = 0
    media: str = ""
    charset: str = ""
    etag: str = ""
    last_modified: str = ""
    attempts: int = 1
    resumed_at: tuple[int, ...] = ()

    def validators(self) -> dict[str, str]:
        """Return what the next request may be made conditional on."""
        found = {"etag": self.etag, "last_modified": self.last_modified}
        return {key: value for key, value in found.items() if value}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much a source bears. ``timeout_s``: without a byte; ``limit_s``: for one file in all."""

    largest_bytes: int = 10 << 30
    timeout_s: float = 30.0
    limit_s: float = 3600.0
    retries: int = 3
    backoff_s: float = 0.5
    redirects: int = 5


class _Broken(Exception):
    """The connection ended before the body did, or the server asks to be asked again; ``wait_s`` if it said when."""

    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class Fetcher:
    """Fetches URLs for one source. ``private``: hosts that need not be on the public network; True: all.

    ``headers`` (credentials, resolved) go to ``hosts`` only, never along a redirect to another host.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        private: frozenset[str] | bool = False,
        headers: Mapping[str, str] | None = None,
        origins: frozenset[str] = frozenset(),
        allow: Callable[[str], None] | None = None,
    ) -> None:
        self._limits = limits
        self._private = private
        self._headers = dict(headers or {})
        self._origins = origins
        self._allow = allow

    def fetch(self, url: str, file: Path, *, known: Mapping[str, str] | None = None) -> Fetched:
        """Fetch a URL into a file, conditionally on the ``known`` validators (of an earlier ``Fetched``).

        A download that breaks goes on where it broke, if the server can say that the file is still the same.

        Raises:
            SourceMissingError, DeniedError, InvalidInputError: the server says so, or it is too large.
            RefusedError: an address on the way is not on the public network.
            UnavailableError: it still failed after the retries, or took too long.
        """
        deadline = time.monotonic() + self._limits.limit_s
        progress = _Download(file)
        for attempt in range(1, self._limits.retries + 2):
            try:
                found = self._attempt(url, progress, known or {}, deadline)
                return msgspec.structs.replace(found, attempts=attempt, resumed_at=tuple(progress.resumed_at))
            except (_Broken, UnavailableError, OSError, http.client.HTTPException) as error:
                if attempt > self._limits.retries or time.monotonic() >= deadline:
                    raise _given_up(url, attempt, error) from error
                asked = error.wait_s if isinstance(error, _Broken) and error.wait_s is not None else 0.0
                # Half fixed, half by chance: many pulls that failed together must not come back together.
                backoff = self._limits.backoff_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
                time.sleep(max(0.0, min(max(asked, backoff), _LONGEST_WAIT_S, deadline - time.monotonic())))
        raise AssertionError("the last attempt returns or raises")

    def head(self, url: str) -> Fetched:
        """Ask for the headers of a URL, once; raises as ``fetch``."""
        deadline = time.monotonic() + self._limits.timeout_s
        try:
            response, at = self._open(url, "HEAD", {}, deadline)
        except (_Broken, OSError, http.client.HTTPException) as error:
            raise _given_up(url, 1, error) from error
        with response:
            if response.status in (405, 501):  # it knows no HEAD, so it is there
                return Fetched(status=200, url=bare_url(at))
            _require_ok(response, at)
            return _described(response, at, int(response.headers.get("content-length") or 0))

    def _attempt(self, url: str, progress: _Download, known: Mapping[str, str], deadline: float) -> Fetched:
        headers = progress.headers() or _conditions(known)
        response, at = self._open(url, "GET", headers, deadline)
        with response:
            if response.status == 304:
                return Fetched(
                    status=304,
                    url=bare_url(at),
                    etag=known.get("etag", ""),
                    last_modified=known.get("last_modified", ""),
                )
            if response.status == 416:
                progress.forget()
                raise _Broken("the server has no such range, so the download begins anew", 0.0)
            _require_ok(response, at)
            progress.take(response, at, self._limits, deadline)
            return _described(response, at, progress.size)

    def _open(
        self, url: str, method: str, headers: Mapping[str, str], deadline: float
    ) -> tuple[http.client.HTTPResponse, str]:
        """Send a request, follow where it is sent, each place checked as the first; return the answer and its URL."""
        for _ in range(self._limits.redirects + 1):
            response = self._once(url, method, headers, deadline)
            if response.status not in _REDIRECTS:
                return response, url
            target = response.headers.get("location", "")
            response.close()
            if not target:
                raise InvalidInputError(f"{bare_url(url)} answered {response.status} without saying where to go.")
            url = redirected(url, target)
        raise InvalidInputError(
            f"{bare_url(url)} was reached by more than {self._limits.redirects} redirects. Give the address it ends at."
        )

    def _once(self, url: str, method: str, headers: Mapping[str, str], deadline: float) -> http.client.HTTPResponse:
        parts = split_url(url)
        assert parts.hostname is not None  # split_url saw to it
        if self._allow is not None:
            self._allow(url)
        host = _ascii(parts.hostname)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        private = self._private if isinstance(self._private, bool) else parts.hostname in self._private
        timeout_s = max(0.1, min(self._limits.timeout_s, deadline - time.monotonic()))
        opened = connected(host, port, private=private, timeout_s=timeout_s)
        try:
            if secure:
                opened = ssl.create_default_context().wrap_socket(opened, server_hostname=host)
            connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
            connection.sock = opened
            own = self._headers if origin_of(url) in self._origins else {}
            shown = f"[{host}]" if ":" in host else host
            place = shown if parts.port is None else f"{shown}:{port}"
            sent = {"Host": place, "User-Agent": agent(), "Accept": "*/*", "Accept-Encoding": "identity"}
            sent |= {"Connection": "close", **headers, **own}
            connection.request(method, _target(parts), headers=sent)
            response = connection.getresponse()
            opened.close()  # the answer still reads from it; with the answer it goes
        except ssl.SSLCertVerificationError as error:
            opened.close()
            raise InvalidInputError(
                f"{bare_url(url)} cannot prove that it is {host}: {error.verify_message}. Check the address.", url=url
            ) from error
        except BaseException:
            opened.close()
            raise
        return response


class _Download:
    """One file on its way: what is there of it, and what a resumption may rely on."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.size = 0
        self.resumed_at: list[int] = []
        self._validator = ""

    def headers(self) -> dict[str, str]:
        """Return what asks for the rest; nothing where the download begins."""
        if not self.size or not self._validator:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self._validator}

    def forget(self) -> None:
        self.size, self._validator = 0, ""

    def take(self, response: http.client.HTTPResponse, url: str, limits: Limits, deadline: float) -> None:
        """Write the body to the file, after what is there where the server goes on from it."""
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        goes_on = response.status == 206 and self.size and _range_start(response) == self.size
        if response.status == 206 and not goes_on:
            self.forget()
            raise _Broken("the server sent another range than was asked for", 0.0)
        if goes_on:
            self.resumed_at.append(self.size)
        else:
            self.size = 0
        etag = response.headers.get("etag", "")
        strong = etag if etag and not etag.startswith("W/") else response.headers.get("last-modified", "")
        self._validator = strong if encoding == "identity" else ""
        length = response.length  # None where the end of the connection is the end of the body
        if length is not None:
            _require_size(url, self.size + length, limits)
        inflate = _decoder(encoding, url)
        received = 0
        with open(self.file, "ab" if goes_on else "wb") as out:
            while block := response.read1(_BLOCK):
                received += len(block)
                self._write(out, _expanded(inflate, block, url) if inflate else block, url, limits)
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"{bare_url(url)} took longer than limit_s = {limits.limit_s:.0f} seconds; {self.size:,} bytes "
                        "had come. Raise limit_s if it is meant to be so slow.",
                        url=bare_url(url),
                    )
        if inflate is not None and not inflate.eof:
            raise _Broken("the compressed body ended before its end")
        if length is not None and received < length:
            raise _Broken(f"the body ended after {received:,} of {length:,} bytes")

    def _write(self, out: IO[bytes], data: bytes, url: str, limits: Limits) -> None:
        self.size += len(data)
        _require_size(url, self.size, limits)
        out.write(data)


@functools.cache
def agent() -> str:
    """Return the User-Agent: the product token that robots.txt files address, and the version."""
    return f"headwater/{importlib.metadata.version('headwater')}"


def split_url(url: str) -> urllib.parse.SplitResult:
    """Return the parts of an http(s) URL.

    Raises:
        InvalidInputError: it is no such URL, or holds a user and password.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InvalidInputError(f"'{bare_url(url)}' is not an address: {error}.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInputError(f"'{bare_url(url)}' is not an address to fetch from: write http(s)://HOST/PATH.")
    if parts.username is not None:
        raise InvalidInputError(
            f"the address of {bare_url(url)} holds a user and password. Take them out and give them as a header from "
            'the environment: headers = {Authorization = "env:NAME"}.'
        )
    return parts


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL: whom credentials are for."""
    parts = split_url(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def require_no_secrets(headers: Mapping[str, str]) -> None:
    """Raise InvalidInputError where a declaration spells a credential out instead of naming its variable."""
    for name, value in headers.items():
        if name.lower() in _CREDENTIALS and PREFIX not in value:
            raise InvalidInputError(
                f"the header {name} is written out in the declaration, where everybody who reads it sees it. Take it "
                f'from the environment: {name} = "Bearer env:NAME".',
                header=name,
            )


def _ascii(host: str) -> str:
    """Return a host's name as the network spells it."""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError as error:
        raise InvalidInputError(f"'{host}' cannot be the name of a host: {error}.", host=host) from error


def redirected(url: str, target: str) -> str:
    """Return where a redirect leads; raises InvalidInputError where it would give up encryption."""
    found = urllib.parse.urljoin(url, target)
    if url.startswith("https:") and not found.startswith("https:"):
        raise InvalidInputError(
            f"{bare_url(url)} redirects to {bare_url(found)}, which is not encrypted. It was not followed."
        )
    return found


def _target(parts: urllib.parse.SplitResult) -> str:
    """Return the request's target; spaces, line breaks and letters beyond ASCII are percent-encoded."""
    path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = urllib.parse.quote(parts.query, safe="/?%:@!$&'()*+,;=~-._[]")
    return f"{path}?{query}" if query else path


def _conditions(known: Mapping[str, str]) -> dict[str, str]:
    if known.get("etag"):
        return {"If-None-Match": known["etag"]}
    return {"If-Modified-Since": known["last_modified"]} if known.get("last_modified") else {}


def _require_size(url: str, size: int, limits: Limits) -> None:
    if size > limits.largest_bytes:
        raise InvalidInputError(
            f"{bare_url(url)} is larger than the source takes: {size:,} bytes or more, and at most "
            f"{limits.largest_bytes:,} are allowed. Raise largest_mib in its declaration if that is right.",
            url=bare_url(url),
        )


def _require_ok(response: http.client.HTTPResponse, url: str) -> None:
    status = response.status
    if status in (200, 203, 206):
        return
    said = f"{bare_url(url)} answered {status} {response.reason}"
    if status in _AGAIN:
        raise _Broken(said, _asked_wait(response))
    if status in (404, 410):
        raise SourceMissingError(f"{said}: there is nothing. Check the address.", url=bare_url(url))
    if status in (401, 403, 407):
        raise DeniedError(f"{said}: check the credentials that the source's headers give.", url=bare_url(url))
    raise InvalidInputError(f"{said}, which is no answer to keep. Check the address.", url=bare_url(url), status=status)


def _asked_wait(response: http.client.HTTPResponse) -> float | None:
    """Return the seconds of a Retry-After header."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time()) if text else None
    except (TypeError, ValueError):
        return None


def _range_start(response: http.client.HTTPResponse) -> int:
    text = response.headers.get("content-range", "")
    start = text.removeprefix("bytes ").partition("-")[0].strip()
    return int(start) if start.isdigit() else -1


def _decoder(encoding: str, url: str) -> zlib._Decompress | None:
    """Return what undoes a content encoding that the server uses unasked."""
    if encoding in ("", "identity"):
        return None
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise InvalidInputError(f"{bare_url(url)} sends its body encoded as '{encoding}', though it was asked not to.")
    return zlib.decompressobj(zlib.MAX_WBITS | 32)


def _expanded(inflate: zlib._Decompress, block: bytes, url: str) -> bytes:
    try:
        return inflate.decompress(block)
    except zlib.error as error:
        raise CorruptError(f"the body of {bare_url(url)} cannot be decompressed: {error}.") from error


def _described(response: http.client.HTTPResponse, url: str, size: int) -> Fetched:
    return Fetched(
        status=200,
        url=bare_url(url),
        size=size,
        media=response.headers.get_content_type() if "content-type" in response.headers else "",
        charset=response.headers.get_content_charset("") or "",
        etag=response.headers.get("etag", ""),
        last_modified=response.headers.get("last-modified", ""),
    )


def _given_up(url: str, attempts: int, error: Exception) -> HeadwaterError:
    if isinstance(error, UnavailableError) and attempts == 1:
        return error
    times = "once" if attempts == 1 else f"{attempts} times"
    why = error.message if isinstance(error, HeadwaterError) else str(error) or type(error).__name__
    return UnavailableError(
        f"{bare_url(url)} could not be fetched, tried {times}: {why}. Try again later; 'hw ingest test' tells whether "
        "it answers.",
        url=bare_url(url),
        attempts=attempts,
    )


class FetchSettings(Protocol):
    """What a source's settings say of fetching."""

    @property
    def allow_private(self) -> bool | list[str]: ...

    @property
    def largest_mib(self) -> int: ...

    @property
    def timeout_s(self) -> float: ...

    @property
    def limit_s(self) -> float: ...

    @property
    def retries(self) -> int: ...

    @property
    def backoff_s(self) -> float: ...

    @property
    def headers(self) -> dict[str, str]: ...


def fetcher_of(given: FetchSettings, urls: Sequence[str], allow: Callable[[str], None] | None = None) -> Fetcher:
    """Return the fetcher that settings ask for; credentials and private addresses are for the hosts of ``urls``."""
    private: frozenset[str] = frozenset()
    if given.allow_private:
        named = given.allow_private if isinstance(given.allow_private, list) else []
        private = frozenset(named) or frozenset(split_url(url).hostname or "" for url in urls)
    return Fetcher(
        limits=Limits(
            largest_bytes=given.largest_mib << 20,
            timeout_s=given.timeout_s,
            limit_s=given.limit_s,
            retries=given.retries,
            backoff_s=given.backoff_s,
        ),
        private=private,
        headers={name: resolve_within(value) for name, value in given.headers.items()},
        origins=frozenset(origin_of(url) for url in urls),
        allow=allow,
    )
