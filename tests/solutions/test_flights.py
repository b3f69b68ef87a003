"""The demo plays its whole loop, with fewer months and flights."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "solutions" / "flights" / "demo.py"


def test_the_loop_plays_from_data_to_replay(tmp_path: Path) -> None:
    command = [sys.executable, str(DEMO), "--folder", str(tmp_path / "demo"), "--no-serve"]
    played = subprocess.run(
        [*command, "--until", "4", "--rows", "3000"], capture_output=True, text=True, timeout=400, cwd=tmp_path
    )

    assert played.returncode == 0, played.stdout[-2000:] + played.stderr[-4000:]
    told = re.sub(r"^ *[\d.]+ s  ", "", played.stdout, flags=re.M)
    for expected in (
        r"the same again: 0 steps executed, 12 remembered",
        r"one helper changed: [1-9]\d* executed, [1-9]\d* remembered",
        r"staging: released",
        r"production: waiting",
        r"ann, who trained it, tries to approve: ann made the version",
        r"2013-04: flights@v3 [\d,]+ rows; 300 answered by v1",
        r"ALARM \(drift\) delay@v1",
        r"retrained v2: delay@v2 is better than delay@v1: auc",
        r"1,500 requests, 1,500 answered, by {.*'v1': \d+.*; none dropped",  # went back
        r"1,500 requests, 1,500 answered, by {.*'v2': \d+.*; none dropped",
        r"1,000 of 1,000 predictions equal",
        r"a flipped bit in a model's weights: 0 of 1,000 predictions equal",
        r"999 of 1,000 predictions equal",
        r"different: prediction \w+ probability: recorded",
    ):
        assert re.search(expected, told), f"{expected!r} was not told:\n{played.stdout}"
