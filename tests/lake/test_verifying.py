from __future__ import annotations

from headwater.lake import commit, set_branch, verify
from headwater.project import LocalProject
from tests.lake.test_versions import entry


def test_what_was_planted_in_the_ledger_is_found(local_project: LocalProject) -> None:
    first = commit(local_project, "d", put=[entry(local_project, "a", "1")], message="honest")
    second = commit(local_project, "d", put=[entry(local_project, "b", "2")], base=first.id)
    set_branch(local_project, "d", "main", second.id, expected=None)
    assert list(verify(local_project)) == []

    with local_project.ledger.write() as tx:
        tx.execute("UPDATE versions SET message = 'forged' WHERE id = ?", (first.id,))
        tx.execute("UPDATE versions SET root = ?, files = 9 WHERE id = ?", ("0" * 64, second.id))
        tx.execute("UPDATE pointers SET head = 'gone' WHERE name = 'd/main'")

    found = {(finding.kind, finding.what) for finding in verify(local_project)}
    assert found == {
        ("record_differs", f"version:{first.id}"),
        ("record_differs", f"version:{second.id}"),
        ("broken_manifest", f"version:{second.id}"),
        ("dangling_name", "branch:d/main"),
    }


def test_a_manifest_that_names_bytes_that_are_not_there_is_found(sqlite_project: LocalProject) -> None:
    version = commit(sqlite_project, "d", put=[entry(sqlite_project, "a", "1")])
    from headwater.canonical import digest
    from headwater.lake.ranges import Row, encode_leaf

    lying = sqlite_project.objects.put(encode_leaf([Row(b"a", digest(b"nowhere"), 1, "", None)]))
    with sqlite_project.ledger.write() as tx:
        tx.execute("UPDATE versions SET root = ? WHERE id = ?", (lying, version.id))

    messages = [finding.message for finding in verify(sqlite_project) if finding.kind == "broken_manifest"]

    assert len(messages) == 1
    assert "are not in the store" in messages[0]
