from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headwater.check.publishing import publish, publish_tables
from headwater.errors import InvalidInputError
from headwater.lake import add_files, read_bytes, resolve, scan
from headwater.lake.erasing import Subject
from headwater.lake.needles import Needles
from headwater.project import LocalProject, open_project
from headwater.serve import predict
from headwater.trace import replay, sample_predictions, verify
from headwater.trace.erasing import erase
from headwater.trace.finding import find_text, places
from headwater.track import add_artefact, end_run, get_run, log_lines, start_run
from headwater.track.values import LogLine
from tests.serve.models import add_version, point, row

NAME, MAIL, ID = "Zebulon Quarterstaff", "zq@example.org", "c42x"
SUBJECT = Subject(datasets=("customers",), key={"customer_id": ID})
WHY = "request 17 of the data protection officer"
PICTURE = "data:image/png;base64,aGFuZHdyaXRpbmc="
RESULTS = json.dumps([{"sample": [{"who": f"{ID} {NAME}", "png": PICTURE}, {"who": "k1", "png": PICTURE}]}])


def table(path: Path, rows: list[tuple[str, str, str, int]]) -> None:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (customer_id VARCHAR, name VARCHAR, mail VARCHAR, n BIGINT)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")


def others(count: int = 50) -> list[tuple[str, str, str, int]]:
    return [(f"k{i}", f"Person Number{i}", f"p{i}@example.org", i) for i in range(count)]


def kept_pictures(project: LocalProject) -> list[str]:
    with project.ledger.read() as tx:
        (row,) = tx.all("SELECT results FROM verdicts")
    return [each["png"] for result in json.loads(row.results) for each in result["sample"]]


def plant(project: LocalProject, folder: Path) -> dict[str, int]:
    """Put the subject into three versions of a table, a CSV, and every store of derived bytes."""
    files = folder / "files"
    files.mkdir()
    for number in range(3):
        table(files / "people.parquet", [*others(50 + number), (ID, NAME, MAIL, 7)])
        (files / "people.csv").write_text(f"customer_id,name,n\nk1,Person Number1,1\n{ID},{NAME},{number}\n")
        version = add_files(
            project, "customers", [files / "people.parquet", files / "people.csv"], source=f"mail of {NAME}"
        )
        publish(project, "customers", version=version.id)
    run = start_run(project, "report", {"who": NAME}).id
    log_lines(project, run, [LogLine(task="", level="info", occurred_at=1, text=f"looked at {MAIL}")])
    add_artefact(project, run, "sample", project.objects.put(f'{{"first": "{NAME}"}}'.encode()))
    end_run(project, run)
    with project.ledger.write() as tx:
        tx.insert(
            "verdicts", id=tx.new_id(), version=resolve(project, "customers").id, turn=1, dataset="customers",
            outcome="warned", declared="", baseline=None, results=RESULTS, author="ann",
            created_at=1,
        )  # fmt: skip
        tx.govern("note", "dataset:customers", {"said": f"{NAME} complained"})
    project.objects.cached_path(next(e for e in entries(project) if e.path == "people.csv").digest)
    return {"versions": 3}


def entries(project: LocalProject) -> list[Any]:
    from headwater.lake import iter_files

    return list(iter_files(project, "customers"))


def raw_places(folder: Path, texts: tuple[str, ...]) -> list[str]:
    """Return the files of a project that hold one of the texts as plain bytes."""
    found = []
    for path in sorted((folder / ".headwater").rglob("*")):
        if path.is_file() and any(text.encode() in path.read_bytes() for text in texts):
            found.append(str(path.relative_to(folder)))
    return found


def errors(project: LocalProject) -> list[str]:
    return [each.message for each in verify(project) if each.severity == "error"]


def test_an_erased_subject_is_nowhere_and_everything_else_is_as_it_was(
    sqlite_project: LocalProject, tmp_path: Path
) -> None:
    project = sqlite_project
    plant(project, tmp_path)
    stores = {each.store for each in places(project, Needles([NAME, MAIL, ID]))}
    assert stores == {"objects", "ledger", "events", "cache"}
    before = resolve(project, "customers@v2")

    told = erase(project, SUBJECT)
    assert (told.id, told.rows, told.files) == ("", 6, 6)
    assert find_text(project, text=NAME)
    done = erase(project, SUBJECT, why=WHY, carry_out=True)

    assert (done.versions, done.rows, done.left) == (3, 6, ())
    assert kept_pictures(project) == ["erased", PICTURE]  # the picture of the other row is as it was
    assert list(places(project, Needles([NAME, MAIL, ID]))) == []
    assert errors(project) == []
    after = resolve(project, "customers@v2")
    assert (after.id, after.number, after.parents) == (before.id, before.number, before.parents)
    assert after.root != before.root and after.rows == (before.rows or 0) - 1
    assert len(scan(project, "customers@v2", where="customer_id = 'k1'").fetchall()) >= 1
    assert b"Person Number1" in read_bytes(project, "customers@v3", "people.csv")
    project.close()
    assert raw_places(project.folder, (NAME, MAIL, ID)) == []


