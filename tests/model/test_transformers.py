"""Folders of Hugging Face with safetensors: collected where transformers is installed, as `make test-extra` does."""

from __future__ import annotations

import json

import pytest
from safetensors.numpy import load, save

from headwater.errors import CorruptError
from headwater.model.flavours import get_flavour
from tests.model.made import made


def test_weights_that_the_model_lacks_are_never_made_up() -> None:
    model = made("transformers")
    weights = load(model.files["model.safetensors"])
    del weights["classifier.weight"]

    with pytest.raises(CorruptError, match=r"classifier\.weight would be made up"):
        get_flavour("transformers").describe(model.files | {"model.safetensors": save(weights, {"format": "pt"})})


def test_weights_in_several_files_are_one_model() -> None:
    model = made("transformers")
    weights = load(model.files["model.safetensors"])
    names = sorted(weights)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    files = {name: data for name, data in model.files.items() if name != "model.safetensors"}
    files |= {part: save({name: weights[name] for name in held}, {"format": "pt"}) for part, held in parts.items()}
    index = {"metadata": {}, "weight_map": {name: part for part, held in parts.items() for name in held}}
    files["model.safetensors.index.json"] = json.dumps(index).encode()

    found = get_flavour("transformers").load(files, model.contract, ()).predict(model.columns)

    assert found["label"].tolist() == model.answers["label"].tolist()
