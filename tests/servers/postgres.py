"""A Postgres server from Debian's binaries."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg.sql import SQL, Identifier

from tests.servers import process
from tests.servers.ports import free_port


def start(folder: Path) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """Start a server with its data in ``folder``; return it and ``{"url": ...}`` without a database name."""
    programs, user = _programs(), _user()
    data, log = folder / "data", folder / "log"
    data.mkdir()
    if user is not None:
        shutil.chown(data, user, user)
    # A collation that is not bytewise and a zone that is not UTC, as real servers have: what relies
    # on either by accident fails here.
    initdb: list[str | Path] = [
        programs / "initdb",
        "-D",
        data,
        "-A",
        "trust",
        "-U",
        "postgres",
        "--no-sync",
        "-E",
        "UTF8",
    ]
    initdb += ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
    done = subprocess.run(initdb, user=user, group=user, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise process.ServerError(f"initdb failed: {done.stderr or done.stdout}")
    port = free_port()
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": str(data),
        "max_connections": "200",
        "timezone": "America/St_Johns",
        "fsync": "off",  # the tests kill clients, not the machine
    }
    command: list[str | Path] = [programs / "postgres", "-D", data]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    server = process.start(command, log=log, user=user)
    process.wait_until(lambda: _accepts(port), server, log=log, timeout_s=30)
    return server, {"url": f"postgresql://postgres@127.0.0.1:{port}"}


@contextmanager
def new_database(server_url: str) -> Iterator[str]:
    """Make an empty database, yield its URL, and drop it with whatever connections are left."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(f"{server_url}/postgres", autocommit=True) as admin:
        # Advisory locks and sequences are per database, so tests that share a server do not meet.
        admin.execute(SQL("CREATE DATABASE {} TEMPLATE template0").format(Identifier(name)))
    try:
        yield f"{server_url}/{name}"
    finally:
        with psycopg.connect(f"{server_url}/postgres", autocommit=True) as admin:
            admin.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))


def _programs() -> Path:
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    versions = sorted(found, key=lambda path: float(path.parts[-3]))
    if not versions:
        raise process.ServerError("Postgres is not installed (Debian package postgresql): run 'make system' as root")
    return versions[-1].parent


def _user() -> str | None:
    """Return the user to run as, which is not root: Postgres refuses to."""
    return pwd.getpwnam("postgres").pw_name if os.getuid() == 0 else None


def _accepts(port: int) -> bool:
    try:
        psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres").close()
    except psycopg.OperationalError:  # not listening yet, or "the database system is starting up"
        return False
    return True
