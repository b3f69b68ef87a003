"""Large values go through files: once in memory, the same digests, never half-used."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from headwater.flow import execute_flow
from headwater.flow.saving import LARGE_BYTES, Part, Saved, load, save
from headwater.project import LocalProject

from .playing import outcomes, run, write

ROWS = 300_000
VALUES: dict[str, Callable[[], Any]] = {
    "array": lambda: np.arange(ROWS) * 1.5,
    "array by columns": lambda: np.asfortranarray(np.arange(ROWS * 2).reshape(-1, 4)),
    "slice of an array": lambda: np.arange(ROWS * 2)[::2],
    "bytes": lambda: b"x" * (3 << 20),
    "bytearray": lambda: bytearray(b"x" * (3 << 20)),
    "pandas": lambda: pd.DataFrame({"a": np.arange(ROWS), "b": ["x", None, "z"] * (ROWS // 3)}),
    "pandas with an index": lambda: pd.DataFrame({"a": np.arange(ROWS)}, index=pd.RangeIndex(5, 5 + 2 * ROWS, 2)),
    "series": lambda: pd.Series(np.arange(ROWS), name="q"),
    "polars": lambda: pl.DataFrame({"a": range(ROWS), "b": ["x", None, "z"] * (ROWS // 3)}),
    "arrow": lambda: pa.table({"a": range(ROWS)}),
}


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    return bool((a == b).all()) if isinstance(a, np.ndarray) else a.equals(b) if hasattr(a, "equals") else bool(a == b)


def getter(saved: Saved) -> Callable[[Part], bytes | Path]:
    return lambda part: Path(saved.files[part.digest]) if part.digest in saved.files else saved.contents[part.digest]


@pytest.mark.parametrize("name", VALUES)
def test_a_large_value_goes_through_a_file_and_has_the_digest_it_has_in_memory(name: str, tmp_path: Path) -> None:
    value = VALUES[name]()
    by_file, in_memory = save(value, folder=tmp_path), save(value)

    assert by_file.digest == in_memory.digest
    assert len(by_file.files) == 1 and not in_memory.files
    assert same(load(by_file.parts, getter(by_file), trust=False), value)
    assert same(load(in_memory.parts, getter(in_memory), trust=False), value)
    assert len(list(tmp_path.iterdir())) == 1


def test_small_values_make_no_files(tmp_path: Path) -> None:
    saved = save([np.arange(10), b"x" * 5000, {"a": pd.DataFrame({"a": [1]})}], folder=tmp_path)

    assert not saved.files and not list(tmp_path.iterdir())


def test_a_frame_that_would_not_come_back_equal_leaves_no_file(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, "x"] * ROWS})  # Arrow has no such column
    saved = save(frame, folder=tmp_path)

    assert [part.format for part in saved.parts] == ["json", "pickle"]
    assert not list(tmp_path.iterdir())


def test_frames_of_several_row_groups_come_back_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from headwater.flow import frame_files

    monkeypatch.setattr(frame_files, "GROUP_BYTES", 1 << 20)
    frame = pd.DataFrame(
        {
            "number": np.where(np.arange(ROWS) % 7 == 0, np.nan, np.arange(ROWS)),
            "text": pd.Series([None] * (ROWS // 2) + ["x"] * (ROWS // 2)),
            "kind": pd.Categorical(["u", "v", None] * (ROWS // 3)),
            "when": pd.date_range("2026", periods=ROWS, freq="s", tz="Europe/Paris"),
        },
        index=pd.Index(np.arange(ROWS) * 3, name="key"),
    )
    saved = save(frame, folder=tmp_path)
    again = load(saved.parts, getter(saved), trust=False)

    assert [part.format for part in saved.parts] == ["json", "parquet"]
    assert pa.parquet.ParquetFile(next(iter(saved.files.values()))).num_row_groups > 5
    pd.testing.assert_frame_equal(again, frame)
    again.iloc[0, 0] = 5.0  # it is the caller's own


ARRAYS = """
    import numpy as np

    @step
    def make(n):
        return np.arange(n) * 2.0

    @step
    def spoil(array):
        array[:] = 0  # its own memory
        return float(array.sum())

    @step
    def add(array, zero):
        return float(array.sum()) + zero

    @flow
    def main(n=400_000, again=0):
        made = make(n)
        return add(made, spoil(made))
