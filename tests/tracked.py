"""The files of the repository: what git tracks or would add."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent


def tracked_files(under: str = "") -> Iterator[Path]:
    """Yield the files under a folder of the repository, sorted by name; what git ignores is left out."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", under or "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in sorted(set(filter(None, listed.stdout.split("\0")))):
        if (ROOT / name).is_file():  # one that was removed is listed until that is committed
            yield ROOT / name