def test_an_erasure_works_on_postgres_and_s3(local_project: LocalProject, tmp_path: Path) -> None:
    plant(local_project, tmp_path)

    done = erase(local_project, SUBJECT, why=WHY, carry_out=True)

    assert (done.versions, done.left) == (3, ())
    assert list(places(local_project, Needles([NAME, MAIL, ID]))) == [] and errors(local_project) == []


def test_the_chain_says_that_and_why_and_not_whom(sqlite_project: LocalProject, tmp_path: Path) -> None:
    plant(sqlite_project, tmp_path)

    done = erase(sqlite_project, SUBJECT, why=WHY, carry_out=True)

    with sqlite_project.ledger.read() as tx:
        row = tx.one("SELECT * FROM erasures")
        assert row is not None and (row.id, row.salt, row.subject) == (done.id, None, None) and row.done_at
        assert tx.one("SELECT seq FROM chain WHERE kind = 'erase' AND ref = ?", (f"erasure:{done.id}",)) is not None


def test_a_prediction_from_an_erased_input_answers_so(sqlite_project: LocalProject, tmp_path: Path) -> None:
    project = sqlite_project
    plant(project, tmp_path)
    point(project, add_version(project))
    predict(project, "delay", [row()])
    [identifier] = sample_predictions(project, 10)
    from headwater import canonical

    kept = project.events.rows("predictions")[0]
    project.events.append(
        "predictions",
        [
            {
                **kept,
                "prediction": "0" * 26,
                "batch": "b2",
                "inputs": canonical.encode({"customer_id": ID, "distance": 1.0}),
            }
        ],
    )

    erase(project, SUBJECT, why=WHY, carry_out=True)

    report = replay(project, [identifier, "0" * 26])
    assert report.equal == 1
    assert [each.prediction for each in report.not_kept] == ["0" * 26]
    assert "was erased on" in report.not_kept[0].why and WHY in report.not_kept[0].why


def test_files_are_erased_by_path_with_what_was_read_from_them(sqlite_project: LocalProject, tmp_path: Path) -> None:
    from pypdf import PdfWriter

    scans = tmp_path / "scans"
    (scans / "c42x").mkdir(parents=True)
    writer, data = PdfWriter(), io.BytesIO()
    writer.add_blank_page(100, 100)
    writer.add_metadata({"/Title": f"Letter of {NAME}"})
    writer.write(data)
    (scans / "c42x" / "letter.pdf").write_bytes(data.getvalue())
    (scans / "other.txt").write_text("stays")
    version = add_files(sqlite_project, "scans", [scans])
    publish(sqlite_project, "scans", version=version.id)
    paths = [each.path for each in iter_paths(sqlite_project)]
    assert find_text(sqlite_project, text=NAME)

    subject = Subject(datasets=("scans",), path="*c42x/*", also=(NAME,))
    done = erase(sqlite_project, subject, why=WHY, carry_out=True)

    assert (done.versions, done.files, done.left) == (1, 1, ())
    assert [each.path for each in iter_paths(sqlite_project)] == [each for each in paths if "c42x" not in each]
    assert find_text(sqlite_project, text=NAME) == [] and errors(sqlite_project) == []


