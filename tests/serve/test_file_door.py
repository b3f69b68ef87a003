"""Files of rows in, files of answers out: three forms, one version, and what is refused says why."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.lake.tables import write_parquet
from headwater.model import ModelVersion, load
from headwater.project import LocalProject
from headwater.serve import get_prediction
from headwater.serve.answering import MOST_ROWS
from headwater.serve.doors import files
from headwater.serve.http import serve_app
from tests.projects import running
from tests.serve.models import add_version, point, row
from tests.serve.test_doors import ask

ROWS = [row(number) for number in range(30)]
PARQUET = "application/vnd.apache.parquet"
FILE = "/v1/models/delay/predict/file"


@pytest.fixture
def version(sqlite_project: LocalProject) -> ModelVersion:
    made = add_version(sqlite_project)
    point(sqlite_project, made)
    return made


@pytest.fixture
def address(sqlite_project: LocalProject, version: ModelVersion) -> Iterator[str]:
    with running(serve_app(sqlite_project, models=["delay"])) as where:
        yield where


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    told = io.StringIO()
    writer = csv.DictWriter(told, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return told.getvalue().encode()


def as_lines(rows: list[dict[str, Any]]) -> bytes:
    return b"\n".join(json.dumps(each).encode() for each in rows)


def as_parquet(rows: list[dict[str, Any]], folder: Path) -> bytes:
    file = folder / "rows.parquet"
    write_parquet({name: [each[name] for each in rows] for name in rows[0]}, file)
    return file.read_bytes()


def send(address: str, body: bytes, media: str, path: str = FILE) -> tuple[int, dict[str, str], bytes]:
    return ask(address, "POST", path, body, content_type=media)


@pytest.mark.parametrize("path", [FILE, "/predict/file"])
def test_each_form_is_answered_in_its_form_row_by_row(
    sqlite_project: LocalProject, version: ModelVersion, address: str, tmp_path: Path, path: str
) -> None:
    right = load(sqlite_project, version.id).predict(ROWS)

    status, headers, body = send(address, as_lines(ROWS) + b"\n\n", "application/x-ndjson", path)
    lines = [json.loads(line) for line in body.splitlines()]
    assert (status, headers["content-type"], headers["x-headwater-version"]) == (200, "application/x-ndjson", "v1")
    assert [{name: each[name] for name in right[0]} for each in lines] == right
    assert get_prediction(sqlite_project, lines[3]["id"]).model == "delay"

    status, _, body = send(address, as_csv(ROWS), "text/csv; charset=utf-8", path)
    told = list(csv.DictReader(io.StringIO(body.decode())))
    assert status == 200 and [each["id"] == "" for each in told] == [False] * len(ROWS)
    assert [float(each["probability"]) for each in told] == [each["probability"] for each in right]

    status, _, body = send(address, as_parquet(ROWS, tmp_path), PARQUET, path)
    (tmp_path / "answers.parquet").write_bytes(body)
    import duckdb

    names = ", ".join(right[0])
    found = duckdb.execute(f"SELECT {names} FROM read_parquet('{tmp_path}/answers.parquet')").fetchall()
    assert status == 200 and found == [tuple(each.values()) for each in right]


@pytest.mark.parametrize(
    ("body", "media", "status", "told"),
    [
        (b"{}", "application/octet-stream", 415, "send text/csv"),
        (b"", "", 415, "not given"),
        (b'{"a": 1}\n[1]', "application/x-ndjson", 400, "line 2"),
        (b"\xff\xfe", "application/x-ndjson", 400, "line 1"),
        (b"PAR1 and no more", PARQUET, 400, "no Parquet file"),
        (b"", "application/x-ndjson", 400, "1 to 10,000 rows, not 0"),
        (b'{"distance": 1, "hour": "x", "delay": 1}', "application/x-ndjson", 422, "hour"),
    ],
)
def test_what_cannot_be_read_is_refused(address: str, body: bytes, media: str, status: int, told: str) -> None:
    found, _, said = send(address, body, media)

    assert found == status and told in json.loads(said)["error"]["message"]
    assert str(Path("/tmp")) not in said.decode()


def test_a_file_of_too_many_rows_is_refused_before_it_is_unpacked(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = as_parquet([row(0)] * (MOST_ROWS + 1), tmp_path)
    few = as_parquet(ROWS, tmp_path)

    found, _, said = send(address, many, PARQUET)
    assert found == 400 and "more than 10,000 rows" in json.loads(said)["error"]["message"]

    monkeypatch.setattr(files, "MOST_UNPACKED", 100)
    found, _, said = send(address, few, PARQUET)
    assert found == 400 and "unpacked" in json.loads(said)["error"]["message"]


def test_lists_are_json_text_where_a_form_has_no_lists(tmp_path: Path) -> None:
    from headwater.serve.values import Answer

    answer = Answer(
        id="a", model="m", version="v1", model_version="x", channel="production", occurred_at=0,
        predictions=[{"id": "1", "boxes": [1, 2], "sure": True, "note": None}],
    )  # fmt: skip

    assert files.csv_of(answer).decode() == 'id,boxes,sure,note\n1,"[1,2]",true,\n'
    (tmp_path / "a.parquet").write_bytes(files.parquet_of(answer))
    assert files.lines_of(answer) == b'{"id":"1","boxes":[1,2],"sure":true,"note":null}\n'
