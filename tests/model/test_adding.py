"""Models that were made elsewhere: recognised, proved in a process of its own, trusted by an admin, or refused."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.errors import CorruptError, DeniedError, HeadwaterError, InvalidInputError, RefusedError
from headwater.model import ModelFile, add_model, contract_as_toml, load, read_contract, register, trust, untrusted
from headwater.model.adding import recognise
from headwater.model.flavours import get_flavour
from headwater.model.proving import prove
from headwater.project import Actor, LocalProject, Project
from tests.cli.running import done, hw
from tests.model.made import encoder_files, made
from tests.model.test_every_flavour import Harm


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@pytest.mark.parametrize("name", ["onnx", "sklearn", "xgboost", "lightgbm", "huggingface", "mlflow", "python", "api"])
def test_the_flavour_of_files_is_recognised(name: str) -> None:
    assert recognise(made(name).files) == name


def test_trees_are_recognised_by_how_they_begin() -> None:
    assert recognise({"any": made("lightgbm").files["model.lgb.txt"]}) == "lightgbm"
    assert recognise({"any": b'{"learner":{}}'}) == "xgboost"
    with pytest.raises(InvalidInputError, match=r"no flavour is recognised in notes\.txt"):
        recognise({"notes.txt": b"hello"})


def test_an_onnx_file_is_added_with_the_contract_that_it_suggests(project: Project, tmp_path: Path) -> None:
    path = written(tmp_path / "m", made("onnx").files)

    version = add_model(project, "delay", path)

    assert version.flavour == "onnx"
    types = {field.name: field.type for field in version.contract.inputs}
    assert types == {"temp": "float", "hour": types["hour"], "wet": types["wet"], "carrier": "str"}
    assert version.contract.outputs[0].name == "label"
    row = {"temp": 50.0, "hour": 7, "carrier": "UA", "wet": types["wet"] == "bool" or 1}
    answered = load(project, "delay@v1").predict([row])
    assert 0 <= answered[0]["probabilities_1"] <= 1


def test_a_folder_of_hugging_face_is_added_and_its_weights_in_pickle_are_left_out(
    sqlite_project: LocalProject, tmp_path: Path
) -> None:
    folder = written(tmp_path / "m", encoder_files() | {"pytorch_model.bin": b"\x80\x02", "README.md": b"x"})

    version = add_model(sqlite_project, "mood", folder)

    assert {file.name for file in version.files} == {"config.json", "tokenizer.json", "model.onnx"}
    assert load(sqlite_project, "mood@v1").predict([{"text": "good good room"}])[0]["label"] == "GOOD"


def test_an_encoder_answers_a_vector_of_length_one_that_its_batch_does_not_change(
    sqlite_project: LocalProject, tmp_path: Path
) -> None:
    files = encoder_files("BertModel")
    add_model(sqlite_project, "words", written(tmp_path / "m", files))
    loaded = load(sqlite_project, "words@v1")

    alone = loaded.predict([{"text": "good bad bad"}])
    among = loaded.predict([{"text": "good good good good good"}, {"text": "good bad bad"}])

    # the mean of (1, 0), (0, 1), (0, 1) is (1/3, 2/3), whose length is √5/3
    assert alone[0]["embedding"] == pytest.approx([5**-0.5, 2 * 5**-0.5])
    assert repr(among[1]) == repr(alone[0])


@pytest.mark.parametrize("name", ["model.pkl", "model.onnx", "model.ubj", "model", "model.skops", "weights.pt"])
def test_a_pickle_offered_as_a_model_is_refused_whatever_it_is_called(
    sqlite_project: LocalProject, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(Harm()))

    with pytest.raises((CorruptError, RefusedError), match="pickle"):
        add_model(sqlite_project, "m", tmp_path / name)


def test_a_folder_of_hugging_face_with_pickled_weights_alone_is_refused(
    sqlite_project: LocalProject, tmp_path: Path
) -> None:
    files = encoder_files()
    del files["model.onnx"]

    with pytest.raises(RefusedError, match="holds the weights as a pickle"):
        add_model(sqlite_project, "m", written(tmp_path / "m", files | {"pytorch_model.bin": b"\x80\x02"}))


SAFETENSORS = {"config.json": b"{}", "tokenizer.json": b"{}", "m.safetensors": b"x"}


def test_a_folder_of_hugging_face_is_of_the_flavour_that_opens_its_weights() -> None:
    assert recognise(SAFETENSORS) == "transformers"
    assert recognise(SAFETENSORS | {"pytorch_model.bin": b"\x80\x02"}) == "transformers"
    assert recognise(SAFETENSORS | {"model.onnx": b""}) == "huggingface"


@pytest.mark.parametrize(
    ("without", "more", "match"),
    [
        ("", {"config.json": b'{"auto_map": {}}'}, "code of the model's own"),
        ("tokenizer.json", {}, r"lacks tokenizer\.json"),
        ("m.safetensors", {}, "no weights as safetensors"),
    ],
)
def test_a_folder_with_safetensors_that_lacks_something_or_needs_its_own_code_is_refused(
    without: str, more: dict[str, bytes], match: str
) -> None:
    files = {name: data for name, data in SAFETENSORS.items() if name != without} | more

    with pytest.raises(HeadwaterError, match=match):
        get_flavour("transformers").describe(files)


def test_a_file_that_ends_its_engine_or_hangs_it_ends_a_child_and_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # An engine whose reader dies of a signal, as one written in C may, planted where the child looks for modules.
    (tmp_path / "sitecustomize.py").write_text(
        "import os, time\n"
        "import headwater.model.flavours.tesseract as engine\n"
        "def describe(files):\n"
        "    time.sleep(60) if b'hang' in files['x'] else os.kill(os.getpid(), 11)\n"
        "engine.describe = describe\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))

    with pytest.raises(CorruptError, match="signal 11"):
        prove({"x": b"crash"}, "tesseract")
    with pytest.raises(CorruptError, match="was not done with these files after 5 s"):
        prove({"x": b"hang"}, "tesseract", limit_s=5)


def test_the_child_that_proves_takes_no_module_of_the_current_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "numpy.py").write_text("import os; os._exit(7)")
    monkeypatch.chdir(tmp_path)

    assert subprocess.run([sys.executable, "-c", "import numpy"]).returncode == 7
    assert prove(made("api").files, "api").said["url"] == "https://vendor.example/v1"


LIMITS = """
import resource
from headwater.model.proving import _limit_itself

