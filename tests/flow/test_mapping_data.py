"""A step mapped over a version's files, partitions or row batches runs again only for what a new version changed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pytest

from headwater.errors import InvalidInputError
from headwater.flow import Outcome, execute_flow, explain
from headwater.flow.selecting import list_batches, list_items, list_partitions
from headwater.lake import Entry, commit, put_table, set_branch
from headwater.project import LocalProject

HEAD = "import headwater as hw\nfrom headwater import lake\n"


def write(project: LocalProject, text: str) -> None:
    assert project.root is not None
    (project.root / "flows.py").write_text(HEAD + textwrap.dedent(text))


def publish(project: LocalProject, files: Mapping[str, bytes | Entry | None], dataset: str = "notes") -> str:
    """Make a version in which these files are put (None: taken out), move main to it, and return its id."""
    with project.ledger.read() as tx:
        before = tx.pointer("branch", f"{dataset}/main")
    put = [
        each if isinstance(each, Entry) else Entry(path=path, digest=project.objects.put(each), size=len(each))
        for path, each in files.items()
        if each is not None
    ]
    gone = [path for path, each in files.items() if each is None]
    version = commit(project, dataset, put=put, remove=gone, base=before)
    set_branch(project, dataset, "main", version.id, expected=before)
    return version.id


def run(project: LocalProject) -> Outcome:
    outcome = execute_flow(project, "main", {}, workers=2)
    assert outcome.status == "done", outcome.run.error + outcome.run.traceback
    return outcome


COUNTING = """
    @hw.step
    def count(file):
        return file.path, len(file.read_text().split())

    @hw.step
    def total(counts):
        return list(counts)

    @hw.flow
    def main():
        return total(count.map(hw.data.files("notes@main", under="train/")))
