"""An S3 server: SeaweedFS, which honours conditional writes and refuses wrong keys."""

import http.client
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.servers import process
from tests.servers.ports import free_port

BUCKET = "headwater-tests"
ACCESS_KEY = "test-access-key"
SECRET_KEY = "test-secret-key"


@dataclass(frozen=True, slots=True)
class S3Place:
    """An empty place on an S3 server that no other test writes to.

    ``prefix`` has no slash at either end. Path-style addressing, plain HTTP; any region will do.
    """

    endpoint: str
    bucket: str
    prefix: str
    access_key: str
    secret_key: str


def start(folder: Path) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """Start a server with its data in ``folder`` and one bucket; return it and its endpoint, bucket and keys."""
    data, log, config = folder / "data", folder / "log", folder / "s3.json"
    data.mkdir()
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config.write_text(json.dumps({"identities": [identity]}))
    master, volume, filer, s3 = (free_port() for _ in range(4))
    command: list[str | Path] = [
        Path(sys.executable).parent / "weed",
        "server",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",  # the default is every interface
        "-master.telemetry=false",  # the default reports to an outside host
        f"-master.port={master}",
        "-master.volumeSizeLimitMB=64",
        "-master.electionTimeout=1s",  # a volume server that comes before the leader is back 5 s later
        f"-volume.port={volume}",
        "-volume.max=100",  # a bucket takes seven at once; the default is eight in all
        "-filer",
        f"-filer.port={filer}",
        "-s3",
        f"-s3.port={s3}",
        "-s3.port.iceberg=0",  # else a fixed port, on which two servers clash
        "-s3.port.lance=0",
        f"-s3.config={config}",
    ]
    server = process.start(command, log=log)
    _until_status(server, log, s3, "GET", "/", 403)
    # To the filer a bucket is a folder under /buckets; made there, no request has to be signed.
    _until_status(server, log, filer, "POST", f"/buckets/{BUCKET}/", 201)
    # Growing needs the volume server, without which the first write would wait for seconds.
    _until_status(server, log, master, "GET", f"/vol/grow?collection={BUCKET}&count=4", 200)
    return server, {
        "endpoint": f"http://127.0.0.1:{s3}",
        "bucket": BUCKET,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
    }


def _until_status(server: subprocess.Popen[bytes], log: Path, port: int, method: str, path: str, expected: int) -> None:
    process.wait_until(lambda: _status(port, method, path) == expected, server, log=log, timeout_s=60)


def _status(port: int, method: str, path: str) -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()
