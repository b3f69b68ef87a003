"""A folder of Hugging Face: ``tokenizer.json``, ``config.json`` and an ONNX file; no transformers, no torch, no code.

The contract's one input is a text. A classifier (``...ForSequenceClassification``) answers with ``label``, as its
configuration names them, and ``probabilities``; an encoder with ``embedding``, the mean over the text's tokens, of
length one. Each text is asked alone: padding would let the others of its batch move its last bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from headwater.errors import CorruptError, InvalidInputError, MissingExtraError, RefusedError

from ..contract import Contract, Field
from .files import Files, given_files
from .onnx import open_session
from .outputs import Array, NamedOutputs

ENGINES = ("onnxruntime", "tokenizers")
CONFIG, TOKENIZER = "config.json", "tokenizer.json"
_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of ``config.json``; it holds much more."""

    architectures: tuple[str, ...] = ()
    id2label: dict[int, str] = {}
    max_position_embeddings: int = 512
    problem_type: str | None = None

    @property
    def classifies(self) -> bool:
        """Whether the model gives classes to a whole text."""
        return any(each.endswith("ForSequenceClassification") for each in self.architectures)


def save(model: Any, contract: Contract) -> dict[str, bytes]:
    """Return the files of a folder that are needed: configuration, tokenizer and ONNX.

    Raises:
        RefusedError: its weights are a pickle, or it needs code of its own.
        InvalidInputError: a file is missing.
    """
    files = given_files(model, "a model of Hugging Face")
    _parts(files)
    graph = _graph(files)
    beside = (graph, f"{graph}_data", f"{graph}.data")
    return {name: data for name, data in files.items() if name.endswith(".json") or name in beside}


def load(files: Files, contract: Contract, trusted: Sequence[str] = ()) -> HuggingfacePredictor:
    """Return the model of a folder, ready to predict; ``trusted`` is not needed, the files hold no code.

    Raises:
        CorruptError: the tokenizer or the graph cannot be read.
        RefusedError: the folder's weights are a pickle, or it needs code of its own.
        MissingExtraError: tokenizers or onnxruntime is not installed.
    """
    config, tokenizer, session = _parts(files)
    inputs = {each.name for each in session.get_inputs()}
    return HuggingfacePredictor(config, tokenizer, inputs, lambda feed: session.run(None, feed)[0], contract)


def describe(files: Files) -> dict[str, Any]:
    """Return what the model is, its labels, and the contract that these suggest."""
    config, tokenizer, session = _parts(files)
    outputs = {each.name: each.shape for each in session.get_outputs()}
    return {
        **told(config, tokenizer, session.get_outputs()[0].shape[-1]),
        "outputs": outputs,
        "bytes": sum(map(len, files.values())),
    }


def told(config: Config, tokenizer: Any, width: Any) -> dict[str, Any]:
    """Return what a configuration says of a model, its labels, and the contract that these suggest.

    ``width`` is the length of an embedding, where it is a number.
    """
    return {
        "architectures": config.architectures,
        "labels": [config.id2label[each] for each in sorted(config.id2label)] if config.classifies else [],
        "vocabulary": tokenizer.get_vocab_size(),
        "contract": _suggested(config, width if isinstance(width, int) else None),
    }