_limit_itself()
print(resource.getrlimit(resource.RLIMIT_AS), resource.getrlimit(resource.RLIMIT_CORE))
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 2 << 30))
_limit_itself()
print(resource.getrlimit(resource.RLIMIT_AS))
"""


def test_the_child_that_proves_cannot_raise_its_limits_again() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", LIMITS], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == [f"{(8 << 30, 8 << 30)} (0, 0)", str((1 << 30, 1 << 30))]


def test_files_that_nobody_trusted_are_described_in_a_child(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = made("python")
    stored = [
        ModelFile(name=name, digest=sqlite_project.objects.put(data), size=len(data), flavour="python")
        for name, data in model.files.items()
    ]
    register(sqlite_project, "rule", files=stored, contract=model.contract)

    def crash(files: object) -> None:
        raise AssertionError("it was described in this process")

    monkeypatch.setattr("headwater.model.flavours.python.describe", crash)
    with pytest.raises(AssertionError, match="in this process"):
        get_flavour("python").describe(model.files)
    assert [name.partition(":")[0] for name in untrusted(sqlite_project, "rule@v1")] == ["code"]


@pytest.mark.long
def test_no_flipped_byte_of_a_tree_file_harms_this_process(tmp_path: Path) -> None:
    data = made("xgboost").files["model.ubj"]
    outcomes = []
    for place in range(5, len(data), len(data) // 40):
        flipped = bytearray(data)
        flipped[place] ^= 0xFF
        try:
            outcomes.append(prove({"model.ubj": bytes(flipped)}, "xgboost", made("xgboost").contract).answered)
        except HeadwaterError as error:
            outcomes.append(type(error) is CorruptError)

    assert len(outcomes) >= 40


@pytest.mark.long_elsewhere
def test_code_is_loaded_only_after_an_admin_trusted_it(project: Project, tmp_path: Path) -> None:
    own = made("python")
    version = add_model(project, "rule", written(tmp_path / "m", own.files), contract=own.contract)

    assert untrusted(project, "rule@v1") == list(own.untrusted)
    with pytest.raises(RefusedError, match="no admin trusted"):
        load(project, "rule@v1")
    with pytest.raises(InvalidInputError, match="say why"):
        trust(project, "rule@v1", reason=" ")
    with pytest.raises(InvalidInputError, match="not code:other"):
        trust(project, "rule@v1", reason="read by ann", names=["code:other"])

    trusted = trust(project, "rule@v1", reason="read by ann")

    assert trusted.id == version.id and trusted.trusted == own.untrusted
    assert untrusted(project, "rule@v1") == []
    assert load(project, "rule@v1").predict([{"hour": 20}, {"hour": 3}]) == [
        {"label": True, "probability": 0.75},
        {"label": False, "probability": 0.25},
    ]


def test_a_developer_may_register_code_but_not_trust_it(sqlite_project: LocalProject, tmp_path: Path) -> None:
    own = made("python")
    folder = written(tmp_path / "m", own.files)
    sqlite_project.actor = Actor(name="dev", claimed=False, roles=("developer",))

    with pytest.raises(DeniedError, match="ask an admin for 'hw model trust'"):
        add_model(sqlite_project, "rule", folder, contract=own.contract, trusted=["code"])
    add_model(sqlite_project, "rule", folder, contract=own.contract)
    with pytest.raises(DeniedError, match="model:admin"):
        trust(sqlite_project, "rule@v1", reason="me")


def test_a_contract_is_edited_by_commands_and_each_edit_is_a_version(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sqlite_project.root is not None
    monkeypatch.chdir(sqlite_project.root)
    trees = made("xgboost")
    path = written(tmp_path / "m", trees.files) / "model.ubj"
    (tmp_path / "c.toml").write_text(contract_as_toml(trees.contract))

    assert hw("model", "add", "delay", str(path)).code == 2  # the file does not say its inputs
    added = done("--json", "model", "add", "delay", str(path), "--contract", str(tmp_path / "c.toml")).answer
    edited = done("model", "contract", "edit", "delay@v1", "temp", "--unit", "F", "--min", "-60", "--max", "130").out
    again = hw("model", "contract", "edit", "delay@v2", "temp", "--max", "120", "--personal")
    unbroken = hw("model", "contract", "diff", "delay@v3", "delay@v2")

    assert added["number"] == 1
    assert edited.strip() == "delay@v2: as v1, temp in F (was none), temp minimum none → -60, temp maximum none → 130"
    assert "temp maximum 130 → 120, temp is personal" in again.out
    assert unbroken.code == 0 and "temp maximum 120 → 130" in unbroken.out
    assert hw("model", "contract", "diff", "delay@v2", "delay@v3").code == 1
    text = done("model", "contract", "show", "delay@v2", "--as", "toml").out
    assert read_contract(text).input("temp").unit == "F"
    assert '"datatype": "FP64"' in done("model", "contract", "show", "delay@v2", "--as", "open-inference").out
    assert "a number from -60 to 130 (F)" in done("model", "show", "delay@v2").out
    assert hw("model", "contract", "edit", "delay@v2", "temp", "--min", "200").code == 2
