"""Publish one small file after the other to one dataset: ``python publish_alone.py FOLDER NAME SECONDS``.

Says "ready", waits for a line, and in the end writes how many it was told are published, and the CPU seconds.
"""

import json
import sys
import time

from headwater.check import publish
from headwater.lake import Entry
from headwater.project import open_project

folder, name, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
published = 0
with open_project(folder) as project:
    print("ready", flush=True)
    sys.stdin.readline()
    cpu, end = time.process_time(), time.perf_counter() + seconds
    while time.perf_counter() < end:
        data = f"{name} {published}".encode()
        entry = Entry(path=f"{name}/{published}", digest=project.objects.put(data), size=len(data))
        assert publish(project, "shared", put=[entry]).published
        published += 1
    print(json.dumps({"published": published, "cpu_s": time.process_time() - cpu}))
