from __future__ import annotations

from pathlib import Path

import pytest

from headwater.errors import InvalidInputError
from headwater.project import LocalProject
from headwater.serve import predict
from headwater.trace import verify
from tests.serve.models import add_version, point, row
from tests.trace.test_walking import add_data


@pytest.fixture
def filled(local_project: LocalProject) -> LocalProject:
    return fill(local_project)


def fill(project: LocalProject) -> LocalProject:
    add_data(project)
    point(project, add_version(project, trained_on=["flights@v1"]))
    predict(project, "delay", [row()])
    project.events.seal(all=True)
    predict(project, "delay", [row()])
    with project.ledger.write() as tx:
        tx.govern("test", "source:x", {"said": "yes"})
    return project


def kinds(project: LocalProject, head: str | None = None) -> set[str]:
    return {finding.kind for finding in verify(project, head) if finding.severity == "error"}


def test_nothing_wrong_nothing_found(filled: LocalProject) -> None:
    head = filled.ledger.export_head()

    assert verify(filled, f"{head.seq}:{head.hash}") == []


def test_an_edge_to_a_fact_that_is_not_there_is_found(filled: LocalProject) -> None:
    with filled.ledger.write() as tx:
        tx.edge("run:" + "0" * 26, "data", "version:" + "1" * 26)

    found = {finding.what for finding in verify(filled)}

    assert found == {"run:" + "0" * 26, "version:" + "1" * 26}


def test_a_channel_that_points_nowhere_is_found(filled: LocalProject) -> None:
    with filled.ledger.write() as tx:
        tx.move_pointer("channel", "delay/staging", expected=None, new="0" * 26)

    assert [finding.what for finding in verify(filled)] == ["channel:delay/staging"]


def test_a_model_file_that_is_not_in_the_store_is_found(filled: LocalProject) -> None:
    with filled.ledger.write() as tx:
        tx.execute("UPDATE model_files SET digest = ? WHERE name = 'model.onnx'", ("a" * 64,))

    assert f"object:{'a' * 64}" in {finding.what for finding in verify(filled)}


def test_a_changed_link_of_the_chain_and_a_rewritten_history_are_found(filled: LocalProject) -> None:
    head = filled.ledger.export_head()
    with filled.ledger.write() as tx:
        tx.execute("UPDATE chain SET ref = 'source:y'")

    assert "chain.link" in kinds(filled)
    assert "chain.head" in kinds(filled, f"{head.seq}:{'0' * 64}")
    with pytest.raises(InvalidInputError, match="SEQ:HASH"):
        verify(filled, "yesterday")


def test_a_flipped_bit_in_a_stored_object_is_found(sqlite_project: LocalProject) -> None:
    fill(sqlite_project)
    folder = Path(sqlite_project.state) / "objects"
    victim = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.chmod(0o644)
    victim.write_bytes(data)

    assert kinds(sqlite_project)


def test_a_flipped_bit_in_an_open_event_is_found(sqlite_project: LocalProject) -> None:
    fill(sqlite_project)
    for number in range(3):  # damage behind which there are whole frames is no torn tail
        predict(sqlite_project, "delay", [row(number)])
    segments = [path for path in (Path(sqlite_project.state) / "events").rglob("*") if path.is_file()]
    victim = max(segments, key=lambda path: path.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 3] ^= 1
    victim.write_bytes(data)

    assert kinds(sqlite_project)
