from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from headwater.lake import commit, iter_files, log, resolve, set_branch, verify
from headwater.project import create_project, open_project
from tests.lake.test_versions import entry

WRITER = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    from headwater.durable import on_crash_point
    from headwater.lake import add_files, commit
    from headwater.project import open_project

    folder, files, base, at = sys.argv[1:]
    passed = []

    def point(name):
        passed.append(name)
        if len(passed) == int(at):
            os._exit(9)

    project = open_project(folder)
    on_crash_point(point)
    version = add_files(project, "d", files, base=base)
    print("acknowledged", version.id, len(passed), flush=True)
    """
)


def write(folder: Path, files: Path, base: str, at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WRITER, str(folder), str(files), base, str(at)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)


def test_a_commit_that_is_killed_anywhere_leaves_all_of_it_or_nothing(tmp_path: Path) -> None:
    folder, files = tmp_path / "p", tmp_path / "files"
    files.mkdir()
    with create_project(folder) as project:
        base = commit(project, "d", put=[entry(project, f"old-{i}", str(i)) for i in range(50)])
        set_branch(project, "d", "main", base.id, expected=None)
    (files / "whole").write_text("whole")
    whole = write(folder, files, base.id, 0)
    assert whole.returncode == 0, whole.stderr
    points = int(whole.stdout.split()[2])
    assert points >= 10

    killed = 0
    for at in range(1, points + 1):
        (files / "whole").unlink(missing_ok=True)
        (files / f"new-{at}").write_text(f"content {at}")
        before = _numbers(folder)
        killed += write(folder, files, base.id, at).returncode == 9
        with open_project(folder) as project:
            assert list(verify(project)) == [], at
            after = {v.number for v in log(project, "d", limit=1000)}
            assert len(after - before) in (0, 1)
            for number in after - before:
                assert f"new-{at}" in {e.path for e in iter_files(project, f"d@v{number}")}
            assert resolve(project, "d").id == base.id

    assert killed == points


def _numbers(folder: Path) -> set[int]:
    with open_project(folder) as project:
        return {v.number for v in log(project, "d", limit=1000)}
