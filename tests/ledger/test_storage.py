"""The disk under an SQLite ledger: full, shared over a network, damaged, or not ours."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.errors import CorruptError, StorageError
from headwater.ledger import Ledger, create_ledger, open_ledger
from headwater.ledger.dialect import SQLite
from headwater.ledger.filesystem import file_system_of, refuse_network
from tests.ledger.workers import ROOT, now

ONLY_SQLITE = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)


@ONLY_SQLITE
def test_a_full_disk_is_said_and_nothing_acknowledged_is_lost(ledger: Ledger, ledger_url: str) -> None:
    with ledger.write() as tx:
        tx.edge("before", "r", "x")
        pages = tx.value("PRAGMA page_count")
        tx.value(f"PRAGMA max_page_count = {pages}")  # SQLite answers as for a full disk: SQLITE_FULL
    with pytest.raises(StorageError, match=r"is full.*hw data collect"), ledger.write() as tx:
        tx.insert_many("edges", ["child", "role", "parent"], ((f"{n:0200}", "r", "x") for n in range(10_000)))

    with ledger.read() as tx2:
        assert [row.child for row in tx2.all("SELECT child FROM edges")] == ["before"]
        assert tx2.value("PRAGMA integrity_check") == "ok"
    with ledger.write() as tx:
        tx.value("PRAGMA max_page_count = 1000000")
        tx.edge("after", "r", "x")
    with contextlib.closing(open_ledger(ledger_url, now)) as again, again.read() as tx2:
        assert tx2.value("SELECT count(*) FROM edges") == 2


WRITE_UNTIL_REFUSED = """
import resource, signal, sys, time
from headwater.errors import StorageError
from headwater.ledger import open_ledger
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ledger = open_ledger(sys.argv[1], lambda: time.time_ns() // 1000)
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
for turn in range(100_000):
    try:
        with ledger.write() as tx:
            tx.insert_many("edges", ["child", "role", "parent"], [(f"{turn}/{n}", "r", "x" * 500) for n in range(20)])
    except StorageError as error:
        print(turn, error.kind)
        break
"""


@ONLY_SQLITE
def test_writes_that_the_system_refuses_lose_nothing_acknowledged(ledger: Ledger, ledger_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITE_UNTIL_REFUSED, ledger_url], cwd=ROOT, capture_output=True, text=True, check=True
    )
    acknowledged, kind = done.stdout.split()

    assert kind == "storage"
    assert int(acknowledged) > 10
    with ledger.read() as tx:
        assert tx.value("PRAGMA integrity_check") == "ok"
        assert tx.value("SELECT count(*) FROM edges") == 20 * int(acknowledged)


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse"])
def test_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    shared = SQLite(tmp_path / "ledger.db", 1, file_system=lambda _: kind)

    with pytest.raises(StorageError, match=f"network file system \\({kind}\\).*Postgres ledger"):
        shared.create(lambda _: None)
    create_ledger(tmp_path / "ledger.db", now, "p", "n").close()
    with pytest.raises(StorageError, match="network file system"):
        shared.connect(writing=False)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "apfs", "fuse.ext4", ""])
def test_a_local_file_system_is_taken(tmp_path: Path, kind: str) -> None:
    asked: list[Path] = []

    def file_system(path: Path) -> str:
        asked.append(path)
        return kind

    refuse_network(tmp_path, file_system)
    assert asked == [tmp_path]  # it was looked at, and not refused


def test_the_file_system_of_a_path_is_that_of_its_mount() -> None:
    assert file_system_of(Path("/proc/self")) == "proc"
    assert file_system_of(Path("/dev/shm/not/there")) == "tmpfs"


@pytest.mark.parametrize("name", ["a b", "50%", "q?x=1", "hash#1", "it's", "ü日本", "new\nline", ";--"])
def test_a_ledger_lies_at_any_path(tmp_path: Path, name: str, clock: Callable[[], int]) -> None:
    path = tmp_path / name / f"{name}.db"
    create_ledger(path, clock, "p", name).close()
    ledger = open_ledger(path, clock)
    with ledger.write() as tx:
        tx.edge(name, "r", "x")
    ledger.backup(tmp_path / f"{name}.copy")
    ledger.close()

    assert ledger.name == name
    assert path.is_file()
    assert (tmp_path / f"{name}.copy").is_file()


def test_a_path_that_is_not_unicode_works(tmp_path: Path, clock: Callable[[], int]) -> None:
    path = tmp_path / os.fsdecode(b"r\xe9sum\xe9.db")
    create_ledger(path, clock, "p", "n").close()

    open_ledger(path, clock).close()
    assert path.is_file()


def test_a_file_that_is_no_ledger_is_not_taken_for_one(tmp_path: Path, clock: Callable[[], int]) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"these are not the bytes of a database" * 100)
    with pytest.raises(CorruptError, match=r"damaged.*restore the last backup"):
        open_ledger(path, clock)

    other = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE x (y)")
    with pytest.raises(StorageError, match="ledger_meta"):
        open_ledger(other, clock)


@ONLY_SQLITE
def test_each_commit_is_synced(ledger: Ledger) -> None:
    with ledger.write() as tx:
        assert tx.value("PRAGMA synchronous") == 2
        assert tx.value("PRAGMA journal_mode") == "wal"
        assert tx.value("PRAGMA foreign_keys") == 1


def test_a_sqlite_ledger_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, time; from headwater.ledger import create_ledger;"
        "create_ledger(sys.argv[1], lambda: 1, 'p', 'n').close();"
        "print([m for m in ('psycopg', 'duckdb', 'numpy', 'obstore', 'asyncio', 'ctypes') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "ledger.db")], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"
