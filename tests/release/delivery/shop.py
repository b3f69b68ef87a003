"""A small project that is delivered: visits, a flow that learns from them, and what is declared of both."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from headwater.check import publish_tables
from headwater.flow import execute_flow
from headwater.project import create_project, open_project

FLOWS = """
import headwater as hw


@hw.step
def fit(data, strength):
    # A graph of two nodes stands for training: a library that trains would take seconds to import.
    from onnx import TensorProto, helper

    from headwater.flow import current_run_id
    from headwater.model import Contract, Field, ModelFile, register

    names = ("pages", "minutes")
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in names]
    output = helper.make_tensor_value_info("value", TensorProto.FLOAT, [None, 1])
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [1], [strength])
    nodes = [
        helper.make_node("Mul", ["pages", "weight"], ["told"]),
        helper.make_node("Add", ["told", "minutes"], ["value"]),
    ]
    graph = helper.make_graph(nodes, "spending", inputs, [output], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()
    project = hw.current()
    file = ModelFile(name="model.onnx", digest=project.objects.put(model), size=len(model), flavour="onnx")
    contract = Contract(
        inputs=tuple(Field(name=name, type="float") for name in names), outputs=(Field(name="value", type="float"),)
    )
    params = {"strength": strength}
    return register(
        project, "spending", files=[file], contract=contract, params=params, run=current_run_id(), trained_on=[data]
    ).id


@hw.flow
def train(data: str = "visits@main", strength: float = 1.0):
    return fit(data, strength)


@hw.flow
def both(data: str):
    return [fit(data, strength).result() for strength in (1.0, 0.5)]
"""
SETTINGS = """
[flow]
on = "threads"

[channels.staging]
gates = ["bar:mae<100"]

[channels.production]
gates = ["bar:mae<100", "fresh:tests<1d"]
approvals = 1
"""
CI = """
[ci]
model = "spending"
flow = "train"
data = "visits@main"
target = "spent"
slices = ["device"]
tests = ["test -s flows.py"]
sample = "sample.json"
"""


def visits(seed: int = 1, rows: int = 300) -> dict[str, list[object]]:
    """Return visits as columns: pages, minutes, device, and the truth ``spent``."""
    made = random.Random(seed)
    pages = [float(made.randint(1, 20)) for _ in range(rows)]
    minutes = [round(made.expovariate(0.2), 2) for _ in range(rows)]
    spent = [p + m + made.gauss(0, 1) for p, m in zip(pages, minutes, strict=True)]
    device = [made.choice(["phone", "desk"]) for _ in range(rows)]
    return {"pages": list(pages), "minutes": list(minutes), "spent": list(spent), "device": list(device)}


def write_code(folder: Path, *, ci: str = CI, settings: str = SETTINGS) -> None:
    """Write the code and the declarations of the project."""
    (folder / "flows.py").write_text(FLOWS)
    (folder / "sample.json").write_text('[{"pages": 12, "minutes": 7.5}]')
    toml = folder / "headwater.toml"
    known = toml.read_text() if toml.exists() else ""
    toml.write_text(known + settings + ci)


def git(folder: Path, *words: str) -> None:
    """Run git there, as somebody."""
    name = ("-c", "user.name=ann", "-c", "user.email=ann@example.org", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def trained_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project in a repository of its own, with visits in it, and both models that tests deliver fitted already."""
    folder = tmp_path_factory.mktemp("delivery") / "shop"
    with create_project(folder, name="shop", actor="ann") as project:
        publish_tables(project, "visits", {"visits": as_arrow(visits())}, message="the first visits")
    write_code(folder)
    git(folder, "init", "-q")
    git(folder, "add", "flows.py", "headwater.toml", "sample.json")
    git(folder, "commit", "-qm", "first")
    with open_project(folder, actor="ann") as project:
        outcome = execute_flow(project, "both", {"data": "visits@v1"})
        assert outcome.status == "done", outcome.run.error
    return folder


@pytest.fixture
def shop(trained_shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project that a test's commands run in, as ann."""
    folder = tmp_path / "shop"
    shutil.copytree(trained_shop, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HEADWATER_AS", "ann")
    monkeypatch.delenv("HEADWATER_PROJECT", raising=False)
    return folder


def as_arrow(columns: dict[str, list[object]]) -> object:
    """Return columns as a table of Arrow."""
    import pyarrow

    return pyarrow.table(columns)
