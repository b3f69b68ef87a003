"""``hw data add DATASET -``: a file from standard input, of any size, in little memory."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from blake3 import blake3

from headwater.lake import get_entry, read_bytes, resolve
from headwater.project import create_project, open_project
from tests.peaks import PEAK_MIB

HW = [str(Path(sys.executable).parent / "hw")]
MEASURED = f"""
import atexit, sys
from headwater.cli import main
peak = open(sys.argv.pop(1), "w")
atexit.register(lambda: print({PEAK_MIB}, file=peak))
sys.exit(main())
"""
MIB = 2**20


def add_from(pieces: int, folder: Path) -> tuple[int, str, str]:
    """Pipe that many MiB of noise into ``hw data add``; return its peak memory in MiB, its output, the digest sent."""
    words = ["data", "add", "big", "-", "--name", "big.bin", "--under", "raw"]
    command = [sys.executable, "-c", MEASURED, str(folder / "peak"), *words]
    chance, sent = random.Random(1), blake3()
    with open(folder / "output", "wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=output, stderr=output)
        assert process.stdin is not None
        for _ in range(pieces):
            piece = chance.randbytes(MIB)
            sent.update(piece)
            process.stdin.write(piece)
        process.stdin.close()
        process.wait()
    text = (folder / "output").read_text()
    assert process.returncode == 0, text
    return int((folder / "peak").read_text()), text, sent.hexdigest()


def interpreter_mib(program: str = "") -> int:
    """Return the peak memory in MiB of a Python that runs a program."""
    command = [sys.executable, "-c", f"{program}\nprint({PEAK_MIB})"]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


def test_memory_that_a_process_takes_is_seen_whatever_its_parent_has() -> None:
    held = bytearray(os.urandom(MIB) * 300)  # so that this process has more than the child that takes little

    assert interpreter_mib() < 100 < len(held) // MIB
    assert interpreter_mib(f"x = bytearray({300 * MIB}); x[::4096] = b'1' * {300 * MIB // 4096}") > 300


@pytest.mark.parametrize("size_mib", [400, pytest.param(6 * 1024, marks=pytest.mark.long)])
def test_a_stream_larger_than_the_memory_allowed_is_added(size_mib: int, tmp_path: Path) -> None:
    create_project(tmp_path).close()

    peak_mib, output, digest = add_from(size_mib, tmp_path)

    assert "points to v1" in output
    assert peak_mib < interpreter_mib() + 200  # the promise is 300
    with open_project(tmp_path) as project:
        found = get_entry(project, "big", "raw/big.bin")
        assert (found.size, found.digest) == (size_mib * MIB, digest)
        assert resolve(project, "big").source == "standard input as big.bin"


def hw(folder: Path, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*HW, *words], cwd=folder, input=given, capture_output=True, check=False)


def test_standard_input_needs_a_name_and_a_name_needs_standard_input(tmp_path: Path) -> None:
    create_project(tmp_path).close()
    (tmp_path / "file").write_text("x")

    nameless = hw(tmp_path, "data", "add", "d", "-", given=b"x")
    named = hw(tmp_path, "data", "add", "d", "file", "--name", "other")

    assert (nameless.returncode, named.returncode) == (2, 2)
    assert b"say with --name" in nameless.stderr
    assert b"goes with '-'" in named.stderr


def test_what_comes_in_is_read_by_its_name(tmp_path: Path) -> None:
    create_project(tmp_path).close()

    done = hw(tmp_path, "data", "add", "d", "-", "--name", "note.txt", "-m", "by hand", given=b"hello")

    assert done.returncode == 0, done.stderr
    with open_project(tmp_path) as project:
        assert read_bytes(project, "d", "note.txt") == b"hello"
        assert resolve(project, "d").message == "by hand"
