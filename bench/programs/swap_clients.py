"""Ask a server again and again on kept connections, and hold every answer against what its version says.

    python swap_clients.py PORT CONNECTIONS      (beside swap.json; ends when a line comes in)

Says a line when each connection had an answer; at the end one line of JSON: answers, failed, mixed, and answers by
version. An answer is mixed when any row of it is not what the version that it names says.
"""

import http.client
import json
import sys
import threading
from collections import Counter
from pathlib import Path

port, connections = int(sys.argv[1]), int(sys.argv[2])
given = json.loads(Path("swap.json").read_text())
body = json.dumps({"inputs": given["inputs"]})
stop = threading.Event()
begun = threading.Barrier(connections + 1)
failed: Counter[str] = Counter()
mixed: Counter[str] = Counter()
by: Counter[str] = Counter()


def ask() -> None:
    """Ask until told to stop."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    first = True
    while not stop.is_set():
        try:
            connection.request("POST", "/v1/models/tumour/predict", body, {"content-type": "application/json"})
            response = connection.getresponse()
            text = response.read()
            if response.status != 200:
                failed[text.decode()[:200]] += 1
                continue
            answer = json.loads(text)
            rows = [{name: value for name, value in row.items() if name != "id"} for row in answer["predictions"]]
            version = answer["model_version"]
            by[version] += 1
            if rows != given["said"][version]:
                mixed[version] += 1
        except (OSError, http.client.HTTPException) as error:
            failed[repr(error)] += 1
            connection.close()
        if first:
            first = False
            begun.wait(60)


threads = [threading.Thread(target=ask) for _ in range(connections)]
for thread in threads:
    thread.start()
begun.wait(60)
print("asking", flush=True)
sys.stdin.readline()
stop.set()
for thread in threads:
    thread.join()
print(
    json.dumps(
        {
            "answers": sum(by.values()),
            "failed": sum(failed.values()),
            "mixed": sum(mixed.values()),
            "by": dict(by),
            "why": [*failed][:3],
        }
    )
)