"""


def test_only_new_and_changed_files_run_again_and_vanished_ones_drop_out(local_project: LocalProject) -> None:
    files = {f"train/{number}.txt": b"one two".replace(b"two", b"2 " * number) for number in range(6)}
    publish(local_project, {**files, "test/x.txt": b"no"})
    write(local_project, COUNTING)
    first = run(local_project)
    publish(local_project, {"train/2.txt": b"a b c d", "train/00.txt": b"x", "train/5.txt": None, "test/x.txt": b"y"})
    second = run(local_project)

    assert first.value == [(f"train/{number}.txt", 1 + number) for number in range(6)]
    # In the order of the paths: the new file stands first, and moves none of the others.
    counts = {
        "train/0.txt": 1,
        "train/00.txt": 1,
        "train/1.txt": 2,
        "train/2.txt": 4,
        "train/3.txt": 4,
        "train/4.txt": 5,
    }
    assert second.value == list(counts.items())
    ran = {task.why for task in second.tasks if task.outcome == "ran" and task.step == "flows:count"}
    assert ran == {
        "ran again: the argument file has other content (train/2.txt)",
        "ran: no result of this call is remembered yet",
    }
    assert second.executed == 3  # the two files, and the total


def test_a_result_descends_from_the_version_that_its_file_was_listed_from(local_project: LocalProject) -> None:
    version = publish(local_project, {"train/a.txt": b"one"})
    write(local_project, COUNTING)
    outcome = run(local_project)

    with local_project.ledger.read() as tx:
        assert ("read", f"version:{version}") in set(tx.edges_of(f"result:{outcome.tasks[0].result}"))
        assert ("read", f"version:{version}") in set(tx.edges_of(f"run:{outcome.run.id}"))


def test_what_would_run_is_told_for_each_file_before(sqlite_project: LocalProject) -> None:
    publish(sqlite_project, {"train/a.txt": b"one", "train/b.txt": b"two"})
    write(sqlite_project, COUNTING)
    run(sqlite_project)
    publish(sqlite_project, {"train/b.txt": b"two three"})
    told = explain(sqlite_project, "main")

    assert [task.outcome for task in told.tasks] == ["remembered", "would run", "unknown"]
    assert told.tasks[1].why == "would run again: the argument file has other content (train/b.txt)"


def test_a_file_of_the_version_whose_bytes_are_damaged_fails_the_step_and_says_so(
    sqlite_project: LocalProject,
) -> None:
    publish(sqlite_project, {"train/a.txt": b"one" * 100})
    write(sqlite_project, COUNTING)
    sqlite_project.close()
    assert sqlite_project.root is not None
    for pack in (sqlite_project.root / ".headwater" / "objects").rglob("*.pack"):
        pack.chmod(0o644)
        pack.write_bytes(pack.read_bytes().replace(b"oneone", b"0n3oN3"))
    from headwater.project import open_project

    with open_project(sqlite_project.root, actor="ann") as project:
        outcome = execute_flow(project, "main", {})

    assert outcome.status == "failed"
    assert "damaged" in outcome.run.error or "not what" in outcome.run.error


def test_an_item_kept_in_a_result_is_read_by_a_later_step(sqlite_project: LocalProject) -> None:
    publish(sqlite_project, {"train/a.txt": b"one", "train/b.txt": b"three", "train/big.bin": b"x" * (3 << 20)})
    write(
        sqlite_project,
        """
        @hw.step
        def longest(files):
            return {"it": max(files, key=lambda file: file.size)}

        @hw.step
        def size(found, folder):
            return len(found["it"].read_bytes()), found["it"].copy_to(folder).name, found["it"].size

        @hw.flow
        def main():
            import tempfile
            return size(longest(hw.data.files("notes")), tempfile.gettempdir())
        """,
    )
    assert run(sqlite_project).value == (3 << 20, "big.bin", 3 << 20)
    assert run(sqlite_project).remembered == 2


def rows_table(project: LocalProject, name: str, query: str) -> Entry:
    return put_table(project, name, duckdb.connect().sql(query).to_arrow_table())


def numbers(total: int, more: str = "") -> str:
    return f"SELECT range AS n, 'name ' || range AS name FROM range({total}) {more}"


@pytest.mark.long_elsewhere
def test_a_row_put_in_changes_its_own_batch_and_no_later_one(local_project: LocalProject) -> None:
    publish(local_project, {"t": rows_table(local_project, "t", numbers(20_000))})
    before = list_batches(local_project, "notes@main", 500)
    inserted = f"SELECT * FROM ({numbers(20_000)} UNION ALL SELECT 3000, 'put in') ORDER BY n, name"
    publish(local_project, {"t": rows_table(local_project, "t", inserted)})
    after = list_batches(local_project, "notes@main", 500)

    changed = [batch for batch in after if batch not in before]
    rows = [row["n"] for batch in after for row in batch.to_dicts()]
    assert rows == sorted([*range(20_000), 3000])
    assert 25 < len(before) < 60
    assert 1 <= len(changed) <= 3
    lengths = [len(batch.table()) for batch in after[:-1]]
    assert min(lengths) >= 125 and max(lengths) <= 2000


def test_a_flow_over_row_batches_computes_what_changed(sqlite_project: LocalProject) -> None:
    publish(sqlite_project, {"t": rows_table(sqlite_project, "t", numbers(4000))})
    write(
        sqlite_project,
        """
        @hw.step
        def total(rows):
            return sum(row["n"] for row in rows.to_dicts()), rows.name

        @hw.step
        def add(totals):
            return sum(each for each, _ in totals)

        @hw.flow
        def main():
            return add(total.map(hw.data.batches("notes@main", rows=200, columns=["n"])))
        """,
    )
    first = run(sqlite_project)
    publish(sqlite_project, {"t": rows_table(sqlite_project, "t", numbers(4000, "WHERE range <> 1234"))})
    second = run(sqlite_project)
    again = run(sqlite_project)

    assert first.value == 4000 * 3999 // 2
    assert second.value == first.value - 1234
    assert len(first.tasks) > 10
    assert second.executed <= 4
    assert again.executed == 0


def test_partitions_are_the_folders_with_a_value_in_their_name(local_project: LocalProject) -> None:
    days = {f"events/day={day}/part-{n}": (day, n) for day in (1, 2) for n in (1, 2)}
    put = {path: rows_table(local_project, path, f"SELECT {day} AS d, {n} AS n") for path, (day, n) in days.items()}
    publish(local_project, {**put, "README.md": b"hello"})
    found = list_partitions(local_project, "notes")
    late = rows_table(local_project, "events/day=2/part-3", "SELECT 2 AS d, 3 AS n")
    publish(local_project, {"x": late})
    later = list_partitions(local_project, "notes")

    assert [(each.name, dict(each.values), len(each.files)) for each in found] == [
        ("events/day=1", {"day": "1"}, 2),
        ("events/day=2", {"day": "2"}, 2),
    ]
    assert found[1].to_dicts() == [{"d": 2, "n": 1}, {"d": 2, "n": 2}]
    assert later[0] == found[0]
    assert later[1] != found[1]


def test_partitions_by_a_column_are_the_rows_of_each_value(local_project: LocalProject) -> None:
    day = "CASE WHEN range % 3 = 2 THEN NULL ELSE date '2026-01-01' + (range % 3)::INT END AS day"
    query = f"SELECT range AS n, {day} FROM range({{}})"
    publish(local_project, {"t": rows_table(local_project, "t", query.format(30))})
    found = list_partitions(local_project, "notes", by="day")
    publish(local_project, {"t": rows_table(local_project, "t", query.format(31))})
    later = list_partitions(local_project, "notes", by="day")

    assert [each.name for each in found] == ["day=2026-01-01", "day=2026-01-02", "day=None"]
    assert [row["n"] for row in found[0].to_dicts()] == list(range(0, 30, 3))
    assert found[2].values == {"day": None}
    assert [a == b for a, b in zip(found, later, strict=True)] == [False, True, True]


def test_what_cannot_be_mapped_over_is_refused_with_what_to_do(sqlite_project: LocalProject) -> None:
    publish(sqlite_project, {"a.txt": b"x"})
    publish(sqlite_project, {"t": rows_table(sqlite_project, "t", numbers(10))}, "table")

    with pytest.raises(InvalidInputError, match=r"holds no table here.*hw\.data\.files"):
        list_batches(sqlite_project, "notes", 100)
    with pytest.raises(InvalidInputError, match="by='COLUMN'"):
        list_partitions(sqlite_project, "notes")
    with pytest.raises(InvalidInputError, match=r"no column 'k' to part by. There are: n, name"):
        list_partitions(sqlite_project, "table", by="k")
    with pytest.raises(InvalidInputError, match="16 rows or more, not 3"):
        list_batches(sqlite_project, "table", 3)
    with pytest.raises(InvalidInputError, match="has no column 'k'"):
        list_batches(sqlite_project, "table", 100, columns=["k"])


def test_a_csv_file_is_a_table_too(sqlite_project: LocalProject) -> None:
    publish(sqlite_project, {"t.csv": b"n,name\n" + b"".join(b"%d,x\n" % n for n in range(300))})
    found = list_batches(sqlite_project, "notes", 40)
    items = list_items(sqlite_project, "notes")

    assert [row["n"] for batch in found for row in batch.to_dicts()] == list(range(300))
    assert items[0].table().columns == ["n", "name"]


def test_batches_that_were_collected_are_cut_again(sqlite_project: LocalProject, tmp_path: Path) -> None:
    from headwater.trace.collecting import collect

    publish(sqlite_project, {"t": rows_table(sqlite_project, "t", numbers(2000))})
    before = list_batches(sqlite_project, "notes", 200)
    collect(sqlite_project, free=True, grace_hours=0)
    gone = sqlite_project.objects.missing([batch.files[0].digest for batch in before])
    after = list_batches(sqlite_project, "notes", 200)

    assert len(gone) == len(before)
    assert after == before
    assert sum(len(batch.table()) for batch in after) == 2000


@pytest.mark.parametrize("executor", ["threads", "warm"])
def test_items_are_the_same_for_every_executor_on_this_machine(sqlite_project: LocalProject, executor: str) -> None:
    publish(sqlite_project, {"train/a.txt": b"one two", "train/big.txt": b"word " * 600_000})
    write(sqlite_project, COUNTING)
    first = execute_flow(sqlite_project, "main", {}, on=executor)
    again = run(sqlite_project)

    assert first.value == [("train/a.txt", 2), ("train/big.txt", 600_000)]
    assert again.remembered == 3
