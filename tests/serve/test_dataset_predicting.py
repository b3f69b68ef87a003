from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from headwater import lake
from headwater.check import publish_tables
from headwater.errors import InvalidInputError
from headwater.model import ContractError, ModelFile, load, register
from headwater.model.flavours import get_flavour
from headwater.project import LocalProject, Project
from headwater.serve import dataset_predicting
from headwater.serve.dataset_predicting import predict_dataset
from headwater.trace import trace
from tests.model.delays import flights, forest, inputs, rows_of
from tests.model.registered import registered
from tests.serve.pictures import CONTRACT, Looker


def put(project: Project, rows: int = 300, **more: Any) -> None:
    """Publish flights, inputs and truth, with what no model reads: a day and a number of 38 digits."""
    frame = flights(seed=3, rows=rows).assign(
        day=[f"2026-01-{1 + number % 28:02}" for number in range(rows)], number=range(rows), **more
    )
    publish_tables(project, "flights", {"all": frame})


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_predicting, "BATCH_ROWS", 32)
    monkeypatch.setattr(dataset_predicting, "PART_ROWS", 128)


@pytest.mark.long_elsewhere
@pytest.mark.usefixtures("small_parts")
def test_every_row_is_answered_beside_its_own_columns_with_lineage(project: Project) -> None:
    version = registered(project, "delay", forest(), inputs())
    put(project)

    made = predict_dataset(project, "delay@latest", "flights@main")

    new = made.publication.version
    found = lake.scan(project, new.ref).to_dicts()
    source = lake.scan(project, "flights@main").to_dicts()
    expected = load(project, "delay@v1").predict(rows_of(inputs(seed=3, rows=300)))
    assert (made.rows, made.refused, new.dataset, new.rows) == (300, 0, "delay-predictions", 300)
    assert [{name: row[name] for name in source[0]} for row in found] == source
    assert [row["predicted_probability"] for row in found] == [each["probability"] for each in expected]
    assert [row["predicted_label"] for row in found] == [each["label"] for each in expected]
    paths = [entry.path for entry in lake.iter_files(project, new.id)]
    assert paths == ["part-000000.parquet", "part-000001.parquet", "part-000002.parquet", "predicted.json"]
    edges = {(edge.role, edge.parent) for edge in trace(project, f"version:{new.id}").edges}
    assert {("produced_by", version.ref), ("input", f"version:{made.data_version}")} <= edges
    about = json.loads(lake.read_bytes(project, new.ref, "predicted.json"))
    assert (about["model_version"], about["rows"], about["execution"]["threads"]) == (version.id, 300, 1)


@pytest.mark.usefixtures("small_parts")
def test_the_same_again_makes_no_version_and_fewer_rows_replace_the_parts_before(sqlite_project: LocalProject) -> None:
    registered(sqlite_project, "delay", forest(), inputs())
    put(sqlite_project)

    first = predict_dataset(sqlite_project, "delay@v1", "flights", "answers").publication
    again = predict_dataset(sqlite_project, "delay@v1", "flights", "answers").publication
    evening = predict_dataset(
        sqlite_project, "delay@v1", "flights", "answers", columns=["number"], where="hour >= 22"
    ).publication

    assert again.version.id == first.version.id
    assert not again.version.changed
    assert [entry.path for entry in lake.iter_files(sqlite_project, evening.version.id)] == [
        "part-000000.parquet",
        "predicted.json",
    ]
    late = lake.scan(sqlite_project, evening.version.ref).to_dicts()
    assert list(late[0]) == ["number", "predicted_label", "predicted_probability"]
    hours = flights(seed=3, rows=300).hour
    assert [row["number"] for row in late] == [number for number in range(300) if hours[number] >= 22]


def test_a_row_beyond_the_contract_publishes_nothing_or_is_kept_with_its_reason(sqlite_project: LocalProject) -> None:
    registered(sqlite_project, "delay", forest(), inputs())
    carriers = ["AA"] * 300
    frame = flights(seed=3, rows=300).assign(carrier=carriers)
    frame.loc[217, "carrier"] = None
    publish_tables(sqlite_project, "flights", {"all": frame})

    with pytest.raises(ContractError, match=r"row 217 of flights@v1 does not keep .* 'carrier' is null") as refused:
        predict_dataset(sqlite_project, "delay@v1", "flights")
    assert [each["row"] for each in refused.value.values["problems"]] == [217]
    assert [each.name for each in lake.list_datasets(sqlite_project)] == ["flights"]

    made = predict_dataset(sqlite_project, "delay@v1", "flights", keep_refused=True)
    rows = lake.scan(sqlite_project, made.publication.version.ref).to_dicts()
    assert (made.rows, made.refused) == (300, 1)
    assert [number for number, row in enumerate(rows) if row["refused"]] == [217]
    assert rows[217]["refused"] == "'carrier' is null, expected text"
    assert rows[217]["predicted_probability"] is None
    assert None not in [row["predicted_probability"] for row in rows[:217]]


