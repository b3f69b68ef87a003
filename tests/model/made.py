"""One small model of each flavour, with what it must answer: what the tests of all flavours share."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from headwater.canonical import digest_of
from headwater.model import Contract, Field, infer_contract
from headwater.model.flavours import get_flavour
from tests.model.delays import flights, forest, inputs

ROWS = 40
UNLOCKED = {"pytorch": ("torch", "safetensors"), "transformers": ("torch", "safetensors", "transformers")}
"""What requirements.lock leaves out for its size, by flavour: `make test-extra` runs the tests of these."""

NUMBERS = ["temp", "hour", "wet"]
_CHANCES = (
    Field(name="label", type="bool", allowed=(False, True)),
    Field(name="probability", type="float", source="probabilities[1]"),
)


@dataclass(frozen=True)
class Made:
    """A model's files, its contract, columns to ask it with, and the answers it must give."""

    files: dict[str, bytes]
    contract: Contract
    columns: dict[str, Any]
    answers: dict[str, Any]
    needs_trust: bool = False

    @property
    def trusted(self) -> tuple[str, ...]:
        """What must be trusted to load it."""
        return self.untrusted if self.needs_trust else ()

    @property
    def untrusted(self) -> tuple[str, ...]:
        """What its flavour says that loading would run."""
        return tuple(get_flavour(self.flavour).describe(self.files).get("untrusted", ()))

    flavour: str = ""


def made(flavour: str) -> Made:
    """Return the model of a flavour, made once."""
    return _made(flavour)


@cache
def _made(flavour: str) -> Made:
    found = _MAKERS[flavour]()
    return Made(**{**found.__dict__, "flavour": flavour})


def installed(flavour: str) -> bool:
    """Tell whether a flavour's engine is installed here; those that the lock holds always are."""
    return all(importlib.util.find_spec(name) is not None for name in UNLOCKED.get(flavour, ()))


def some(names: list[str]) -> dict[str, Any]:
    """Return some columns of the flights, without the rows that lack a temperature."""
    frame = flights()[names].dropna()[:ROWS]
    return {name: frame[name].to_numpy() for name in names}


def numbers_contract() -> Contract:
    """Return the contract of the columns that are numbers."""
    found = infer_contract(some(NUMBERS))
    return Contract(inputs=found.inputs, outputs=_CHANCES)


def _matrix() -> Any:
    return flights()[NUMBERS].to_numpy(float)


def _of_estimator(flavour: str) -> Made:
    contract = infer_contract(inputs(), forest())
    columns = some(["temp", "hour", "carrier", "wet"])
    frame = flights()[["temp", "hour", "carrier", "wet"]].dropna()[:ROWS]
    files = get_flavour(flavour).save(forest(), contract)
    return Made(files, contract, columns, {"probability": forest().predict_proba(frame)[:, 1]})


@cache
def boosted() -> Any:
    """Return trees of XGBoost on the three columns of numbers."""
    import xgboost

    return xgboost.XGBClassifier(n_estimators=5, max_depth=3, n_jobs=1).fit(flights()[NUMBERS], flights().late)


@cache
def lightened() -> Any:
    """Return trees of LightGBM on the three columns of numbers."""
    import lightgbm

    model = lightgbm.LGBMClassifier(n_estimators=5, num_leaves=7, n_jobs=1, verbosity=-1)
    return model.fit(flights()[NUMBERS], flights().late)


def _of_trees(flavour: str, model: Any) -> Made:
    contract = numbers_contract()
    frame = flights()[NUMBERS].dropna()[:ROWS]
    probability = model.predict_proba(frame)[:, 1]
    answers = {"label": probability > 0.5, "probability": probability}
    return Made(get_flavour(flavour).save(model, contract), contract, some(NUMBERS), answers)


def _of_own_class() -> Made:
    from tests.model.own_models import LateByRule

    outputs = (Field(name="label", type="bool"), Field(name="probability", type="float"))
    contract = Contract(inputs=(Field(name="hour", type="int"),), outputs=outputs)
    columns = some(["hour"])
    late = columns["hour"] >= 16
    files = get_flavour("python").save(LateByRule(16), contract)
    return Made(files, contract, columns, {"label": late, "probability": np.where(late, 0.75, 0.25)}, needs_trust=True)


def _of_net() -> Made:
    import torch

    from tests.model.own_net import Net

    torch.manual_seed(0)
    net = Net(2)
    contract = Contract(
        inputs=(Field(name="temp", type="float"), Field(name="hour", type="int")),
        outputs=(Field(name="probability", type="float", source="value"),),
    )
    columns = some(["temp", "hour"])
    given = np.column_stack([columns["temp"], columns["hour"]]).astype(np.float32)
    answers = {"probability": net(torch.from_numpy(given)).detach().numpy()[:, 0]}
    return Made(get_flavour("pytorch").save(net, contract), contract, columns, answers, needs_trust=True)


TEXTS = ["a good room", "a bad room", "good good bad"]
VOCABULARY = {"[UNK]": 0, "good": 1, "bad": 2, "room": 3}


