"""A process that publishes: ``python publishing_process.py FOLDER NAME COMMITS``, one file each, once it hears "go".

It says "ready" first, and in the end the paths that it was told are published.
"""

from __future__ import annotations

import json
import sys

from headwater.check import publish
from headwater.lake import Entry
from headwater.project import open_project


def main(folder: str, name: str, commits: int) -> None:
    published = []
    with open_project(folder) as project:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        for number in range(commits):
            data = f"{name} {number}".encode()
            entry = Entry(path=f"{name}/{number}", digest=project.objects.put(data), size=len(data))
            if publish(project, "shared", put=[entry]).published:
                published.append(entry.path)
    sys.stdout.write(json.dumps(published))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
