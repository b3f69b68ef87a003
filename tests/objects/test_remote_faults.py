"""Buckets that hang, stumble, break off in the middle, or are not there."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from headwater.errors import InvalidInputError, StorageError
from headwater.objects import ObjectStore, open_store, remote, values
from tests.objects.places import Place, make_place, noise
from tests.peaks import PEAK_MIB

KEYS = {"access_key": "a", "secret_key": "b", "region": "us-east-1"}
MIB = 2**20


@contextmanager
def silent_server() -> Iterator[str]:
    """Accept connections and never answer."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_store_that_takes_the_connection_and_says_nothing_is_given_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_SILENCE_S", 1)
    with (
        silent_server() as endpoint,
        open_store("s3://b/p", cache=tmp_path, credentials=KEYS | {"endpoint": endpoint}) as store,
    ):
        started = time.monotonic()
        with pytest.raises(StorageError, match=r"did not answer within 1 s .* Check that the store is up"):
            store.backend.size("0" * 64)
        with pytest.raises(StorageError, match="did not answer within 1 s"):
            store.put(b"unheard")
        assert time.monotonic() - started < 15


class _Stumbling(http.server.BaseHTTPRequestHandler):
    """Says that it is overloaded, as many times as ``left`` tells, before it does as asked."""

    left = 0
    asked = 0
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        type(self).asked += 1
        type(self).left -= 1
        self._answer(503 if type(self).left >= 0 else 200)

    def do_GET(self) -> None:
        self._answer(200, b"<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated></ListBucketResult>")

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("etag", '"1"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def stumbling_server(times: int) -> Iterator[str]:
    _Stumbling.left, _Stumbling.asked = times, 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Stumbling) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_an_overloaded_store_is_asked_again_after_a_pause(tmp_path: Path) -> None:
    with (
        stumbling_server(3) as endpoint,
        open_store("s3://b/p", cache=tmp_path, credentials=KEYS | {"endpoint": endpoint}) as store,
    ):
        store.put(b"heard in the end")

        assert _Stumbling.asked == 4


def test_a_store_that_stays_overloaded_is_given_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_SILENCE_S", 1)
    with (
        stumbling_server(1000) as endpoint,
        open_store("s3://b/p", cache=tmp_path, credentials=KEYS | {"endpoint": endpoint}) as store,
        pytest.raises(StorageError, match="503"),
    ):
        store.put(b"unheard")


def test_a_bucket_that_is_not_there_is_told_by_its_name(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    credentials = make_place("s3", tmp_path, request).credentials
    with (
        open_store("s3://no-such-bucket/p", cache=tmp_path, credentials=credentials) as store,
        pytest.raises(StorageError, match=r"there is no such bucket .* Check its name"),
    ):
        store.put(b"nowhere")


@pytest.mark.parametrize(
    ("url", "credentials", "told"),
    [
        ("s3:///prefix", {}, "names no bucket"),
        ("gs://bucket", {"access_key": "a"}, "do not know 'access_key'.*endpoint, service_account"),
        ("az://container", {"secret": "a"}, "do not know 'secret'.*account, key, sas"),
        ("ftp://place", {}, "names no object store"),
    ],
)
def test_a_bucket_that_cannot_be_opened_says_how_it_is_written(
    url: str, credentials: dict[str, str], told: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match=told):
        open_store(url, cache=tmp_path, credentials=credentials)


class Line:
    """A line to a server that counts what is sent, and breaks when that is too much."""

    def __init__(self, to: str) -> None:
        address = urlsplit(to)
        self._to = (address.hostname or "", address.port or 80)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.sent = 0
        self.breaks_at = 2**62
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(self._to)
            for source, target, counts in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._carry, args=(source, target, counts), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        try:
            while data := source.recv(2**16):
                if counts:
                    self.sent += len(data)
                    if self.sent > self.breaks_at:
                        break
                target.sendall(data)
        except OSError:
            pass
        for each in (source, target):
            each.close()

    def close(self) -> None:
        self._listening.close()


def test_an_upload_that_broke_off_goes_on_where_it_was(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_SILENCE_S", 1)
    monkeypatch.setattr(remote, "_PATIENCE_S", 2)
    monkeypatch.setattr(values, "PACK_BYTES", 12 * MIB)
    place = make_place("s3", tmp_path, request)
    credentials = dict(place.credentials or {})
    line = Line(credentials["endpoint"])
    data = tmp_path / "large"
    data.write_bytes(noise(40 * MIB))
    with open_store(place.url, cache=tmp_path / "near", credentials=credentials | {"endpoint": line.endpoint}) as store:
        line.breaks_at = 26 * MIB
        with pytest.raises(StorageError, match="what is there already is not sent again"):
            store.put_file(data)
        arrived = sum(size for _, size, _ in place.open("look").backend.packs())
        line.breaks_at, line.sent = 2**62, 0

        digest, size = store.put_file(data)

        assert arrived > 10 * MIB
        assert line.sent < 40 * MIB - arrived + MIB
        assert size == 40 * MIB
        # Another machine, with an index of its own, sends nothing of it: the packs' names tell that they are there.
        line.sent = 0
    with open_store(place.url, cache=tmp_path / "far", credentials=credentials | {"endpoint": line.endpoint}) as far:
        assert far.put_file(data) == (digest, size)
        assert line.sent < MIB
        assert far.get(digest, 39 * MIB) == noise(40 * MIB)[39 * MIB :]
    line.close()
    place.close()


PUT_FROM_INPUT = f"""
import json, sys
from pathlib import Path
from headwater.objects import open_store
url, cache, credentials = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
before = {PEAK_MIB}
with open_store(url, cache=cache, credentials=credentials) as store:
    store.put_stream(sys.stdin.buffer)
print({PEAK_MIB} - before)
"""


def grown_mib(place: Place, pieces: int) -> int:
    """Stream that many MiB to a place in a process of its own; return by how many MiB its memory grew."""
    command = [sys.executable, "-c", PUT_FROM_INPUT, str(place.url), str(place.cache), json.dumps(place.credentials)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(pieces):
            process.stdin.write(os.urandom(MIB))
        process.stdin.close()
        grown = int(process.stdout.read())
    assert process.returncode == 0
    return grown


@pytest.mark.long
def test_what_is_streamed_to_a_bucket_is_not_held_in_memory(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    assert grown_mib(make_place("s3", tmp_path, request), 1024) < 250  # the promise is 300


def test_few_packs_wait_for_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "PACK_BYTES", 2 * MIB)
    waiting: list[int] = []
    store: ObjectStore
    with open_store("memory://slow", cache=tmp_path) as store:
        stage, backend = store.backend.stage, store.backend

        def slow(file: int, path: Path, pack: str, size: int) -> None:
            waiting.append(len(list(backend.spool().iterdir())))
            time.sleep(0.05)
            stage(file, path, pack, size)

        monkeypatch.setattr(store.backend, "stage", slow)
        with store.batch() as batch:
            for number in range(40):
                batch.put(noise(MIB, number))

    assert len(waiting) >= 20
    assert max(waiting) <= 4
