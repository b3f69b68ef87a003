"""What a step reads by a ``headwater://`` path is part of what it depends on, as what it reads by ``hw.data`` is."""

from __future__ import annotations

from headwater.lake import add_table, set_branch
from headwater.project import LocalProject
from tests.flow.playing import outcomes, run, write

FLOW = """
    import pandas

    @step
    def count(path):
        return len(pandas.read_parquet(path))

    @flow
    def main():
        return count("headwater://t@main/a.parquet").result()
"""


def test_a_step_that_read_by_path_runs_again_when_the_branch_has_moved(sqlite_project: LocalProject) -> None:
    first = add_table(sqlite_project, "t", "a", {"x": [1, 2]})
    set_branch(sqlite_project, "t", "main", first.id, expected=None)
    write(sqlite_project, FLOW)
    assert run(sqlite_project).returned == 2
    assert outcomes(run(sqlite_project)) == ["remembered"]

    second = add_table(sqlite_project, "t", "a", {"x": [1, 2, 3]}, base=first.id)
    set_branch(sqlite_project, "t", "main", second.id, expected=first.id)

    assert run(sqlite_project).returned == 3
    with sqlite_project.ledger.read() as tx:
        assert "read" in {role for role, _ in tx.children_of(f"version:{second.id}")}
