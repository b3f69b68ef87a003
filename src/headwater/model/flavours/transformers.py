"""A folder of Hugging Face with safetensors, opened by transformers and PyTorch; code of its own is not run.

It answers as a folder with ONNX does, each text alone, on the CPU with one thread. Source: the library's own page of
``from_pretrained``, for what keeps it from the network, from pickles and from code beside the model.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headwater.errors import CorruptError, InvalidInputError, MissingExtraError

from ..contract import Contract
from .files import Files, given_files
from .huggingface import CONFIG, TOKENIZER, Config, HuggingfacePredictor, read_config, read_tokenizer, told
from .outputs import Array
from .pytorch import one_thread

ENGINES = ("torch", "transformers", "tokenizers", "safetensors")
_WEIGHTS = ".safetensors"
_UNUSED = ("pooler.",)


def save(model: Any, contract: Contract) -> dict[str, bytes]:
    """Return the files of a folder that are needed: configuration, tokenizer and safetensors.

    Raises:
        RefusedError: it needs code of its own.
        InvalidInputError: a file is missing.
    """
    files = given_files(model, "a model of Hugging Face")
    _require_parts(files)
    return {name: data for name, data in files.items() if name.endswith((".json", _WEIGHTS)) and "/" not in name}


def load(files: Files, contract: Contract, trusted: Sequence[str] = ()) -> HuggingfacePredictor:
    """Return the model of a folder, ready to predict; ``trusted`` is not needed, the files hold no code.

    Raises:
        CorruptError: the configuration or the tokenizer cannot be read, or the weights do not fit.
        RefusedError: the folder needs code of its own.
        MissingExtraError: transformers or torch is not installed.
    """
    config = _require_parts(files)
    module = _opened(files, config)
    inputs = set(inspect.signature(module.forward).parameters)
    return HuggingfacePredictor(config, read_tokenizer(files, config), inputs, _Asking(module), contract)


def describe(files: Files) -> dict[str, Any]:
    """Return what the model is, its labels, and the contract that these suggest."""
    config = _require_parts(files)
    module = _opened(files, config)
    return {
        **told(config, read_tokenizer(files, config), getattr(module.config, "hidden_size", None)),
        "parameters": sum(each.numel() for each in module.parameters()),
        "bytes": sum(map(len, files.values())),
    }


class _Asking:
    """A module of PyTorch, asked with arrays and answering with one."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __call__(self, feed: dict[str, Array]) -> Array:
        import torch

        given = {name: torch.from_numpy(each) for name, each in feed.items()}
        with one_thread():
            answer = self._module(**given)
        found = answer["logits"] if "logits" in answer else answer["last_hidden_state"]
        numbers: Array = found.numpy()
        return numbers


def _require_parts(files: Files) -> Config:
    config = read_config(files)
    if TOKENIZER not in files:
        raise InvalidInputError(f"the folder lacks {TOKENIZER}: save its tokenizer as a fast one.")
    if not any(name.endswith(_WEIGHTS) for name in files):
        raise InvalidInputError(
            f"the folder has no weights as safetensors; it has {', '.join(sorted(files))}. Save it with "
            "save_pretrained(folder, safe_serialization=True), and register the folder that this makes."
        )
    return config


def _opened(files: Files, config: Config) -> Any:
    """Return the module of a folder, with every weight that it computes with from the folder's own files."""
    try:
        import torch
        import transformers
    except ImportError as error:
        package = (error.name or "transformers").partition(".")[0]
        raise MissingExtraError(package, "transformers", "a folder of Hugging Face with safetensors") from error
    kind = transformers.AutoModelForSequenceClassification if config.classifies else transformers.AutoModel
    with tempfile.TemporaryDirectory() as name:
        for file, data in files.items():
            if file == CONFIG or file.endswith((_WEIGHTS, f"{_WEIGHTS}.index.json")):
                (Path(name) / Path(file).name).write_bytes(data)
        try:
            module, found = kind.from_pretrained(
                name, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=torch.float32,
                attn_implementation="eager", output_loading_info=True,
            )  # fmt: skip
        except Exception as error:  # the library raises what it happens to meet
            first = str(error).partition("\n")[0]
            raise CorruptError(f"the folder cannot be opened as {_named(config)}: {first}") from error
    missing = sorted(each for each in found["missing_keys"] if not each.startswith(_UNUSED))
    if missing or found["mismatched_keys"]:
        wrong = ", ".join([*missing, *map(str, found["mismatched_keys"])][:5])
        raise CorruptError(
            f"the weights are not those of {_named(config)}: {wrong} would be made up. Save the model after training."
        )
    return module.eval()


def _named(config: Config) -> str:
    return config.architectures[0] if config.architectures else "the model that config.json names"
