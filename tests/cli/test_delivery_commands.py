"""``hw export`` and ``hw predict``: what they print and how they end."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.check import publish_tables
from headwater.project import create_project
from tests.serve.models import add_version, training

from .running import done, hw


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a model and its data, in which the commands run."""
    columns = {name: values[:50].copy() for name, values in training()[0].items()}
    with create_project(tmp_path / "shop", name="shop", actor="ann") as project:
        add_version(project)
        publish_tables(project, "flights", {"all": columns})
        columns["distance"][7] = float("nan")
        publish_tables(project, "holes", {"all": columns})
    monkeypatch.chdir(tmp_path / "shop")
    monkeypatch.setenv("HEADWATER_AS", "ann")
    monkeypatch.delenv("HEADWATER_PROJECT", raising=False)
    return tmp_path / "shop"


def test_an_export_says_what_it_wrote_and_what_to_do_next(shop: Path) -> None:
    written = done("export", "delay@v1", "--as", "wheel", "--out", "dist")
    document = done("--json", "export", "delay@v1", "--as", "onnx", "--out", "dist").answer

    assert "next: pip install dist/delay_model-1-py3-none-any.whl" in written.out
    assert (shop / "dist" / "delay_model-1-py3-none-any.whl").is_file()
    assert (document["form"], document["version"], document["path"]) == ("onnx", "v1", "dist/delay-v1-onnx")
    assert hw("export", "delay@v1", "--as", "onnx", "--out", "dist").code == 2
    assert hw("export", "delay@v1", "--as", "parcel").code == 2
    closed = hw("export", "delay@v1", "--as", "kubernetes", "--out", "dist")
    assert (closed.code, "the image has no name" in closed.err) == (2, True)


def test_a_dataset_is_predicted_and_what_the_contract_refuses_is_told(shop: Path) -> None:
    made = done("predict", "delay@v1", "flights", "--into", "answers", "--column", "hour")
    rows = done("--json", "data", "read", "answers", "--limit", "2").answer
    refused = hw("predict", "delay@v1", "holes")
    kept = done("predict", "delay@v1", "holes", "--keep-refused")

    assert "answers@v1: 50 rows" in made.out
    assert "predicted_probability" in str(rows)
    assert refused.code == 2
    assert "row 7 of holes@v1 does not keep the contract of delay@v1: 'distance' is null" in refused.err
    assert "1 refused" in kept.out