def iter_paths(project: LocalProject) -> list[Any]:
    from headwater.lake import iter_files

    return list(iter_files(project, "scans"))


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        pytest.param(
            "a.csv", 'customer_id;note;zip\r\nk1;"";007\r\nc42x;"two\nlines";1\r\nk2;a,b;010\r\n',
            'customer_id;note;zip\r\nk1;"";007\r\nk2;a,b;010\r\n', id="separators, quotes, ends of lines",
        ),
        pytest.param(
            "a.jsonl", '{"customer_id": "c42x"}\n{"customer_id": "k1", "at": "2024-01-01T00:00:00Z", "n": 1.0}\n'
            '{"customer_id": "k2", "late": 1}\n',
            '{"customer_id": "k1", "at": "2024-01-01T00:00:00Z", "n": 1.0}\n{"customer_id": "k2", "late": 1}\n',
            id="times, numbers, missing keys",
        ),
        pytest.param("b.csv", "customer_id,n\nc42x,1\nk1,007\n", "customer_id,n\nk1,007\n", id="zeros in front"),
    ],
)  # fmt: skip
def test_the_other_rows_of_a_text_table_stay_byte_for_byte(
    sqlite_project: LocalProject, tmp_path: Path, name: str, before: str, after: str
) -> None:
    (tmp_path / name).write_bytes(before.encode())
    made = add_files(sqlite_project, "customers", [tmp_path / name])

    done = erase(sqlite_project, SUBJECT, why=WHY, carry_out=True)

    assert (done.rows, done.left) == (1, ())
    assert read_bytes(sqlite_project, made.ref, name) == after.encode()


