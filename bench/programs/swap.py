"""Swap the version that answers, back and forth, while clients ask: released, rolled back, released, ...

    python swap.py COUNT CONNECTIONS      (in a project's folder)

Each swap is a real release or rollback, and is over when the server in this process answers by it. The clients are
another process. Prints one line of JSON.
"""

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from granian.constants import Interfaces
from granian.server.embed import Server
from sklearn.datasets import load_breast_cancer
from sklearn.tree import DecisionTreeClassifier
from starlette.applications import Starlette

from headwater.evaluate import register_model
from headwater.model import load
from headwater.project import LocalProject, open_project
from headwater.release import request_release, rollback
from headwater.serve import Engine, serve_routes

count, connections = int(sys.argv[1]), sys.argv[2]
frame, truth = load_breast_cancer(return_X_y=True, as_frame=True)
frame.columns = [name.replace(" ", "_") for name in frame.columns]
project = open_project(".")
assert isinstance(project, LocalProject)
versions = [
    register_model(project, "tumour", DecisionTreeClassifier(max_depth=depth, random_state=0).fit(frame, truth), frame)
    for depth in (1, 2)
]
request_release(project, versions[0].id, "production", "to be measured")
rows = [frame.iloc[number].to_dict() for number in range(3)]
said = {version.id: load(project, version.id).predict(rows) for version in versions}
assert said[versions[0].id] != said[versions[1].id], "two versions that say the same cannot be told apart"
Path("swap.json").write_text(json.dumps({"inputs": rows, "said": said}))

engine = Engine(project).start()
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
server = Server(
    Starlette(routes=serve_routes(engine)), address="127.0.0.1", port=port, interface=Interfaces.ASGI, log_enabled=False
)
loop = asyncio.new_event_loop()
thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve()), daemon=True)
thread.start()
clients = subprocess.Popen(
    [sys.executable, Path(__file__).with_name("swap_clients.py"), str(port), connections],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
)
assert clients.stdin is not None and clients.stdout is not None
clients.stdout.readline()  # every connection had an answer

until_answered_ms = []
began = time.perf_counter()
for number in range(count):
    target = versions[1 - number % 2]
    start = time.perf_counter()
    if number % 2 == 0:
        request_release(project, target.id, "production", "forth")
    else:
        rollback(project, "tumour", "production", reason="back")
    while engine.deployment("tumour").version.id != target.id:
        time.sleep(0.0002)
    until_answered_ms.append((time.perf_counter() - start) * 1000)
seconds = time.perf_counter() - began
out, _ = clients.communicate("stop\n", timeout=60)
loop.call_soon_threadsafe(server.stop)
thread.join(20)
engine.close()
project.close()
until_answered_ms.sort()
print(
    json.dumps(
        {
            **json.loads(out),
            "swaps": count,
            "swaps_per_s": count / seconds,
            "until_answered_p50_ms": until_answered_ms[count // 2],
            "until_answered_p99_ms": until_answered_ms[min(count - 1, count * 99 // 100)],
        }
    )
)