class HuggingfacePredictor:
    """A tokenizer and what computes, which together answer with the contract's outputs.

    ``ask`` takes arrays of shape (1, tokens) by the names in ``inputs``, and returns logits of shape (1, labels), or
    vectors of shape (1, width) or (1, tokens, width).
    """

    def __init__(
        self, config: Config, tokenizer: Any, inputs: set[str], ask: Callable[[dict[str, Array]], Array],
        contract: Contract,
    ) -> None:  # fmt: skip
        self._config = config
        self._tokenizer = tokenizer
        self._ask = ask
        self._named = NamedOutputs(contract)
        self._wanted = inputs
        texts = [field.name for field in contract.inputs if field.type == "str"]
        if len(texts) != 1 or len(contract.inputs) != 1:
            raise InvalidInputError("the contract of a model of Hugging Face has one input, a text.")
        self._text = texts[0]

    def predict(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """Return each contract output, shape (rows,), for the column of texts; nothing is the empty text."""
        found = [self._one("" if each is None else each) for each in columns[self._text].tolist()]
        rows = np.stack(found) if found else np.zeros((0, 1), np.float32)
        if not self._config.classifies:
            return self._named({"embedding": rows})
        labels = np.array([self._config.id2label.get(each, str(each)) for each in range(rows.shape[1])], object)
        return self._named({"label": labels[rows.argmax(axis=1)], "probabilities": rows})

    def _one(self, text: str) -> Array:
        tokens = self._tokenizer.encode(text)
        given = {"input_ids": tokens.ids, "attention_mask": tokens.attention_mask, "token_type_ids": tokens.type_ids}
        feed = {name: np.array([each], np.int64) for name, each in given.items() if name in self._wanted}
        answer = self._ask(feed)
        if self._config.classifies:
            return _probabilities(answer[0], several=self._config.problem_type == "multi_label_classification")
        # One vector already (a pooled output), or one for each token.
        mean = answer[0] if answer.ndim == 2 else _mean(answer[0], np.array(tokens.attention_mask))
        length = np.linalg.norm(mean)
        pooled: Array = (mean / length if length else mean).astype(np.float32)
        return pooled


def read_config(files: Files) -> Config:
    """Return the configuration of a folder.

    Raises:
        RefusedError: it needs code of its own.
        CorruptError: it is missing or cannot be read.
    """
    if b'"auto_map"' in files.get(CONFIG, b""):
        raise RefusedError("config.json names code of the model's own (auto_map), which is not run: export it to ONNX.")
    try:
        return msgspec.json.decode(files[CONFIG], type=Config, strict=False)
    except (KeyError, msgspec.DecodeError) as error:
        raise CorruptError(f"this is no folder of Hugging Face: {CONFIG} is missing or cannot be read.") from error


def _parts(files: Files) -> tuple[Config, Any, Any]:
    _refuse_pickles(files)
    config = read_config(files)
    graph = _graph(files)
    if any(name.startswith(graph) and name != graph for name in files):
        raise InvalidInputError(f"'{graph}' keeps its weights in another file: save it again as one file.")
    return config, read_tokenizer(files, config), open_session(files[graph])


def _refuse_pickles(files: Files) -> None:
    pickled = [name for name in files if name.endswith(_PICKLED)]
    if pickled and not any(name.endswith(".onnx") for name in files):
        raise RefusedError(
            f"'{pickled[0]}' holds the weights as a pickle, which is never loaded, since reading one runs code. Export "
            "the model to ONNX ('optimum-cli export onnx') or as safetensors, and register the folder that this makes.",
            files=pickled,
        )


def _graph(files: Files) -> str:
    graphs = sorted(name for name in files if name.endswith(".onnx"))
    for wanted in ("model.onnx", "onnx/model.onnx"):
        if wanted in graphs:
            return wanted
    if len(graphs) == 1:
        return graphs[0]
    if not graphs and any(name.endswith(".safetensors") for name in files):
        raise InvalidInputError(
            "the folder has its weights as safetensors only, which is the flavour 'transformers'; or export it to ONNX "
            "('optimum-cli export onnx'), and register the folder that this makes."
        )
    raise InvalidInputError(f"the folder needs one ONNX file, or one called model.onnx; it has {graphs or 'none'}.")


def read_tokenizer(files: Files, config: Config) -> Any:
    """Return the tokenizer of a folder, which cuts a text off where the model's length ends.

    Raises:
        InvalidInputError: the folder has none.
        CorruptError: it cannot be read.
        MissingExtraError: tokenizers is not installed.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtraError("tokenizers", "huggingface", "a model of Hugging Face") from error
    try:
        tokenizer = Tokenizer.from_buffer(files[TOKENIZER])
    except KeyError:
        raise InvalidInputError(f"the folder lacks {TOKENIZER}: save its tokenizer as a fast one.") from None
    except Exception as error:  # the library raises plain exceptions
        raise CorruptError(f"'{TOKENIZER}' is not a tokenizer: {error}") from error
    most = (tokenizer.truncation or {}).get("max_length", config.max_position_embeddings)
    tokenizer.enable_truncation(max_length=min(most, config.max_position_embeddings))
    tokenizer.no_padding()
    return tokenizer


def _suggested(config: Config, size: int | None) -> Contract:
    text = Field(name="text", type="str", description="the text; what is beyond the model's length is cut off")
    if not config.classifies:
        item = Field(name="number", type="float")
        vector = Field(name="embedding", type="list", item=item, least=size, most=size)
        return Contract(inputs=(text,), outputs=(vector,))
    labels = tuple(config.id2label[each] for each in sorted(config.id2label))
    chances = (
        Field(name=f"probability_{label}", type="float", minimum=0.0, maximum=1.0, source=f"probabilities[{place}]")
        for place, label in enumerate(labels)
    )
    return Contract(inputs=(text,), outputs=(Field(name="label", type="str", allowed=labels), *chances))


def _probabilities(logits: Array, *, several: bool) -> Array:
    wide = logits.astype(np.float64)
    if several:
        return np.asarray(1 / (1 + np.exp(-wide)))
    powers = np.exp(wide - wide.max())
    return np.asarray(powers / powers.sum())


def _mean(vectors: Array, mask: Array) -> Array:
    return np.asarray((vectors * mask[:, None]).sum(axis=0) / max(mask.sum(), 1))