def test_a_key_that_only_a_late_line_has_is_kept(sqlite_project: LocalProject, tmp_path: Path) -> None:
    lines = [f'{{"customer_id": "k{number}"}}' for number in range(25_000)]
    lines += ['{"customer_id": "c42x"}', '{"customer_id": "last", "late": 1}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    made = add_files(sqlite_project, "customers", [tmp_path / "a.jsonl"])

    assert erase(sqlite_project, SUBJECT, why=WHY, carry_out=True).rows == 1

    assert read_bytes(sqlite_project, made.ref, "a.jsonl").endswith(b'"k24999"}\n{"customer_id": "last", "late": 1}\n')


def test_a_copy_in_another_dataset_is_named_and_left(sqlite_project: LocalProject, tmp_path: Path) -> None:
    plant(sqlite_project, tmp_path)
    (tmp_path / "copy.txt").write_text(f"{NAME}\n")
    publish(sqlite_project, "letters", version=add_files(sqlite_project, "letters", [tmp_path / "copy.txt"]).id)

    done = erase(sqlite_project, SUBJECT, why=WHY, carry_out=True)

    [copied] = [each for each in done.left if each.store == "objects"]
    assert copied.what.startswith("letters@v1 copy.txt (object:")
    assert "name its dataset too" in copied.why and errors(sqlite_project) == []
    assert [each for each in done.left if each != copied] == []


def test_a_table_without_a_header_is_named_and_erased_by_the_place_of_its_column(
    sqlite_project: LocalProject, tmp_path: Path
) -> None:
    table(tmp_path / "people.parquet", [*others(3), (ID, NAME, MAIL, 7)])
    (tmp_path / "calls.csv").write_text(f'k1;"one\nline";007\n{ID};x;1\nk2;y;2\n')
    made = add_files(sqlite_project, "customers", [tmp_path / "people.parquet", tmp_path / "calls.csv"])

    told = erase(sqlite_project, SUBJECT)
    done = erase(sqlite_project, SUBJECT, why=WHY, carry_out=True)

    for [left] in (told.left, done.left):
        assert left.what.startswith("customers@v1 calls.csv (object:") and "name the column by its place" in left.why

    by_place = Subject(datasets=("customers",), key={"#1": ID})
    assert erase(sqlite_project, by_place).rows == 1
    last = erase(sqlite_project, by_place, why=WHY, carry_out=True)

    assert (last.rows, last.left) == (1, ())
    assert read_bytes(sqlite_project, made.ref, "calls.csv") == b'k1;"one\nline";007\nk2;y;2\n'
    with pytest.raises(InvalidInputError, match="columns asked for"):
        erase(sqlite_project, Subject(datasets=("customers",), key={"#9": ID}))


def test_a_reason_is_needed_and_must_not_name_the_subject(sqlite_project: LocalProject, tmp_path: Path) -> None:
    plant(sqlite_project, tmp_path)

    with pytest.raises(InvalidInputError, match="needs a reason"):
        erase(sqlite_project, SUBJECT, carry_out=True)
    with pytest.raises(InvalidInputError, match="names the subject"):
        erase(sqlite_project, SUBJECT, why=f"{NAME} asked", carry_out=True)
    with pytest.raises(InvalidInputError, match="nothing of this subject"):
        erase(sqlite_project, Subject(datasets=("customers",), where="customer_id = 'nobody'"), why=WHY)


KILLED = """
import os, sys
from headwater.durable import on_crash_point
from headwater.project import open_project
from headwater.trace.erasing import erase
from tests.trace.test_erasing import SUBJECT, WHY

passed = []
def point(name):
    passed.append(name)
    if name.startswith(("erase", "ledger.scrub", "collect")) :
        seen = [each for each in passed if each.startswith(("erase", "ledger.scrub", "collect"))]
        if len(seen) == int(sys.argv[2]):
            os._exit(9)

project = open_project(sys.argv[1], actor="ann")
on_crash_point(point)
erase(project, SUBJECT, why=WHY, carry_out=True)
"""


@pytest.mark.parametrize("every", [29, pytest.param(1, marks=pytest.mark.long)])
def test_an_erasure_that_is_killed_anywhere_is_completed_by_running_it_again(
    sqlite_project: LocalProject, tmp_path: Path, every: int
) -> None:
    import shutil

    plant(sqlite_project, tmp_path)
    sqlite_project.close()
    killed = 0
    for number in range(1, 200, every):
        folder = tmp_path / f"copy-{number}"
        shutil.copytree(sqlite_project.folder, folder)
        command = [sys.executable, "-c", KILLED, str(folder), str(number)]
        ended = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
        if ended.returncode == 0:
            break
        assert ended.returncode == 9, ended.stderr
        killed += 1
        with open_project(folder, actor="ann") as project:
            assert isinstance(project, LocalProject)
            assert errors(project) == [], number
            with project.ledger.write() as tx:  # the lease of the killed process runs out
                tx.execute("UPDATE leases SET expires_at = 0")
            erase(project, SUBJECT, why=WHY, carry_out=True)
            assert list(places(project, Needles([NAME, MAIL, ID]))) == [] and errors(project) == [], number
        assert raw_places(folder, (NAME, MAIL, ID)) == [], number
        shutil.rmtree(folder)

    assert killed >= 2


def test_a_column_that_no_table_has_is_named_with_those_there_are(sqlite_project: LocalProject) -> None:
    publish_tables(sqlite_project, "people", {"all": {"person": [1, 42], "depth": [42, 3]}})

    for wrong in (
        Subject(datasets=("people",), key={"persn": "42"}),
        Subject(datasets=("people",), where="persn = 42"),
    ):
        with pytest.raises(InvalidInputError, match="They have: depth, person"):
            erase(sqlite_project, wrong)


def test_a_short_number_is_looked_for_in_the_rows_alone(sqlite_project: LocalProject) -> None:
    publish_tables(sqlite_project, "people", {"all": {"person": [1, 42], "depth": [7, 3]}})
    run = start_run(sqlite_project, "fit", params={"depth": 42, "note": "of 42 and c42"})
    end_run(sqlite_project, run.id)
    subject = Subject(datasets=("people",), key={"person": "42"})
    erase(sqlite_project, subject, why="request 1", carry_out=True)

    assert scan(sqlite_project, "people@main").fetchall() == [(1, 7)]
    assert get_run(sqlite_project, run.id).params == {"depth": 42, "note": "of 42 and c42"}


def test_a_parquet_file_keeps_what_its_writer_said_of_it(sqlite_project: LocalProject, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    said = {b"unit's": b"km/h", b"raw": b"\x00\xff"}
    zoned = pa.timestamp("us", "Europe/Berlin")
    rows = pa.table({"customer_id": pa.array(["k1", ID]).dictionary_encode(), "at": pa.array([1, 2], zoned)})
    pq.write_table(rows.replace_schema_metadata(said), tmp_path / "a.parquet")
    named = {**said, b"asked for by": f"{MAIL}, {NAME}".encode()}
    pq.write_table(rows.replace_schema_metadata(named), tmp_path / "named.parquet")
    made = add_files(sqlite_project, "customers", [tmp_path / "a.parquet", tmp_path / "named.parquet"])
    assert len([each for each in places(sqlite_project, Needles([NAME])) if each.store == "objects"]) == 1

    subject = Subject(datasets=("customers",), key={"customer_id": ID}, also=(NAME,))
    erase(sqlite_project, subject, why=WHY, carry_out=True)

    left, other = (
        pq.read_table(io.BytesIO(read_bytes(sqlite_project, made.ref, name))) for name in ("a.parquet", "named.parquet")
    )
    assert left.schema.metadata == said
    assert left.schema.types == rows.schema.types and left.to_pylist() == rows.slice(0, 1).to_pylist()
    # Arrow says the metadata once more, behind base64: that goes where it names the subject, the rest stays.
    assert other.schema.metadata == said and other.to_pylist() == left.to_pylist()
    assert list(places(sqlite_project, Needles([NAME, ID]))) == []
