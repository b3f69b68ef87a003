"""A writer to be killed: ``python publishing_killed.py FOLDER FILES POINT N``.

It publishes each file of FILES, by name, and tells what was acknowledged; it kills itself at the N-th crash point of
that name. "points" as POINT: it tells all that it passed instead.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from headwater.check import publish_files
from headwater.durable import on_crash_point
from headwater.project import open_project


def main(folder: str, files: str, name: str, number: int) -> None:
    passed: list[str] = []

    def point(reached: str) -> None:
        passed.append(reached)
        if reached == name and passed.count(name) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    with open_project(folder) as project:
        on_crash_point(point)
        for file in sorted(Path(files).iterdir()):
            published = publish_files(project, "d", file)
            sys.stdout.write(json.dumps({"number": published.version.number, "file": file.name}) + "\n")
            sys.stdout.flush()
        on_crash_point(None)
    if name == "points":
        sys.stdout.write(json.dumps(passed))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
