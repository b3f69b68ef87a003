import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import obstore
import psycopg
import pytest
from obstore.store import S3Store
from playwright.sync_api import Page

from tests.servers.ports import GRPC_OFFSET, free_port
from tests.servers.process import ServerError, required_program
from tests.servers.s3 import S3Place

ROOT = Path(__file__).parent.parent.parent


def store(place: S3Place, secret_key: str | None = None) -> S3Store:
    return S3Store(
        place.bucket,
        prefix=place.prefix,
        endpoint=place.endpoint,
        access_key_id=place.access_key,
        secret_access_key=secret_key or place.secret_key,
        region="us-east-1",
        client_options={"allow_http": True},
    )


@pytest.mark.parametrize("_again", [1, 2])
def test_each_test_gets_an_empty_database(postgres_url: str, _again: int) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE only_mine (name text)")
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()

    assert tables == [("only_mine",)]


def test_the_database_does_not_sort_bytewise_unless_asked(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute("SELECT name FROM (VALUES ('B'), ('a')) AS t (name) ORDER BY name").fetchall()

    assert rows == [("a",), ("B",)]


@pytest.mark.parametrize("_again", [1, 2])
def test_each_test_gets_an_empty_prefix_on_s3(s3: S3Place, _again: int) -> None:
    obstore.put(store(s3), "name", b"bytes")

    assert [entry["path"] for batch in obstore.list(store(s3)) for entry in batch] == ["name"]


def test_the_s3_server_creates_an_object_once(s3: S3Place) -> None:
    obstore.put(store(s3), "name", b"first", mode="create")

    with pytest.raises(obstore.exceptions.AlreadyExistsError):
        obstore.put(store(s3), "name", b"second", mode="create")


def test_the_s3_server_refuses_a_wrong_key(s3: S3Place) -> None:
    with pytest.raises(obstore.exceptions.PermissionDeniedError):
        obstore.put(store(s3, secret_key="wrong"), "name", b"bytes")


def test_a_page_runs_its_script(browser_page: Page) -> None:
    browser_page.goto("data:text/html,<h1>before</h1><script>document.querySelector('h1').textContent='after'</script>")

    assert browser_page.get_by_role("heading").text_content() == "after"


def test_a_free_port_leaves_room_for_the_grpc_port_of_seaweedfs() -> None:
    port = free_port()

    assert port + GRPC_OFFSET < 32768


def test_a_missing_program_is_told_with_what_installs_it() -> None:
    with pytest.raises(ServerError, match="run 'make system' as root"):
        required_program("no-such-program", package="no-such-package")


@pytest.mark.parametrize("workers", ["0", "1"])
def test_the_servers_end_with_a_run_that_is_killed(tmp_path: Path, workers: str) -> None:
    # A run of its own, whose only test tells the server's address and then hangs.
    folder = ROOT / "tests"
    (tmp_path / "conftest.py").write_text((folder / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(
        "import pathlib, time\n"
        "def test_it(postgres_server):\n"
        f"    pathlib.Path({str(tmp_path)!r}, 'url.part').write_text(postgres_server)\n"
        f"    pathlib.Path({str(tmp_path)!r}, 'url.part').rename({str(tmp_path / 'url')!r})\n"
        "    time.sleep(600)\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider", tmp_path],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    told = tmp_path / "url"
    while not told.exists():
        assert run.poll() is None
        time.sleep(0.05)
    url = told.read_text()
    psycopg.connect(f"{url}/postgres").close()
    os.kill(run.pid, signal.SIGKILL)
    run.wait()

    deadline = time.monotonic() + 60
    while answers(url):
        assert time.monotonic() < deadline, f"{url} still answers"
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        psycopg.connect(f"{url}/postgres").close()
    except psycopg.OperationalError:
        return False
    return True