def encoder_files(architecture: str = "BertForSequenceClassification") -> dict[str, bytes]:
    """Return a folder whose model counts good and bad words: its logits are the counts."""
    from onnx import TensorProto, helper, numpy_helper
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    vectors = np.zeros((4, 2), np.float32)
    vectors[1, 0] = vectors[2, 1] = 1
    nodes = [helper.make_node("Gather", ["vectors", "input_ids"], ["found"])]
    if architecture.endswith("Classification"):
        nodes.append(helper.make_node("ReduceSum", ["found", "axes"], ["logits"], keepdims=0))
        out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, 2])
    else:
        nodes.append(helper.make_node("Identity", ["found"], ["last_hidden_state"]))
        out = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [None, None, 2])
    held = [numpy_helper.from_array(vectors, "vectors"), numpy_helper.from_array(np.array([1], np.int64), "axes")]
    given = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [None, None])]
    model = helper.make_model(
        helper.make_graph(nodes, "g", given, [out], held[: len(nodes)]), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 9
    config = {"architectures": [architecture], "id2label": {"0": "GOOD", "1": "BAD"}, "max_position_embeddings": 16}
    return {
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": tokenizer.to_str().encode(),
        "model.onnx": model.SerializeToString(),
    }


def _of_text() -> Made:
    files = encoder_files()
    flavour = get_flavour("huggingface")
    contract = flavour.describe(files)["contract"]
    # softmax of (1, 0), (0, 1) and (2, 1): the counts of good and bad words
    good = 1 / (1 + np.exp(-np.array([1.0, -1.0, 1.0])))
    answers = {"label": np.array(["GOOD", "BAD", "GOOD"]), "probability_GOOD": good, "probability_BAD": 1 - good}
    return Made(flavour.save(files, contract), contract, {"text": np.array(TEXTS, object)}, answers)


def _of_weights() -> Made:
    import tempfile
    from pathlib import Path

    import torch
    import transformers

    torch.manual_seed(0)
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    labels = {"id2label": {0: "GOOD", 1: "BAD"}, "label2id": {"GOOD": 0, "BAD": 1}}
    config = transformers.BertConfig(vocab_size=4, max_position_embeddings=16, **size, **labels)
    model = transformers.BertForSequenceClassification(config).eval()
    torch.nn.init.normal_(model.classifier.weight)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        files = {each.name: each.read_bytes() for each in Path(folder).iterdir()}
    files["tokenizer.json"] = encoder_files()["tokenizer.json"]
    words = [[VOCABULARY.get(word, 0) for word in text.split()] for text in TEXTS]
    with torch.inference_mode():
        chances = torch.stack([model(torch.tensor([each])).logits[0].softmax(0) for each in words]).numpy()
    flavour = get_flavour("transformers")
    contract = flavour.describe(files)["contract"]
    answers = {
        "label": np.array(["GOOD", "BAD"], object)[chances.argmax(axis=1)],
        "probability_GOOD": chances[:, 0],
        "probability_BAD": chances[:, 1],
    }
    return Made(flavour.save(files, contract), contract, {"text": np.array(TEXTS, object)}, answers)


MLMODEL = """
flavors:
  python_function:
    env: {conda: conda.yaml}
    loader_module: mlflow.sklearn
    model_path: model.skops
    predict_fn: predict
    python_version: 3.11.2
  sklearn:
    code: null
    pickled_model: model.skops
    serialization_format: skops
    sklearn_version: 1.9.1
mlflow_version: 3.17.2
model_uuid: 5a1d
signature:
  inputs: '[{"type": "double", "name": "temp", "required": false}, {"type": "long", "name": "hour", "required": true},
    {"type": "string", "name": "carrier", "required": true}, {"type": "boolean", "name": "wet", "required": true}]'
  outputs: '[{"type": "boolean", "required": true}]'
"""


def _of_mlflow() -> Made:
    estimator = _of_estimator("sklearn")
    files = {"MLmodel": MLMODEL.encode(), "model.skops": estimator.files["model.skops"], "conda.yaml": b"name: x\n"}
    return Made(files, estimator.contract, estimator.columns, estimator.answers)


def api_files(url: str, **more: Any) -> dict[str, bytes]:
    """Return the description of an API that answers late or not for an hour."""
    api = {
        "format": "headwater-api/1",
        "url": url,
        "body": {"rows": [{"hour": {"$input": "hour"}}]},
        "answer": {"label": "/answers/0/late", "probability": "/answers/0/sure"},
        **more,
    }
    return {"api.json": json.dumps(api).encode()}


def _of_api() -> Made:
    own = _of_own_class()
    recorded = {
        digest_of({"hour": int(hour)}): {"label": bool(label), "probability": float(sure)}
        for hour, label, sure in zip(own.columns["hour"], own.answers["label"], own.answers["probability"], strict=True)
    }
    lines = [json.dumps({"inputs": key, "answer": answer}) for key, answer in recorded.items()]
    files = api_files("https://vendor.example/v1") | {"answers.jsonl": "\n".join(lines).encode()}
    kept = get_flavour("api").save(files, own.contract)
    return Made(kept, own.contract, own.columns, own.answers, needs_trust=True)


def _of_tesseract() -> Made:
    from pathlib import Path

    from tests.model.test_tesseract import STOCK, debian, line

    contract = get_flavour("tesseract").describe({"x": debian(STOCK).read_bytes()})["contract"]
    images = np.empty(2, object)
    import base64

    images[:] = [base64.b64decode(line(text)) for text in ("seven stars", "the moon")]
    files = get_flavour("tesseract").save(Path(STOCK), contract)
    return Made(files, contract, {"image": images}, {"text": np.array(["seven stars", "the moon"], object)})


_MAKERS: dict[str, Callable[[], Made]] = {
    "onnx": lambda: _of_estimator("onnx"),
    "sklearn": lambda: _of_estimator("sklearn"),
    "xgboost": lambda: _of_trees("xgboost", boosted()),
    "lightgbm": lambda: _of_trees("lightgbm", lightened()),
    "tesseract": _of_tesseract,
    "huggingface": _of_text,
    "transformers": _of_weights,
    "mlflow": _of_mlflow,
    "pytorch": _of_net,
    "python": _of_own_class,
    "api": _of_api,
}
