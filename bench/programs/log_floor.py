"""Log points to the floor's server over one keep-alive connection: ``python log_floor.py URL CALLS BATCH``."""

import http.client
import json
import socket
import sys
import time
import urllib.parse

url, calls, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
place = urllib.parse.urlsplit(url)
connection = http.client.HTTPConnection(place.hostname or "", place.port)
connection.connect()
connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def log(step: int) -> None:
    """Send one batch and wait for the answer."""
    points = [("run", "loss", step + each, 1_700_000_000_000_000, 0.5) for each in range(batch)]
    connection.request("POST", "/log", json.dumps(points))
    response = connection.getresponse()
    response.read()
    assert response.status == 200, response.status


log(0)
started, cpu = time.perf_counter(), time.process_time()
for number in range(calls):
    log(number * batch)
print(json.dumps({"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}))