def test_what_cannot_be_predicted_says_why_first(sqlite_project: LocalProject) -> None:
    registered(sqlite_project, "delay", forest(), inputs())
    publish_tables(sqlite_project, "thin", {"all": {"temp": [1.0], "predicted_label": [1]}})
    put(sqlite_project, rows=10, predicted_label=1)

    with pytest.raises(InvalidInputError, match="lacks the inputs hour, carrier, wet"):
        predict_dataset(sqlite_project, "delay@v1", "thin")
    with pytest.raises(InvalidInputError, match="predicted_label already"):
        predict_dataset(sqlite_project, "delay@v1", "flights")
    with pytest.raises(InvalidInputError, match="lacks the columns nothing"):
        predict_dataset(sqlite_project, "delay@v1", "flights", columns=["nothing"])


def put_rows(project: LocalProject, dataset: str, rows: str) -> None:
    """Publish what an SQL query gives."""
    import duckdb

    found = duckdb.sql(rows)
    assert found is not None
    publish_tables(project, dataset, {"all": found.to_arrow_table()})


def looker(project: LocalProject) -> None:
    files = get_flavour("python").save(Looker(), CONTRACT)
    stored = [
        ModelFile(name=name, digest=project.objects.put(data), size=len(data), flavour="python")
        for name, data in files.items()
    ]
    code = get_flavour("python").describe(files)["untrusted"]
    register(project, "looker", files=stored, contract=CONTRACT, trusted=code)


def test_pictures_and_nested_columns_are_read_and_nested_answers_are_json_text(sqlite_project: LocalProject) -> None:
    looker(sqlite_project)
    put_rows(
        sqlite_project,
        "walls",
        r"""SELECT 0 AS n, '\x89PNG\x0D\x0A\x1A\x0Aab'::BLOB AS picture, [1.5, NULL]::DOUBLE[] AS spots,
            {'town': 'Bern', 'floor': 2} AS place
        UNION ALL SELECT 1, NULL, []::DOUBLE[], {'town': 'Zürich', 'floor': 0} ORDER BY n""",
    )

    made = predict_dataset(sqlite_project, "looker@v1", "walls", columns=["n"])

    first, second = lake.scan(sqlite_project, made.publication.version.ref).to_dicts()
    assert first == {
        "n": 0,
        "predicted_bytes": 10,
        "predicted_spots": "[1.5,null]",
        "predicted_place": '{"town":"Bern","floor":2}',
        "predicted_more": '{"of":10,"text":"ü"}',
        "predicted_begin": "iVBORw==",
        "predicted_pair": "[10.0,10.5]",
    }
    assert (second["predicted_spots"], second["predicted_more"], second["predicted_begin"]) == ("[]", None, "")
    assert second["predicted_place"] == '{"town":"Zürich","floor":0}'


def test_a_row_whose_bytes_are_no_picture_is_refused_as_any_other(sqlite_project: LocalProject) -> None:
    looker(sqlite_project)
    row = "[1.0]::DOUBLE[] AS spots, {'town': 'Bern', 'floor': 2} AS place"
    put_rows(sqlite_project, "walls", f"SELECT 'no picture'::BLOB AS picture, {row}")

    made = predict_dataset(sqlite_project, "looker@v1", "walls", columns=[], keep_refused=True)

    (found,) = lake.scan(sqlite_project, made.publication.version.ref).to_dicts()
    assert made.refused == 1 and "'picture' is" in found["refused"] and found["predicted_spots"] is None


PEAK = """
import re, sys
from pathlib import Path
from headwater.project import open_project
from headwater.serve.dataset_predicting import predict_dataset

with open_project(sys.argv[1]) as project:
    predict_dataset(project, "delay@v1", sys.argv[2], "answers")
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.long
def test_memory_does_not_grow_with_the_rows(sqlite_project: LocalProject) -> None:
    registered(sqlite_project, "delay", forest(), inputs())
    peaks_mib = []
    for rows in (300_000, 1_500_000):
        publish_tables(sqlite_project, f"rows{rows}", {"all": flights(seed=3, rows=rows)})
        command = [sys.executable, "-c", PEAK, str(sqlite_project.root), f"rows{rows}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks_mib.append(int(done.stdout) // 1024)

    assert peaks_mib[1] < peaks_mib[0] + 40