"""


def test_what_a_step_writes_into_a_mapped_array_stays_its_own(sqlite_project: LocalProject) -> None:
    write(sqlite_project, ARRAYS)
    expected = float((np.arange(400_000) * 2.0).sum())

    assert run(sqlite_project).value == expected
    assert execute_flow(sqlite_project, "main", {}).value == expected


def parts_of(project: LocalProject, step: str) -> list[str]:
    with project.ledger.read() as tx:
        text = tx.value("SELECT parts FROM results WHERE step = ? ORDER BY created_at DESC", (step,))
    import msgspec

    return [part.digest for part in msgspec.json.decode(str(text), type=list[Part]) if part.size > LARGE_BYTES]


def test_a_cached_file_that_somebody_changed_is_not_used(sqlite_project: LocalProject) -> None:
    write(sqlite_project, ARRAYS)
    right = run(sqlite_project).value
    (digest,) = parts_of(sqlite_project, "flows:make")
    for spoil in (_truncate, _change):
        cached = sqlite_project.objects.cached_path(digest)
        os.chmod(cached, 0o644)
        spoil(cached)
        write(sqlite_project, ARRAYS.replace("+ zero", f"+ zero  + {0 if spoil is _change else -0.0}"))
        outcome = run(sqlite_project)

        assert outcome.value == right
        assert outcomes(outcome) == ["remembered", "remembered", "ran"]


def _truncate(path: Path) -> None:
    os.truncate(path, 1000)


def _change(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100_000)
        file.write(b"\xff" * 64)


def test_a_large_result_damaged_in_the_store_is_computed_again(sqlite_project: LocalProject) -> None:
    write(sqlite_project, ARRAYS)
    right = run(sqlite_project).value
    (digest,) = parts_of(sqlite_project, "flows:make")
    sqlite_project.objects.drop_cached(digest)
    root = sqlite_project.root
    assert root is not None
    sqlite_project.close()
    largest = max((root / ".headwater" / "objects").rglob("*.pack"), key=lambda path: path.stat().st_size)
    os.chmod(largest, 0o644)
    with largest.open("r+b") as file:
        file.seek(largest.stat().st_size // 2)
        file.write(b"\xff" * 4096)
    from headwater.project import open_project

    with open_project(root, actor="ann") as project:
        write(project, ARRAYS.replace("+ zero", "+ zero + 0"))
        outcome = execute_flow(project, "main", {})

    assert outcome.value == right
    assert outcome.tasks[0].why == "ran again: the remembered result is damaged"


PEAK = """
    import sys
    from pathlib import Path
    import numpy as np
    from headwater.flow.saving import load, save

    def peak():
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024

    folder = Path(sys.argv[1])
    if sys.argv[2] == "save":
        value = np.full(1 << 27, 1.5)
        saved = save(value, folder=folder)
        (folder / "name").write_text(saved.parts[1].digest)
    else:
        from headwater.flow.formats import BUILT_IN
        read = next(each for each in BUILT_IN if each.name == "npy").read
        assert read(next(folder.glob("*.*"))).sum() == 1.5 * (1 << 27)
    print(peak())
"""


@pytest.mark.long
def test_an_array_of_a_gibibyte_is_saved_and_loaded_within_its_size_and_200_mib(tmp_path: Path) -> None:
    for act in ("save", "load"):
        command = [sys.executable, "-c", textwrap.dedent(PEAK), str(tmp_path), act]
        done = subprocess.run(command, capture_output=True, text=True, check=True)

        assert int(done.stdout) < 1024 + 200, act
